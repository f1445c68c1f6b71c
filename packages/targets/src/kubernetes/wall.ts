/** The wall behind `inpod.dev/policy`: what an admin applies who wants `no-steal` to hold against everybody. Pure. */

/**
 * By each of them traffic can be redirected in a network namespace that is not the pod's alone, or such a namespace be
 * entered; ALL has them. hostPID alone is no way in: the node's processes cannot be entered without one of these.
 */
const TAKING = ["NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "ALL"];

const NAME = "inpod-no-steal";

/** CEL: whether a container `c` may do so. Runtimes take names in lower case, and some with their prefix. */
const canTake = [
  "has(c.securityContext) && (",
  "(has(c.securityContext.privileged) && c.securityContext.privileged) || ",
  "(has(c.securityContext.capabilities) && has(c.securityContext.capabilities.add) && ",
  `c.securityContext.capabilities.add.exists(each, each.upperAscii().replace("CAP_", "") in [${TAKING.map((name) => `'${name}'`).join(", ")}])))`,
].join("");

/**
 * A ValidatingAdmissionPolicy and its binding, Kubernetes 1.30 and newer, as YAML for `kubectl apply -f -`. It refuses
 * whatever could take a pod's traffic and not only what says that it is inpod: labels can be left out.
 */
export const admissionWall = (): string => `\
# Refuses, in every namespace whose annotation inpod.dev/policy says no-steal, what could take the traffic of its pods:
# pods with rights over the node's processes or network, and debugging containers with rights over the pod's.
# What it does not do: annotations of single pods and workloads stay advice, and so do the other statements. Pods of
# other namespaces and volumes of the node (hostPath) are not looked at: for them there is Pod Security (baseline).
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: ${NAME}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - apiGroups: [""]
        apiVersions: [v1]
        operations: [CREATE]
        resources: [pods]
      - apiGroups: [""]
        apiVersions: [v1]
        operations: [UPDATE]
        resources: [pods/ephemeralcontainers]
  variables:
    # Conditions of the match do not see the namespace.
    - name: noSteal
      expression: >-
        has(namespaceObject.metadata.annotations) &&
        "inpod.dev/policy" in namespaceObject.metadata.annotations &&
        namespaceObject.metadata.annotations["inpod.dev/policy"].matches("(^|[;\\\\n])\\\\s*no-steal\\\\s*([;\\\\n]|$)")
  validations:
    - expression: >-
        !variables.noSteal || request.operation == "UPDATE" ||
        !((has(object.spec.hostPID) && object.spec.hostPID) || (has(object.spec.hostNetwork) && object.spec.hostNetwork)) || !(
        object.spec.containers.exists(c, ${canTake}) ||
        (has(object.spec.initContainers) && object.spec.initContainers.exists(c, ${canTake})))
      message: the policy of this namespace (inpod.dev/policy) is no-steal, and this pod could take the traffic of others
    - expression: >-
        !variables.noSteal || request.operation == "CREATE" || !has(object.spec.ephemeralContainers) ||
        !object.spec.ephemeralContainers.exists(c, ${canTake} &&
        !(has(oldObject.spec.ephemeralContainers) && oldObject.spec.ephemeralContainers.exists(old, old.name == c.name)))
      message: the policy of this namespace (inpod.dev/policy) is no-steal, and this container could take the pod's traffic
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: ${NAME}
spec:
  policyName: ${NAME}
  validationActions: [Deny]
`;

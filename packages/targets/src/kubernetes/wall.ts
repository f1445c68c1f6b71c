/** The wall behind `inpod.dev/policy`: what an admin applies who wants `no-steal` and `no-mirror` to hold against everybody. Pure. */

/**
 * By each of them traffic can be redirected in a network namespace that is not the pod's alone, or such a namespace be
 * entered; ALL has them. hostPID alone is no way in: the node's processes cannot be entered without one of these.
 */
const TAKING = ["NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "ALL"];

const NAME = "inpod-wall";

const listed = (names: readonly string[]): string => names.map((name) => `'${name}'`).join(", ");

/** CEL: whether one of `list` is in capabilities of a container `c`. Runtimes take names in lower case, and some with their prefix. */
const names = (which: "add" | "drop", list: readonly string[]): string =>
  [
    `(has(c.securityContext) && has(c.securityContext.capabilities) && has(c.securityContext.capabilities.${which}) && `,
    `c.securityContext.capabilities.${which}.exists(each, each.upperAscii().replace("CAP_", "") in [${listed(list)}]))`,
  ].join("");

/** CEL: whether it may do so. Who can take traffic can copy it, too. */
const canTake = [
  "((has(c.securityContext) && has(c.securityContext.privileged) && c.securityContext.privileged) || ",
  `${names("add", TAKING)})`,
].join("");

/** CEL: whether it may open packet sockets in its network. Runtimes give that to every container which does not drop it. */
const canListen = `(!${names("drop", ["NET_RAW", "ALL"])} || ${names("add", ["NET_RAW"])})`;

/** CEL: whether a namespace's annotation has this statement. */
const says = (statement: string): string =>
  `has(namespaceObject.metadata.annotations) &&
        "inpod.dev/policy" in namespaceObject.metadata.annotations &&
        namespaceObject.metadata.annotations["inpod.dev/policy"].matches("(^|[;\\\\n])\\\\s*${statement}\\\\s*([;\\\\n]|$)")`;

/** CEL: what is said of a pod or container that could take (no-steal) or only copy (no-mirror). */
const refusal = (what: string, whose: string): string =>
  `"the policy of this namespace (inpod.dev/policy) is " + (variables.noSteal ? "no-steal, and this ${what} could take ${whose}" : "no-mirror, and this ${what} could copy ${whose}")`;

const anyOf = (test: string): string =>
  `object.spec.containers.exists(c, ${test}) ||
        (has(object.spec.initContainers) && object.spec.initContainers.exists(c, ${test}))`;

const isHost = (field: "hostPID" | "hostNetwork"): string =>
  `(has(object.spec.${field}) && object.spec.${field})`;

/** Of a pod that runs, those that are new. */
const newDebugging = (test: string): string =>
  `object.spec.ephemeralContainers.exists(c, ${test} &&
        !(has(oldObject.spec.ephemeralContainers) && oldObject.spec.ephemeralContainers.exists(old, old.name == c.name)))`;

/**
 * A ValidatingAdmissionPolicy and its binding, Kubernetes 1.30 and newer, as YAML for `kubectl apply -f -`. It refuses
 * whatever could take a pod's traffic and not only what says that it is inpod: labels can be left out.
 */
export const admissionWall = (): string => `\
# Refuses, in every namespace whose annotation inpod.dev/policy says no-steal or no-mirror, what could take or copy the
# traffic of its pods: pods with rights over the node's processes or network, and debugging containers with rights over
# the pod's. For no-mirror also pods in the node's network and debugging containers that do not drop NET_RAW.
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
        ${says("no-steal")}
    - name: noMirror
      expression: >-
        ${says("no-mirror")}
  validations:
    - expression: >-
        !(variables.noSteal || variables.noMirror) || request.operation == "UPDATE" ||
        !(${isHost("hostPID")} || ${isHost("hostNetwork")}) || !(
        ${anyOf(canTake)})
      messageExpression: >-
        ${refusal("pod", "the traffic of others")}
    - expression: >-
        !variables.noMirror || request.operation == "UPDATE" || !${isHost("hostNetwork")} || !(
        ${anyOf(canListen)})
      message: the policy of this namespace (inpod.dev/policy) is no-mirror, and this pod could copy the traffic of others (it does not drop NET_RAW)
    - expression: >-
        !(variables.noSteal || variables.noMirror) || request.operation == "CREATE" || !has(object.spec.ephemeralContainers) ||
        !${newDebugging(canTake)}
      messageExpression: >-
        ${refusal("container", "the pod's traffic")}
    - expression: >-
        !variables.noMirror || request.operation == "CREATE" || !has(object.spec.ephemeralContainers) ||
        !${newDebugging(canListen)}
      message: the policy of this namespace (inpod.dev/policy) is no-mirror, and this container could copy the pod's traffic (it does not drop NET_RAW)
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: ${NAME}
spec:
  policyName: ${NAME}
  validationActions: [Deny]
`;

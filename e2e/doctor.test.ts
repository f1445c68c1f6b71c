/** `inpod doctor` on a real cluster: what each situation is told as, and that nothing is changed by asking. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { imageOfFiles } from "./support/images.ts";
import { runInpod } from "./support/inpod.ts";
import { apply, kubectl, onCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { BUSYBOX, createPod, runPod } from "./support/pods.ts";

interface Finding {
  readonly id: string;
  readonly level: string;
  readonly what: string;
  readonly why: string;
  readonly hints: readonly string[];
}

interface Report {
  readonly exitCode: number;
  readonly findings: readonly Finding[];
  readonly role: string | null;
}

/** Of Node, busybox and the built inpod, at the paths that they have here; one for each checkout that shares a cluster. */
const CLI_IMAGE = `lab/inpod-cli:${process.env.INPOD_AGENT_IMAGE?.split(":").at(-1) ?? "1"}`;
const DIST = fileURLToPath(new URL("../dist", import.meta.url));
const BUSYBOX_FILE = "/bin/busybox";
const SLEEP = ["sleep", "1000"];

describe("inpod doctor on a cluster", onCluster, () => {
  const namespace = useNamespace("inpod-doctor");
  const restricted = useNamespace("inpod-doctor-restricted", {
    "pod-security.kubernetes.io/enforce": "restricted",
  });
  const quota = useNamespace("inpod-doctor-quota");
  const limits = useNamespace("inpod-doctor-limits");
  const policed = useNamespace("inpod-doctor-policed");
  const folder = mkdtempSync(join(tmpdir(), "inpod-doctor-e2e-"));
  after(() => rmSync(folder, { recursive: true }));
  /** Objects of the whole cluster: named after this run. */
  const runtimeClass = `kata-${namespace}`;
  const admissionPolicy = `${policed}-no-host-pid`;

  async function examine(args: readonly string[], env: Record<string, string> = {}) {
    const ran = await runInpod(["doctor", "-o", "json", ...args], { env });
    assert.equal(ran.stderr, "");
    const report = JSON.parse(ran.stdout) as Report;
    assert.equal(ran.code, report.exitCode);
    return report;
  }

  function has({ findings }: Report, id: string, level: string, says: RegExp): void {
    const finding = findings.find((each) => each.id === id);
    assert.ok(finding, `${id} is not among ${JSON.stringify(findings, null, 2)}`);
    assert.equal(finding.level, level);
    assert.match([finding.what, finding.why, ...finding.hints].join("\n"), says);
  }
  const ids = ({ findings }: Report, level: string): string[] =>
    findings.filter((each) => each.level === level).map(({ id }) => id);

  const pod = (name: string, where = namespace, spec: object = {}, container = "app") => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: where, labels: { app: name } },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [{ name: container, image: BUSYBOX, command: SLEEP }],
      ...spec,
    },
  });
  const ready = (name: string, where = namespace) =>
    kubectl("wait", "--for=condition=Ready", `pod/${name}`, "-n", where, "--timeout=60s");

  before(async () => {
    for (const where of [namespace, quota, limits, policed])
      await runPod({ namespace: where, name: "orders", command: SLEEP });
    await apply({
      ...pod("orders", restricted),
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [
          {
            name: "app",
            image: BUSYBOX,
            command: SLEEP,
            securityContext: {
              runAsNonRoot: true,
              runAsUser: 1234,
              allowPrivilegeEscalation: false,
              capabilities: { drop: ["ALL"] },
              seccompProfile: { type: "RuntimeDefault" },
            },
          },
        ],
      },
    });
    await ready("orders", restricted);
    await apply(
      {
        apiVersion: "v1",
        kind: "ResourceQuota",
        metadata: { name: "one", namespace: quota },
        spec: { hard: { pods: "1" } },
      },
      {
        apiVersion: "v1",
        kind: "LimitRange",
        metadata: { name: "small", namespace: limits },
        spec: { limits: [{ type: "Container", max: { memory: "64Mi" } }] },
      },
      {
        apiVersion: "admissionregistration.k8s.io/v1",
        kind: "ValidatingAdmissionPolicy",
        metadata: { name: admissionPolicy },
        spec: {
          failurePolicy: "Fail",
          matchConstraints: {
            resourceRules: [
              { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] },
            ],
          },
          validations: [
            {
              expression: "!(has(object.spec.hostPID) && object.spec.hostPID)",
              message: "hostPID is not for this namespace",
            },
          ],
        },
      },
      {
        apiVersion: "admissionregistration.k8s.io/v1",
        kind: "ValidatingAdmissionPolicyBinding",
        metadata: { name: admissionPolicy },
        spec: {
          policyName: admissionPolicy,
          validationActions: ["Deny"],
          matchResources: {
            namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": policed } },
          },
        },
      },
    );
    await waitFor("the quota to be counted", async () =>
      (await kubectl(
        ...["get", "quota", "one", "-n", quota, "-o", "jsonpath={.status.used.pods}"],
      )) === "1"
        ? true
        : undefined,
    );
    await waitFor("the policy to hold", () =>
      kubectl(
        ...["run", "probe", "-n", policed, "--image=x", "--dry-run=server", "-o", "name"],
        '--overrides={"spec":{"hostPID":true}}',
      ).then(
        () => undefined,
        (error: unknown) => (/hostPID is not for/.test(String(error)) ? true : undefined),
      ),
    );
  });
  after(async () => {
    await kubectl(
      ...["delete", "--ignore-not-found"],
      `validatingadmissionpolicybinding/${admissionPolicy}`,
      `validatingadmissionpolicy/${admissionPolicy}`,
      `runtimeclass/${runtimeClass}`,
    );
  });

  /** Kind, name and version of everything that a session could make or change. */
  async function versions(where: string): Promise<string> {
    const kinds =
      "pods,jobs,events,secrets,configmaps,services,serviceaccounts,leases,roles,rolebindings,resourcequotas,limitranges";
    const path =
      '{range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\\n"}{end}';
    return kubectl("get", kinds, "-n", where, "-o", `jsonpath=${path}`);
  }

  test("an ordinary pod: no problem; the cluster, the rights, the node and a dry run of the agent are good", async () => {
    const report = await examine(["-t", "pod/orders", "-n", namespace]);
    assert.deepEqual(ids(report, "problem"), []);
    assert.equal(report.exitCode, 0);
    has(report, "cluster-version", "ok", /Kubernetes v1\.\d+/);
    has(report, "rights-all", "ok", /of \d+ that a session uses/);
    has(report, "target-found", "ok", /pod\/orders\/container\/app/);
    has(report, "agent-job", "ok", /tried by a dry run/);
    has(report, "agent-node", "ok", /containerd|cri-o|docker/);
    has(report, "agent-room", "ok", /of \d+ pods/);
  });

  test("nothing is changed by asking, whatever is found", async () => {
    const places = [namespace, restricted, quota, limits, policed];
    const found = await Promise.all(places.map(versions));
    await Promise.all([
      ...places.map((where) => examine(["-t", "pod/orders", "-n", where, "--steal"])),
      examine(["-t", "pod/orders", "-n", restricted, "-a", namespace]),
      examine(["-t", "targetless", "-n", restricted]),
    ]);
    assert.deepEqual(await Promise.all(places.map(versions)), found);
  });

  test("a restricted namespace: Pod Security's own words, and where else the agent could go", async () => {
    const at = ["-t", "pod/orders", "-n", restricted];
    const [report, inPod, stealing, elsewhere] = await Promise.all([
      examine(at),
      examine([...at, "-e"]),
      examine([...at, "-e", "--steal"]),
      examine([...at, "-a", namespace]),
    ]);
    has(report, "agent-pod-security", "problem", /restricted.*hostPID|host namespaces/s);
    has(report, "agent-pod-security", "problem", /everything but incoming traffic: -e/);
    assert.equal(report.exitCode, 5);
    assert.deepEqual(ids(inPod, "problem"), []);
    has(inPod, "agent-unprivileged", "note", /nothing comes in/);
    has(stealing, "agent-no-incoming", "problem", /leave out --steal/);
    assert.deepEqual(ids(elsewhere, "problem"), []);
    has(elsewhere, "agent-job", "ok", new RegExp(`namespace "${namespace}" takes a job`));
  });

  test("a quota that is used up, a LimitRange, an admission policy: each in its own words", async () => {
    const [full, small, forbidden] = await Promise.all(
      [quota, limits, policed].map((where) => examine(["-t", "pod/orders", "-n", where])),
    );
    assert.ok(full && small && forbidden);
    has(full, "agent-quota", "problem", /exceeded quota.*describe quota/s);
    has(full, "agent-quota", "problem", /an ephemeral container, which the cluster takes: -e/);
    assert.equal(full.exitCode, 5);
    has(small, "agent-limit-range", "problem", /maximum memory usage per Container is 64Mi/);
    has(forbidden, "agent-policy", "problem", /hostPID is not for this namespace/);
  });

  test("a login that the cluster does not accept", async () => {
    const KUBECONFIG = await kubeconfigWith("nobody", "no-token-of-anybody");
    const report = await examine(["-t", "pod/orders"], { KUBECONFIG });
    has(report, "cluster-unauthorized", "problem", /kubectl auth whoami/);
    assert.equal(report.exitCode, 4);
  });

  /** A kubeconfig of a ServiceAccount of the namespace. */
  async function kubeconfigOf(name: string): Promise<string> {
    await apply({
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name, namespace },
    });
    const token = await kubectl("create", "token", name, "-n", namespace);
    return kubeconfigWith(name, token.trim());
  }

  async function kubeconfigWith(name: string, token: string): Promise<string> {
    const { clusters } = JSON.parse(
      await kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"),
    ) as { clusters: { name: string; cluster: object }[] };
    const [cluster] = clusters;
    assert.ok(cluster);
    const file = join(folder, name);
    writeFileSync(
      file,
      JSON.stringify({
        ...{ apiVersion: "v1", kind: "Config", "current-context": name },
        clusters: [cluster],
        users: [{ name, user: { token } }],
        contexts: [{ name, context: { cluster: cluster.name, user: name, namespace } }],
      }),
    );
    return file;
  }

  test("a user without rights: each missing one by name; with just the printed Role none is missing", async () => {
    const KUBECONFIG = await kubeconfigOf("ada");
    const user = `system:serviceaccount:${namespace}:ada`;
    const poor = await examine(["-t", "pod/orders"], { KUBECONFIG });
    has(poor, "cluster-login", "ok", new RegExp(user));
    has(poor, "rights-missing", "problem", /create and delete jobs/);
    has(poor, "rights-missing", "problem", /get and create pods\/portforward/);
    has(poor, "rights-missing", "problem", new RegExp(`kind: Role[^]*namespace: ${namespace}`));
    assert.equal(poor.exitCode, 7);

    const printed = await runInpod(["doctor", "-t", "pod/orders", "--print-role"], {
      env: { KUBECONFIG },
    });
    assert.equal(printed.code, 0);
    assert.equal(printed.stdout, poor.role);
    const role = join(folder, "role.yaml");
    writeFileSync(role, printed.stdout);
    assert.match(
      await kubectl("apply", "--dry-run=server", "-o", "name", "-f", role),
      /role\.rbac\.authorization\.k8s\.io\/inpod/,
    );
    await kubectl("apply", "-f", role);
    await apply({
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: { name: "inpod", namespace },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "inpod" },
      subjects: [{ kind: "ServiceAccount", name: "ada", namespace }],
    });
    const enough = await examine(["-t", "pod/orders"], { KUBECONFIG });
    assert.deepEqual(ids(enough, "problem"), []);
    has(enough, "rights-all", "ok", /that a session uses/);
    has(enough, "agent-job", "ok", /takes a job/);
    // What only an admin may read is not needed, and said to be unknown.
    has(enough, "agent-node-unknown", "note", /cannot get resource "nodes"/);
    has(enough, "agent-image-unknown", "note", /not known/);
    // The try through the target's Service reads them, so they are in the Role.
    assert.ok(!ids(enough, "note").includes("target-policies-unknown"));
  });

  test("--print-role is taken by the API server for every shape of target, as an ephemeral container, and with the agent elsewhere", async () => {
    const sessions = [
      ...["pod/a", "deployment/a", "rollout/a", "cronjob/a", "service/a", "label/app=a"].map(
        (target) => ["-t", target],
      ),
      ...[
        ["-t", "targetless"],
        ["-t", "pod/a", "-e"],
        ["-t", "pod/a", "-a", quota],
      ],
    ];
    const files = await Promise.all(
      sessions.map(async (flags, at) => {
        const { code, stdout } = await runInpod([
          ...["doctor", ...flags, "-n", namespace, "--print-role"],
        ]);
        assert.equal(code, 0, flags.join(" "));
        const file = join(folder, `role-${at}.yaml`);
        writeFileSync(file, stdout);
        return file;
      }),
    );
    const names = await kubectl(
      "apply",
      "--dry-run=server",
      "-o",
      "name",
      ...files.flatMap((file) => ["-f", file]),
    );
    // The last has one for each namespace.
    assert.equal(names.trim().split("\n").length, sessions.length + 1, names);
  });

  test("targets that are not there, and the nearest that is", async () => {
    const [misspelt, nowhere, container] = await Promise.all([
      examine(["-t", "pod/order", "-n", namespace]),
      examine(["-t", "pod/orders", "-n", "inpod-doctor-nowhere"]),
      examine(["-t", "pod/orders/container/nope", "-n", namespace]),
    ]);
    has(misspelt, "target-pod-not-found", "problem", /did you mean pod\/orders/);
    assert.equal(misspelt.exitCode, 3);
    has(nowhere, "cluster-namespace-not-found", "problem", /kubectl get namespaces/);
    assert.equal(nowhere.exitCode, 4);
    has(container, "target-container-not-found", "problem", /its containers are: app/);
  });

  test("an image of another version, and one that the node has to pull", async () => {
    const image = "registry.invalid/inpod/agent:99.0.0";
    // By the variable: it overrides the flag, and whoever runs these tests may have set it.
    const ofImage = (INPOD_AGENT_IMAGE: string) =>
      examine(["-t", "pod/orders", "-n", namespace], { INPOD_AGENT_IMAGE });
    const report = await ofImage(image);
    has(report, "agent-image-version", "warning", /99\.0\.0/);
    has(report, "agent-image-pull", "note", /does not have|does not list/);
    // An image of which the node says that it has it, sooner or later: that of the target.
    await waitFor(
      "a node to list the target's image",
      async () => {
        const path = "jsonpath={.items[*].status.images[*].names}";
        return (await kubectl("get", "nodes", "-o", path)).includes(BUSYBOX) ? true : undefined;
      },
      120_000,
    );
    const there = await ofImage(BUSYBOX);
    has(there, "agent-image", "ok", /the node has the image/);
  });

  test("a node without room for the agent, as its resources are configured", async () => {
    const config = join(folder, "inpod.json");
    writeFileSync(
      config,
      JSON.stringify({
        agent: {
          resources: {
            requests: { cpu: "1000", memory: "1Mi" },
            limits: { cpu: "1000", memory: "128Mi" },
          },
        },
      }),
    );
    const report = await examine(["-t", "pod/orders", "-n", namespace, "-f", config]);
    has(report, "agent-node-full", "problem", /cores are asked for.*1000000m of a core/s);
    assert.equal(report.exitCode, 5);
    const inPod = await examine(["-t", "pod/orders", "-n", namespace, "-f", config, "-e"]);
    assert.deepEqual(ids(inPod, "problem"), []);
    has(inPod, "agent-ephemeral", "ok", /takes an ephemeral container/);
  });

  test("an agent that may not do what it must", async () => {
    const config = join(folder, "weak.json");
    writeFileSync(config, JSON.stringify({ agent: { disabled_capabilities: ["SYS_PTRACE"] } }));
    const report = await examine(["-t", "pod/orders", "-n", namespace, "-f", config]);
    has(report, "agent-config-capabilities", "problem", /without SYS_PTRACE/);
    assert.equal(report.exitCode, 5);
  });

  test("a session without a target: only where its pod would run", async () => {
    const report = await examine(["-t", "targetless", "-n", restricted]);
    assert.deepEqual(ids(report, "problem"), []);
    has(report, "agent-targetless", "ok", /takes a job without a target/);
    has(
      await examine(["-t", "targetless", "-n", quota]),
      "agent-quota",
      "problem",
      /exceeded quota/,
    );
  });

  test("NetworkPolicies around the target, and only those", async () => {
    const policy = (name: string, spec: object) => ({
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name, namespace },
      spec,
    });
    await apply(
      policy("orders-egress", {
        podSelector: { matchLabels: { app: "orders" } },
        policyTypes: ["Egress"],
        egress: [{ ports: [{ port: 53, protocol: "UDP" }] }],
      }),
      policy("orders-ingress", {
        podSelector: { matchExpressions: [{ key: "app", operator: "Exists" }] },
        ingress: [{ from: [{ podSelector: {} }] }],
      }),
      policy("others", { podSelector: { matchLabels: { app: "other" } }, policyTypes: ["Egress"] }),
    );
    const report = await examine(["-t", "pod/orders", "-n", namespace]);
    has(report, "target-policies-outgoing", "note", /limited by NetworkPolicy "orders-egress"$/m);
    has(report, "target-policies-incoming", "note", /"orders-ingress"/);
    await kubectl("delete", "networkpolicy", "--all", "-n", namespace);
  });

  test("a mesh by its container, a pod on its node's network, a probe that a breakpoint would fail", async () => {
    await apply(
      pod("meshed", namespace, {
        containers: [
          { name: "istio-proxy", image: BUSYBOX, command: SLEEP },
          {
            name: "app",
            image: BUSYBOX,
            command: ["sh", "-c", "nc -ll -p 8080 -e true & exec sleep 1000"],
            ports: [{ name: "http", containerPort: 8080 }],
            livenessProbe: { tcpSocket: { port: "http" }, failureThreshold: 2 },
          },
        ],
      }),
      pod("on-node", namespace, { hostNetwork: true }),
    );
    await Promise.all([ready("meshed"), ready("on-node")]);
    const meshed = await examine(["-t", "pod/meshed", "-n", namespace, "--steal"]);
    has(meshed, "target-found", "ok", /pod\/meshed\/container\/app/);
    has(meshed, "target-mesh", "note", /Istio mesh \(container istio-proxy\)/);
    has(meshed, "target-probes", "note", /liveness on port 8080 \(http\) for 20 s/);
    const onNode = await examine(["-t", "pod/on-node", "-n", namespace]);
    has(onNode, "target-host-network", "warning", /the network of its node/);
    const stealing = await examine(["-t", "pod/on-node", "-n", namespace, "--steal"]);
    has(stealing, "target-host-network-steal", "problem", /--allow-host-network/);
    assert.equal(stealing.exitCode, 3);
  });

  test("a RuntimeClass is judged by what it runs, not by its name", async () => {
    await apply({
      apiVersion: "node.k8s.io/v1",
      kind: "RuntimeClass",
      metadata: { name: runtimeClass },
      handler: "runc",
    });
    await apply(pod("classed", namespace, { runtimeClassName: runtimeClass }));
    await ready("classed");
    const report = await examine(["-t", "pod/classed", "-n", namespace]);
    assert.deepEqual(ids(report, "problem"), []);
  });

  test("a container that is not ready, and one that crashes", async () => {
    await apply(
      pod("starting", namespace, {
        containers: [
          {
            name: "app",
            image: BUSYBOX,
            command: SLEEP,
            readinessProbe: { exec: { command: ["false"] } },
          },
        ],
      }),
      pod("crashing", namespace, {
        containers: [{ name: "app", image: BUSYBOX, command: ["sh", "-c", "exit 3"] }],
      }),
    );
    const stateOf = (name: string, path: string) => () =>
      kubectl(
        ...["get", "pod", name, "-n", namespace],
        ...["-o", `jsonpath={.status.containerStatuses[0].state.${path}}`],
      ).then((text) => text || undefined);
    await waitFor("pod/starting to run", stateOf("starting", "running.startedAt"));
    const starting = await examine(["-t", "pod/starting", "-n", namespace]);
    has(starting, "target-not-ready", "warning", /--steal/);
    // Between its lives it waits or has ended, as the kubelet has last told; in them it runs for an instant.
    const crashing = await waitFor("pod/crashing to be examined between its lives", async () => {
      const report = await examine(["-t", "pod/crashing", "-n", namespace]);
      return report.findings.some(({ id }) => id === "target-waiting") ? report : undefined;
    });
    has(crashing, "target-waiting", "warning", /CrashLoopBackOff|ended with code 3/);
  });

  test("a deployment: the pod that stands for it, and why", async () => {
    await apply({
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "shop", namespace },
      spec: {
        replicas: 2,
        selector: { matchLabels: { app: "shop" } },
        template: {
          metadata: { labels: { app: "shop" } },
          spec: {
            terminationGracePeriodSeconds: 0,
            containers: [{ name: "app", image: BUSYBOX, command: SLEEP }],
          },
        },
      },
    });
    await kubectl("rollout", "status", "deployment/shop", "-n", namespace, "--timeout=60s");
    const report = await examine(["-t", "deployment/shop", "-n", namespace]);
    assert.deepEqual(ids(report, "problem"), []);
    has(report, "target-found", "ok", /pod\/shop-\S+\/container\/app \(.*deployment\/shop/);
  });

  test("in a pod whose seccomp profile is the runtime's: the door that it closes, and what opens it", async () => {
    await imageOfFiles(CLI_IMAGE, [process.execPath, BUSYBOX_FILE, DIST]);
    const inPod = async (name: string, add: readonly string[]): Promise<Report> => {
      await runPod({
        namespace,
        name,
        image: CLI_IMAGE,
        command: [BUSYBOX_FILE, "sleep", "3600"],
        extra: {
          securityContext: {
            runAsUser: 1234,
            allowPrivilegeEscalation: false,
            capabilities: { drop: ["ALL"], add },
            seccompProfile: { type: "RuntimeDefault" },
          },
        },
      });
      // Its exit code is the report's, which kubectl tells as an error.
      const script = `${process.execPath} ${join(DIST, "cli.js")} doctor -o json 2>&1; true`;
      const said = await kubectl(
        ...["exec", name, "-n", namespace, "--", BUSYBOX_FILE, "sh", "-c", script],
      );
      assert.match(said, /^\{.*\}\s*$/s);
      return JSON.parse(said) as Report;
    };
    const closed = await inPod("developer", []);
    has(closed, "machine-pidfd-getfd", "problem", /add: \[SYS_PTRACE\]/);
    has(closed, "machine-no-new-privileges", "note", /own rights/);
    assert.equal(closed.exitCode, 6);
    // As the pod's service account, which may do nothing.
    has(closed, "cluster-login", "ok", new RegExp(`system:serviceaccount:${namespace}:default`));
    has(closed, "rights-missing", "problem", /kind: Role/);
    const open = await inPod("developer-with-ptrace", ["SYS_PTRACE"]);
    has(open, "machine-tap", "ok", /can be watched/);
    assert.equal(open.exitCode, 7);
  });

  test("a completed pod is no target, and the reason is told", async () => {
    await createPod({ namespace, name: "done", command: ["sh", "-c", "exit 0"] });
    await kubectl(
      ...["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/done"],
      ...["-n", namespace, "--timeout=60s"],
    );
    const report = await examine(["-t", "pod/done", "-n", namespace]);
    has(report, "target-not-running", "problem", /ended with code 0/);
    assert.equal(report.exitCode, 3);
  });
});

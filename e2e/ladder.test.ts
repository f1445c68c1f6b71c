/** Where the agent runs when it may not run as a Job beside its target, and what is missing there. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { rightsFor, sessionPurposes } from "@inpod/targets";
import { imageOfFiles } from "./support/images.ts";
import { CLI, runInpod, startInpod } from "./support/inpod.ts";
import { apply, inventory, kubectl, onCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { BUSYBOX, NODE_IMAGE, runNodePod, runPod } from "./support/pods.ts";
import { rulesOf, userWith } from "./support/users.ts";

const POD_SERVER = `require("http").createServer((q, r) => r.end("pod " + q.socket.remoteAddress)).listen(3000)`;
const LOCAL_SERVER = `require("http")
  .createServer((q, r) => r.end("local " + q.socket.remoteAddress + " " + process.env.GREETING))
  .listen(3000, () => console.log("local server listens"));
`;
/** What Pod Security's level "restricted" wants. */
const HARDENED = {
  runAsUser: 1234,
  runAsGroup: 1234,
  runAsNonRoot: true,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
  seccompProfile: { type: "RuntimeDefault" },
};
const SECRET = "/srv-data/secret";
/** Writes a file that only its own user can read, and then sleeps. */
const KEEPER = {
  command: [
    "sh",
    "-c",
    `umask 077; echo "the pod's secret" > ${SECRET}; trap 'exit 0' TERM; while :; do sleep 1; done`,
  ],
  env: { GREETING: "from-the-pod" },
};
const DATA = { name: "data", mountPath: "/srv-data" };
const LOOK = `echo $GREETING; cat ${SECRET}; cat /etc/hostname; grep search /etc/resolv.conf; wget -qO- http://web/`;

describe("the ladder on a cluster", onCluster, () => {
  const namespace = useNamespace("inpod-ladder");
  const agents = useNamespace("inpod-ladder-agents");
  const level = (value: string) => ({ "pod-security.kubernetes.io/enforce": value });
  const baseline = useNamespace("inpod-ladder-baseline", level("baseline"));
  const restricted = useNamespace("inpod-ladder-restricted", level("restricted"));
  const folder = mkdtempSync(join(tmpdir(), "inpod-ladder-"));
  after(() => rmSync(folder, { recursive: true }));

  /** A pod of one container with a volume of its own. */
  async function runKeeper(where: string, name: string, securityContext?: object): Promise<void> {
    await apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: where, labels: { app: name } },
      spec: {
        terminationGracePeriodSeconds: 0,
        securityContext: { fsGroup: 1234 },
        volumes: [{ name: "data", emptyDir: {} }],
        containers: [
          {
            name: "app",
            image: BUSYBOX,
            command: KEEPER.command,
            env: [{ name: "GREETING", value: KEEPER.env.GREETING }],
            volumeMounts: [DATA],
            ...(securityContext === undefined ? {} : { securityContext }),
          },
          {
            name: "other",
            image: BUSYBOX,
            command: ["sleep", "3600"],
            env: [{ name: "GREETING", value: "from-the-other" }],
            securityContext: { ...securityContext, runAsUser: 4321, runAsGroup: 4321 },
          },
        ],
      },
    });
    await ready(where, name);
  }
  const ready = (where: string, name: string): Promise<string> =>
    kubectl("wait", "--for=condition=Ready", `pod/${name}`, "-n", where, "--timeout=60s");

  async function runWeb(where: string, securityContext?: object): Promise<void> {
    await runNodePod({
      namespace: where,
      name: "web",
      source: POD_SERVER,
      env: { GREETING: "from-the-pod" },
      extra: securityContext === undefined ? {} : { securityContext },
    });
    await apply({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace: where },
      spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 3000 }] },
    });
  }

  before(async () => {
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    await Promise.all([
      runWeb(namespace, { ...HARDENED, readOnlyRootFilesystem: true }),
      runWeb(restricted, HARDENED),
      runWeb(baseline),
      runPod({ namespace, name: "client", command: ["sleep", "3600"] }),
      runKeeper(restricted, "keeper", HARDENED),
      runKeeper(baseline, "keeper"),
    ]);
    await waitFor("the service to have its pod", async () =>
      (await ask().catch(() => "")).startsWith("pod") ? true : undefined,
    );
    writeFileSync(join(folder, "server.js"), LOCAL_SERVER);
  });

  /** What the service says to a client in another pod. */
  const ask = (): Promise<string> =>
    kubectl("exec", "client", "-n", namespace, "--", "wget", "-qO-", "http://web/");

  interface EphemeralStatus {
    readonly name: string;
    readonly state: { terminated?: { exitCode: number }; running?: object };
  }
  const ephemerals = async (where: string, pod: string): Promise<EphemeralStatus[]> =>
    JSON.parse(await kubectl("get", "pod", pod, "-n", where, "-o", "json")).status
      .ephemeralContainerStatuses ?? [];
  /** Every agent in the pod has ended by itself. */
  const untilEnded = (where: string, pod: string, timeoutMs?: number): Promise<EphemeralStatus[]> =>
    waitFor(
      "the ephemeral container to end",
      async () => {
        const all = await ephemerals(where, pod);
        return all.length > 0 && all.every(({ state }) => state.terminated) ? all : undefined;
      },
      timeoutMs,
    );

  /** The spec of the ephemeral container that a session says it has added. */
  async function addedTo(where: string, pod: string, said: string) {
    const [, name] = /ephemeral container (inpod-\w+) added/.exec(said) ?? assert.fail(said);
    const { spec } = JSON.parse(await kubectl("get", "pod", pod, "-n", where, "-o", "json"));
    return spec.ephemeralContainers.find((each: { name: string }) => each.name === name);
  }

  const config = (value: object): string => {
    const file = join(folder, `${Math.random().toString(36).slice(2)}.json`);
    writeFileSync(file, JSON.stringify(value));
    return file;
  };

  test("where a job can be had, nothing is said about it", async () => {
    const ran = await runInpod(["exec", "-t", "pod/web", "-n", namespace, "--", "true"]);
    assert.equal(ran.code, 0, ran.stderr);
    assert.doesNotMatch(ran.stderr, /agent: /);
  });

  test("without a terminal nobody is asked, and the error says by which flag to say yes", async () => {
    const ran = await runInpod(["exec", "-t", "pod/keeper", "-n", restricted, "--", "true"]);
    assert.equal(ran.code, 4, ran.stderr);
    assert.match(ran.stderr, /enforces the Pod Security level "restricted"/);
    assert.match(ran.stderr, /hint: take an ephemeral container \(everything but incoming\).* -e/);
    assert.deepEqual(await ephemerals(restricted, "keeper"), []);
  });

  /** inpod on a terminal that is answered. */
  async function onTerminal(
    answer: string,
    ...args: string[]
  ): Promise<{ code: number; said: string }> {
    const command = [CLI, ...args].map((each) => `'${each}'`).join(" ");
    const child = spawn("script", ["-qec", command, "/dev/null"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    let said = "";
    let isAnswered = false;
    child.stdout.on("data", (chunk) => {
      said += String(chunk);
      if (isAnswered || !said.includes("[y/N]")) return;
      isAnswered = true;
      child.stdin.write(answer);
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
    const [code] = await once(child, "close");
    clearTimeout(timer);
    return { code, said };
  }

  test("on a terminal the user is asked, and no is what counts unless he says yes", async () => {
    const args = ["exec", "-t", "pod/keeper", "-n", restricted, "--", "sh", "-c", "echo $GREETING"];
    const refused = await onTerminal("\n", ...args);
    assert.equal(refused.code, 4, refused.said);
    assert.match(
      refused.said,
      /stays in the pod's spec until the pod is deleted\. Use it\? \[y\/N\]/,
    );
    assert.deepEqual(await ephemerals(restricted, "keeper"), []);
    const ran = await onTerminal("y\n", ...args);
    assert.equal(ran.code, 0, ran.said);
    assert.match(ran.said, /from-the-pod/);
    const [status] = await untilEnded(restricted, "keeper");
    assert.equal(status?.state.terminated?.exitCode, 0);
  });

  for (const [where, words] of [
    ["restricted", 'the Pod Security level "restricted"'],
    ["baseline", 'the Pod Security level "baseline"'],
  ] as const)
    test(`with the target's own rights alone (${where}): everything but incoming`, async () => {
      const ns = where === "restricted" ? restricted : baseline;
      const ran = await runInpod(
        ["exec", "-e", "-t", "pod/keeper", "-n", ns, "--", "sh", "-c", LOOK],
        { env: { INPOD_CONFIG_FILE: config({ feature: { fs: { read_only: [SECRET] } } }) } },
      );
      const [greeting, secret, hostname, search, web] = ran.stdout.split("\n");
      assert.deepEqual(
        [greeting, secret, hostname, web?.split(" ")[0]],
        ["from-the-pod", "the pod's secret", "keeper", "pod"],
        ran.stderr,
      );
      assert.match(search ?? "", new RegExp(`search ${ns}.svc`));
      assert.match(
        ran.stderr,
        new RegExp(
          `agent: an unprivileged ephemeral container in pod/keeper: incoming is not available because namespace "${ns}" enforces ${words}\\n`,
        ),
      );
      await untilEnded(ns, "keeper");
      const added = await addedTo(ns, "keeper", ran.stderr);
      const marks = Object.fromEntries(
        added.env.map(({ name, value }: { name: string; value: string }) => [name, value]),
      );
      assert.match(added.name, /^inpod-[0-9a-f]{10}$/);
      assert.equal(marks.INPOD_OWNER.length > 0, true);
      assert.equal(Number.isNaN(Date.parse(marks.INPOD_DEADLINE)), false);
    });

  test("of containers with different users, the agent is the named one's", async () => {
    const path = "pod/keeper/container/other";
    const ran = await runInpod([
      ...["exec", "-e", "-t", path, "-n", restricted, "--", "sh", "-c", "echo $GREETING"],
    ]);
    assert.equal(ran.stdout, "from-the-other\n", ran.stderr);
    const added = await addedTo(restricted, "keeper", ran.stderr);
    assert.deepEqual([added.targetContainerName, added.securityContext.runAsUser], ["other", 4321]);
  });

  test("the smallest Role for an ephemeral container is enough for one, and tells who had it", async () => {
    const purposes = sessionPurposes("pod", restricted, undefined, true);
    const rules = rulesOf(
      rightsFor(purposes.map(({ operation }) => operation)).filter(
        ({ needed }) => needed === "always",
      ),
    );
    assert.ok(!rules.some(({ resources }) => resources.includes("jobs")));
    const kubeconfig = await userWith(folder, restricted, "smallest", rules);
    const at = ["--kubeconfig", kubeconfig, "-t", "pod/keeper", "-n", restricted];
    const ran = await runInpod(["exec", "-e", ...at, "--", "sh", "-c", "echo $GREETING"]);
    assert.equal(ran.stdout, "from-the-pod\n", ran.stderr);
    const added = await addedTo(restricted, "keeper", ran.stderr);
    assert.deepEqual(
      added.env.find(({ name }: { name: string }) => name === "INPOD_OWNER"),
      { name: "INPOD_OWNER", value: `system:serviceaccount:${restricted}:smallest` },
    );
  });

  test("an ephemeral container steals from a pod that is no root's, and its memory is small", async () => {
    const inpod = startInpod(
      ["exec", "-e", "-t", "pod/web", "-n", namespace, "--steal", "--", "node", "server.js"],
      { cwd: folder },
    );
    await inpod.says(/local server listens/);
    assert.match(inpod.output(), /agent: an ephemeral container in pod\/web\n/);
    assert.match(await ask(), /^local \S+ from-the-pod$/);
    // Anonymous memory of all its processes: what is not there for the taking.
    const agent = await waitFor("the cluster to know that it runs", async () =>
      (await ephemerals(namespace, "web")).find(({ state }) => state.running),
    );
    const usage = await kubectl(
      ...["exec", "web", "-n", namespace, "-c", "app", "--", process.execPath, "-e"],
      `let sum = 0;
       for (const pid of require("fs").readdirSync("/proc").filter(Number)) {
         const read = (name) => { try { return require("fs").readFileSync("/proc/" + pid + "/" + name, "utf8"); } catch { return ""; } };
         if (/inpod|nft/.test(read("cmdline"))) sum += Number(/RssAnon:\\s+(\\d+)/.exec(read("status"))?.[1] ?? 0);
       }
       console.log(sum)`,
    );
    assert.ok(Number(usage) > 1_000 && Number(usage) < 48 * 1024, `${usage} kB`);
    inpod.interrupt();
    await inpod.done;
    assert.match(await ask(), /^pod /);
    const ended = (await untilEnded(namespace, "web")).find(({ name }) => name === agent.name);
    assert.equal(ended?.state.terminated?.exitCode, 0);
  });

  test("two sessions in one pod have an agent and a port each", async () => {
    const start = () =>
      startInpod([
        ...["exec", "-e", "-t", "pod/web", "-n", namespace],
        ...["--", "sh", "-c", "echo in; exec sleep 60"],
      ]);
    const [one, two] = [start(), start()];
    await Promise.all([one.says(/^in$/m), two.says(/^in$/m)]);
    one.interrupt();
    two.interrupt();
    await Promise.all([one.done, two.done]);
    await untilEnded(namespace, "web");
  });

  test("kill -9 of inpod: agents that nothing collects end by themselves, and the pod answers", async () => {
    const found = await inventory(agents);
    const elsewhere = startInpod([
      ...["exec", "-f", config({ agent: { namespace: agents, idle_timeout: 2 } })],
      ...["-t", "pod/client", "-n", namespace, "--", "sh", "-c", "echo in; exec sleep 600"],
    ]);
    const file = config({ agent: { ephemeral: true, idle_timeout: 2 } });
    const inpod = startInpod(
      ["exec", "-f", file, "-t", "pod/web", "-n", namespace, "--steal", "--", "node", "server.js"],
      { cwd: folder },
    );
    await inpod.says(/local server listens/);
    await elsewhere.says(/^in$/m);
    assert.match(await ask(), /^local/);
    for (const { child } of [inpod, elsewhere]) process.kill(-(child.pid ?? 0), "SIGKILL");
    await Promise.all([inpod.done, elsewhere.done]);
    await waitFor("the pod to answer", async () =>
      (await ask().catch(() => "")).startsWith("pod") ? true : undefined,
    );
    await waitFor("the cluster to know that it runs", async () =>
      (await ephemerals(namespace, "web")).find(({ state }) => state.running),
    );
    // A session that is lost may come back for a minute.
    await untilEnded(namespace, "web", 120_000);
    await waitFor("the job to be gone", async () =>
      (await inventory(agents)).join() === found.join() ? true : undefined,
    );
  });

  test("a restarted container takes the agent in its pid namespace along, and another one is added", async () => {
    // Ends when somebody opens the fifo, which each of its lives makes anew.
    const command = ["sh", "-c", "mkfifo /tmp/end && cat < /tmp/end"];
    await apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "restarting", namespace },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [{ name: "app", image: BUSYBOX, command }],
      },
    });
    await ready(namespace, "restarting");
    const inpod = startInpod([
      ...["exec", "-e", "-t", "pod/restarting", "-n", namespace, "--", "sleep", "60"],
    ]);
    await inpod.says(/agent: an ephemeral container/);
    const end = ["exec", "restarting", "-n", namespace, "-c", "app", "--", "sh", "-c"];
    await kubectl(...end, ": > /tmp/end");
    await inpod.says(/the agent is gone .*: starting another one/);
    await inpod.says(/the connection to the agent is back|another agent/);
    await waitFor("two agents to be in the pod's spec", async () => {
      const all = await ephemerals(namespace, "restarting");
      const running = all.filter(({ state }) => state.running);
      return all.length === 2 && running.length === 1 ? true : undefined;
    });
    inpod.interrupt();
    await inpod.done;
    await untilEnded(namespace, "restarting");
  });

  test("without a target: a pod of the namespace, with nobody's traffic", async () => {
    const found = await inventory(restricted);
    const ran = await runInpod([
      ...["exec", "-t", "targetless", "-n", restricted, "--", "sh", "-c"],
      "env | grep ^WEB_SERVICE_HOST=; env | grep -c INPOD_OWNER; hostname; grep search /etc/resolv.conf; wget -qO- http://web/",
    ]);
    const [service, owners, hostname, search, web] = ran.stdout.split("\n");
    assert.match(service ?? "", /^WEB_SERVICE_HOST=\d/, ran.stderr);
    assert.equal(owners, "0");
    assert.match(hostname ?? "", /^inpod-/);
    assert.match(search ?? "", new RegExp(`search ${restricted}.svc`));
    assert.match(web ?? "", /^pod /);
    assert.match(
      ran.stderr,
      /without a target: incoming is not available because there is no target/,
    );
    await waitFor("the namespace to be as before", async () =>
      (await inventory(restricted)).join() === found.join() ? true : undefined,
    );
  });

  test("no target at all stays an error", async () => {
    const ran = await runInpod(["exec", "-n", restricted, "--", "true"], { cwd: folder });
    assert.equal(ran.code, 2);
    assert.match(ran.stderr, /no target/);
  });

  test("a full node is told, and what takes no room there is offered", async () => {
    const full = { resources: { requests: { cpu: "1000" } } };
    const at = ["-t", "pod/web", "-n", namespace, "--", "true"];
    const ran = await runInpod(["exec", "-f", config({ agent: full }), ...at]);
    assert.equal(ran.code, 5, ran.stderr);
    assert.match(ran.stderr, /node "\S+" is full and did not take the agent \(OutOfcpu\)/);
    assert.match(ran.stderr, /hint: take an ephemeral container, which stays in the pod's spec/);
    const unchecked = config({ agent: { ...full, check_out_of_pods: false } });
    const silent = await runInpod(["exec", "-f", unchecked, ...at]);
    assert.equal(silent.code, 5);
    assert.doesNotMatch(silent.stderr, /ephemeral container/);
    assert.equal((await runInpod(["exec", "-e", "-f", config({ agent: full }), ...at])).code, 0);
  });

  test("a pod in its node's network is not stolen from without a word", async () => {
    await apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "host", namespace },
      spec: {
        hostNetwork: true,
        terminationGracePeriodSeconds: 0,
        containers: [
          {
            name: "app",
            image: NODE_IMAGE,
            command: [process.execPath, "-e", POD_SERVER.replace("3000", "38123")],
          },
        ],
      },
    });
    await ready(namespace, "host");
    const address = await kubectl(
      ...["get", "pod", "host", "-n", namespace, "-o", "jsonpath={.status.podIP}"],
    );
    const get = (): Promise<string> =>
      kubectl("exec", "client", "-n", namespace, "--", "wget", "-qO-", `http://${address}:38123/`);
    writeFileSync(join(folder, "host.js"), LOCAL_SERVER.replace("3000", "38123"));
    const args = ["-t", "pod/host", "-n", namespace, "--steal", "--", "node", "host.js"];
    for (const rung of [[], ["-e"]]) {
      const inpod = startInpod(["exec", ...rung, ...args], { cwd: folder });
      await inpod.says(/local server listens/);
      await inpod.says(/incoming is not available because the target is in its node's network/);
      assert.match(await get(), /^pod/);
      inpod.interrupt();
      await inpod.done;
      const allowed = startInpod(["exec", ...rung, "--allow-host-network", ...args], {
        cwd: folder,
      });
      await allowed.says(/local server listens/);
      await waitFor("the local server to answer", async () =>
        (await get()).startsWith("local") ? true : undefined,
      );
      allowed.interrupt();
      await allowed.done;
      assert.match(await get(), /^pod/);
    }
  });
});

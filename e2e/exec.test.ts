/** `inpod exec` on a real cluster: the web server, the metadata service, every clean and unclean end, bad input. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { imageOfFiles, imageOfStandIn } from "./support/images.ts";
import { runInpod, startInpod } from "./support/inpod.ts";
import { apply, inventory, kubectl, onCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { BUSYBOX, NODE_IMAGE, runNodePod, runPod } from "./support/pods.ts";

const OTHER_VERSION = "lab/inpod-other-version:1";

const POD_SERVER = `require("http").createServer((q, r) => r.end("pod " + q.socket.remoteAddress)).listen(3000)`;
const LOCAL_SERVER = `require("http")
  .createServer((q, r) => r.end("local " + q.socket.remoteAddress + " " + process.env.GREETING))
  .listen(3000, () => console.log("local server listens"));
`;

/** Where -i is to decide: the variable, by which a checkout names its own image, would. */
const OWN_IMAGE = { env: { INPOD_AGENT_IMAGE: "" } };

describe("inpod exec on a cluster", onCluster, () => {
  const namespace = useNamespace("inpod-exec");
  const restricted = useNamespace("inpod-exec-restricted", {
    "pod-security.kubernetes.io/enforce": "restricted",
  });
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-"));
  let found: string[] = [];

  before(async () => {
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    await runNodePod({
      namespace,
      name: "web",
      source: POD_SERVER,
      env: { GREETING: "from-the-pod" },
    });
    await apply({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace },
      spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 3000 }] },
    });
    await runPod({ namespace, name: "client", command: ["sleep", "3600"] });
    await waitFor("the service to have its pod", async () =>
      (await ask().catch(() => "")).startsWith("pod") ? true : undefined,
    );
    writeFileSync(join(folder, "server.js"), LOCAL_SERVER);
    found = await inventory(namespace);
  });
  after(() => rmSync(folder, { recursive: true }));

  /** What the service says to a client in another pod. */
  const ask = (): Promise<string> =>
    kubectl("exec", "client", "-n", namespace, "--", "wget", "-qO-", "http://web/");

  const addressOf = (pod: string): Promise<string> =>
    kubectl("get", "pod", pod, "-n", namespace, "-o", "jsonpath={.status.podIP}");

  const untilAsBefore = (): Promise<unknown> =>
    waitFor(
      "the namespace to be as before",
      async () => ((await inventory(namespace)).join() === found.join() ? true : undefined),
      100_000, // a session that is lost may come back for a minute
    );

  const steal = (): ReturnType<typeof startInpod> =>
    startInpod(
      ["exec", "--target", "pod/web", "-n", namespace, "--steal", "--", "node", "server.js"],
      { cwd: folder },
    );

  test("a local web server answers in the pod's place, and after Ctrl-C the pod again", async () => {
    const inpod = steal();
    await inpod.says(/local server listens/);
    const client = await addressOf("client");
    assert.equal(await ask(), `local ::ffff:${client} from-the-pod`);
    assert.equal(await ask(), `local ::ffff:${client} from-the-pod`);
    inpod.interrupt();
    const { signal, code } = await inpod.done;
    assert.ok(signal === "SIGINT" || code === 130, `${signal} ${code}`);
    assert.equal(await ask(), `pod ::ffff:${client}`);
    await untilAsBefore();
  });

  test("a program run by `go run` gets credentials from an address that only the pod reaches", async () => {
    const name = "metadata";
    const credentials = JSON.stringify({ AccessKeyId: "test-key", Token: "test-token" });
    await runNodePod({
      namespace,
      name,
      source: `require("http").createServer((q, r) => r.end(${JSON.stringify(credentials)})).listen(80)`,
    });
    // Stands for 169.254.169.254, which may be a real service on the machine that runs this: an address that
    // is reached in the pod's network and nowhere else.
    const METADATA = await addressOf(name);
    await runPod({ namespace, name: "dummy-pod", container: "dummy", command: ["sleep", "3600"] });
    const here = createServer((_, response) => response.end("the developer's machine"));
    await new Promise<void>((resolve) => here.listen(0, "127.0.0.1", resolve));
    const { port } = here.address() as AddressInfo;
    const project = join(folder, "app");
    mkdirSync(join(project, ".mirrord"), { recursive: true });
    writeFileSync(
      join(project, ".mirrord", "mirrord.json"),
      JSON.stringify({
        target: { path: "pod/dummy-pod/container/dummy", namespace },
        feature: {
          env: true,
          network: { outgoing: { tcp: true, udp: true, filter: { remote: [METADATA] } } },
        },
      }),
    );
    writeFileSync(join(project, "go.mod"), "module app\n\ngo 1.21\n");
    writeFileSync(
      join(project, "main.go"),
      `package main
import ("fmt"; "io"; "net/http"; "os"; "time")
func get(url string) string {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(url)
	if err != nil { return err.Error() }
	body, _ := io.ReadAll(response.Body)
	return string(body)
}
func main() {
	fmt.Println(get("http://${METADATA}/latest/meta-data/iam/security-credentials/role"))
	fmt.Println(get(os.Args[1]))
}
`,
    );
    // Without inpod nothing of it is reached: the address is the pod's only.
    assert.throws(() =>
      execFileSync("curl", ["-sS", "--max-time", "2", `http://${METADATA}/`], { stdio: "pipe" }),
    );
    const ran = await runInpod(
      [
        "exec",
        "-f",
        ".mirrord/mirrord.json",
        "--",
        "go",
        "run",
        "main.go",
        `http://127.0.0.1:${port}/`,
      ],
      { cwd: project },
    );
    here.close();
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(ran.stdout, `${credentials}\nthe developer's machine\n`, ran.stderr);
    const made = [`pod/${name}`, "pod/dummy-pod"];
    await kubectl("delete", ...made, "-n", namespace, "--grace-period=0", "--wait=true");
    await untilAsBefore();
  });

  test("programs of each kind run in the pod's place: names, environment, files, host name", async () => {
    const ran = await runInpod([
      ...["exec", "-t", "pod/web", "-n", namespace, "--"],
      ...[
        "sh",
        "-c",
        `echo $GREETING; uname -n; cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; echo; curl -sS http://client.invalid/ || echo no; curl -sSk https://kubernetes.default.svc/version | grep -c gitVersion`,
      ],
    ]);
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(ran.stdout, `from-the-pod\nweb\n${namespace}\nno\n1\n`, ran.stderr);
    await untilAsBefore();
  });

  test("exit codes and signals are the program's own", async () => {
    const exec = ["exec", "-t", "pod/web", "-n", namespace, "--", "sh", "-c"];
    assert.equal((await runInpod([...exec, "exit 7"])).code, 7);
    const killed = await runInpod([...exec, "kill -KILL $$"]);
    assert.ok(killed.signal === "SIGKILL" || killed.code === 137, JSON.stringify(killed));
    await untilAsBefore();
  });

  test("a program that does not exist is told before anything is made", async () => {
    const ran = await runInpod(["exec", "-t", "pod/web", "-n", namespace, "--", "no-such-program"]);
    assert.equal(ran.code, 127);
    assert.deepEqual(await inventory(namespace), found);
  });

  for (const [what, args, code, words] of [
    ["an unknown pod", ["-t", "pod/wep"], 3, /no pod.*wep[\s\S]*web/],
    ["an unknown container", ["-t", "pod/web/container/ap"], 3, /container[\s\S]*app/],
    ["an unknown context", ["-t", "pod/web", "--context", "nowhere"], 4, /nowhere/],
    ["a target that is no target", ["-t", "web"], 2, /pod\/orders/],
    ["a deployment that is not there", ["-t", "deployment/nope"], 3, /no deployment "nope"/],
    [
      "an image that is not there",
      ["-t", "pod/web", "-i", "lab/no-such-agent:1"],
      5,
      /lab\/no-such-agent:1/,
    ],
  ] as const) {
    test(`${what} is explained, and nothing is left`, async () => {
      const ran = await runInpod(["exec", "-n", namespace, ...args, "--", "true"], OWN_IMAGE);
      assert.equal(ran.code, code, ran.stderr);
      assert.match(ran.stderr, words);
      assert.match(ran.stderr, /error: /);
      await untilAsBefore();
    });
  }

  test("an unknown namespace is explained", async () => {
    const ran = await runInpod(["exec", "-n", "no-such-place", "-t", "pod/web", "--", "true"]);
    assert.ok(ran.code === 3 || ran.code === 4, `${ran.code}`);
    assert.match(ran.stderr, /no-such-place/);
  });

  test("a namespace whose Pod Security level refuses the agent is known by a dry run", async () => {
    await apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "strict", namespace: restricted },
      spec: {
        terminationGracePeriodSeconds: 0,
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 1000,
          seccompProfile: { type: "RuntimeDefault" },
        },
        containers: [
          {
            name: "app",
            image: BUSYBOX,
            command: ["sleep", "3600"],
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
          },
        ],
      },
    });
    await kubectl("wait", "--for=condition=Ready", "pod/strict", "-n", restricted, "--timeout=60s");
    const ran = await runInpod(["exec", "-n", restricted, "-t", "pod/strict", "--", "true"]);
    assert.equal(ran.code, 4, ran.stderr);
    assert.match(ran.stderr, /restricted/);
    const made = (await inventory(restricted)).filter((name) => !name.startsWith("configmap/"));
    assert.deepEqual(made, ["pod/strict"]);
  });

  test("an agent of another protocol version is told with both versions", async () => {
    const hello = JSON.stringify({
      role: "agent",
      versions: [7, 9],
      build: "9.9.9",
      nonce: Buffer.alloc(32).toString("base64"),
      features: [],
      sessions: 0,
    });
    const frame = `\\001\\000\\000\\${hello.length.toString(8)}\\000\\000\\000\\000`;
    await imageOfStandIn(
      OTHER_VERSION,
      `exec /bin/busybox nc -ll -p 61337 -e /bin/busybox sh -c 'printf "${frame}"; printf "%s" '"'"'${hello}'"'"'; exec /bin/busybox sleep 5'`,
    );
    const words = ["exec", "-n", namespace, "-t", "pod/web", "-i", OTHER_VERSION, "--", "true"];
    const ran = await runInpod(words, OWN_IMAGE);
    assert.equal(ran.code, 5, ran.stderr);
    assert.match(ran.stderr, /7 to 9/);
    await untilAsBefore();
  });
});

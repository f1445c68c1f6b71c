import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, readlink, stat } from "node:fs/promises";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Sandbox, startSandbox } from "../src/index.ts";
import { explainRefusal } from "../src/refusals.ts";
import { outcome } from "./run.ts";

const isRoot = process.getuid?.() === 0;
let sandbox: Sandbox;
before(async () => {
  sandbox = await startSandbox();
});
after(() => sandbox?.stop());

const inPod = async (...argv: string[]): Promise<string> => {
  const { code, stdout, stderr } = await outcome(sandbox.inPod(argv));
  assert.equal(code, 0, stderr);
  return stdout;
};

test("the pod answers a client and tells it its address", async () => {
  const response = await sandbox.request("http://198.18.200.2:3000/hello?a=1");
  assert.equal(response.body, "I am the pod, you are 198.18.200.9\nGET /hello?a=1\n");
  assert.equal(response.headers["x-peer-port"], String(response.local.port));
});

test("requests of one connection name share a connection, others have their own", async () => {
  const first = await sandbox.request({ connection: "a" });
  const second = await sandbox.request({ connection: "a", method: "POST", body: "x" });
  const third = await sandbox.request({});
  assert.deepEqual([first.isReused, second.isReused, third.isReused], [false, true, false]);
  assert.deepEqual(second.local, first.local);
  assert.notDeepEqual(third.local, first.local);
});

test("the pod's echo port sends bytes back and half-closes after the client", async () => {
  const connection = await sandbox.connect();
  await connection.send("abc");
  assert.equal(await connection.receive(3), "abc");
  await connection.send("def");
  await connection.end();
  assert.equal(await connection.receive(), "def");
  await connection.close();
});

test("the client gets the errno of a refused port and of a black hole", async () => {
  await assert.rejects(sandbox.connect({ port: 81 }), { code: "ECONNREFUSED" });
  await assert.rejects(sandbox.connect({ host: sandbox.network.blackHole, timeoutMs: 300 }), {
    code: "ETIMEDOUT",
  });
});

test("the pod's process is pid 1 of its own, with a root filesystem, hostname and environment of its own", async () => {
  const status = await readFile(`/proc/${sandbox.pid}/status`, "utf8");
  assert.match(status, /^NSpid:.*\t1$/m);
  assert.equal(await inPod("hostname"), "orders-7d4f\n");
  assert.equal(await inPod("sh", "-c", "echo $GREETING"), "hello-from-the-pod\n");
  assert.equal(await inPod("cat", sandbox.files.greeting), "greetings from the pod's file\n");
  const root = `/proc/${sandbox.pid}/root`;
  assert.match(await readFile(`${root}/etc/resolv.conf`, "utf8"), /^nameserver 198\.18\.200\.53$/m);
  assert.equal(await readlink(`${root}/config/greeting`), "..data/greeting");
  assert.equal((await stat(`${root}${sandbox.files.large}`)).size, 5 * 1024 * 1024);
  assert.equal((await outcome(sandbox.inPod(["touch", "/usr/new"]))).code, 1);
});

test("a file of another user is in the pod", {
  skip: !isRoot && "needs root: a second uid",
}, async () => {
  const found = await stat(`/proc/${sandbox.pid}/root${sandbox.files.otherUsers}`);
  assert.deepEqual([found.uid, found.mode & 0o777], [4242, 0o600]);
});

test("the pod finds its neighbours by short and full names, in its hosts file, and nobody else", async () => {
  const { names, network } = sandbox;
  assert.match(await inPod("getent", "ahostsv4", "greetings"), /^198\.18\.200\.10 /);
  assert.match(await inPod("getent", "ahostsv4", names.metadata), /^198\.18\.169\.254 /);
  assert.match(await inPod("getent", "hosts", network.pod.hostname), /^198\.18\.200\.2 /);
  assert.equal((await outcome(sandbox.inPod(["getent", "hosts", "nobody.example"]))).code, 2);
});

test("a name with many addresses is whole after the resolver has asked again over TCP", async () => {
  const lines = await inPod("getent", "ahostsv4", sandbox.names.large);
  assert.equal(new Set(lines.match(/^198\.18\.201\.\d+/gm)).size, 60);
});

test("neighbour and metadata service answer the pod, the metadata service not the client", async () => {
  const script = `fetch(process.argv[1]).then((r) => r.text()).then((t) => process.stdout.write(t))`;
  const get = (url: string): Promise<string> => inPod(process.execPath, "-e", script, url);
  assert.equal(await get("http://greetings/"), "greetings to 198.18.200.2\n");
  assert.equal(JSON.parse(await get("http://metadata.internal/")).Code, "Success");
  await assert.rejects(sandbox.request("http://198.18.169.254/"), { code: "ENETUNREACH" });
});

test("the UDP echo answers the pod, the sidecar answers on its loopback only", async () => {
  const udp = `const s = require("dgram").createSocket("udp4");
    s.on("message", (m) => { console.log(String(m)); s.close(); }).send("ping", 5353, "198.18.200.10");`;
  assert.equal(await inPod(process.execPath, "-e", udp), "ping\n");
  const tcp = `const s = require("net").connect(9999, "127.0.0.1");
    s.once("data", (m) => { console.log(String(m)); s.destroy(); }).write("side");`;
  assert.equal(await inPod(process.execPath, "-e", tcp), "side\n");
  await assert.rejects(sandbox.connect({ port: 9999 }), { code: "ECONNREFUSED" });
});

test("the laptop has the caller's ids, loopback and no way out", async () => {
  const ids = await outcome(sandbox.inLaptop(["id", "-u"]));
  assert.equal(ids.stdout.trim(), String(process.getuid?.()));
  const script = `require("net").connect(3000, "198.18.200.2").on("error", (e) => console.log(e.code))`;
  const out = await outcome(sandbox.inLaptop([process.execPath, "-e", script]));
  assert.equal(out.stdout, "EHOSTUNREACH\n");
});

test("a process in the laptop may see the pod's root and enter its network, as an agent must", async () => {
  const file = `/proc/${sandbox.pid}/root${sandbox.files.settings}`;
  assert.match((await outcome(sandbox.inLaptop(["cat", file]))).stdout, /corner/);
  const user = isRoot ? [] : ["--user", "--preserve-credentials"];
  const enter = [
    "nsenter",
    "--target",
    String(sandbox.pid),
    ...user,
    "--net",
    "ip",
    "-4",
    "address",
  ];
  const { stdout, stderr } = await outcome(sandbox.inLaptop(enter));
  assert.match(stdout, /198\.18\.200\.2\/24/, stderr);
});

test("ruleset tells what is in the pod's network namespace and is empty before", async () => {
  assert.equal(await sandbox.ruleset(), "");
  await inPod("nft", "add", "table", "inet", "left-behind");
  assert.match(await sandbox.ruleset(), /table inet left-behind/);
  await inPod("nft", "delete", "table", "inet", "left-behind");
  assert.equal(await sandbox.ruleset(), "");
});

test("processes shows a program in the pod while it runs, and not after", async () => {
  const before = await sandbox.processes();
  assert.ok(before.some(({ pid, namespaces }) => pid === sandbox.pid && namespaces.length === 2));
  const program = sandbox.inPod(["sh", "-c", "echo on; exec cat"]);
  const ended = outcome(program);
  assert.ok(program.stdout);
  await once(createInterface(program.stdout), "line");
  const during = await sandbox.processes();
  assert.ok(
    during.some(({ command }) => command === "sh -c echo on; exec cat" || command === "cat"),
  );
  program.stdin?.end();
  await ended;
  assert.deepEqual(await sandbox.processes(), before);
});

test("a file that is copied into the pod can be run there", async () => {
  const path = await sandbox.copyIntoPod("/usr/bin/true");
  assert.equal(path, "/tmp/true");
  assert.equal((await outcome(sandbox.inPod([path]))).code, 0);
});

test("stop ends every process of the sandbox, also those started in it", async () => {
  const other = await startSandbox();
  const client = outcome(other.inClient(["sleep", "1000"]));
  const laptop = outcome(other.inLaptop(["sleep", "1000"]));
  const { pid } = other;
  await Promise.all([other.stop(), other.stop()]);
  assert.deepEqual([(await client).code, (await laptop).code], [null, null]);
  await assert.rejects(readFile(`/proc/${pid}/status`), { code: "ENOENT" });
});

test("kill -9 of the starting process ends the sandbox", async () => {
  const module = new URL("../src/index.ts", import.meta.url).href;
  const script = `import(${JSON.stringify(module)}).then(async ({ startSandbox }) =>
    console.log((await startSandbox()).pid))`;
  const starter = spawn(process.execPath, ["--import", "tsx", "-e", script], {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [pid] = await once(createInterface(starter.stdout), "line");
  // tail waits on a pidfd or polls; it ends when the pod has ended.
  const watch = outcome(
    spawn("timeout", ["10", "tail", "-f", "/dev/null", "--pid", pid, "-s", "0.05"]),
  );
  starter.kill("SIGKILL");
  assert.equal((await watch).code, 0, "the pod outlived the starting process by 10 s");
});

test("a pod may run as another user", { skip: !isRoot && "needs root: a second uid" }, async () => {
  const other = await startSandbox({ uid: 1000, gid: 1000 });
  try {
    const status = await readFile(`/proc/${other.pid}/status`, "utf8");
    assert.match(status, /^Uid:\t1000\t1000\t1000\t1000$/m);
    assert.equal((await other.request({})).status, 200);
  } finally {
    await other.stop();
  }
});

test("where namespaces are refused, one sentence names the setting", () => {
  const sentence = explainRefusal("unshare: unshare failed: Operation not permitted\n", false);
  assert.match(
    sentence,
    /^the sandbox needs root or unprivileged user namespaces, which this machine refuses/,
  );
  assert.match(sentence, /user\.max_user_namespaces|kernel\.\w+|seccomp/);
  assert.equal(sentence.includes("\n"), false);
  assert.equal(explainRefusal("ip: not found", false), "the sandbox did not start: ip: not found");
});

test("a user namespace that allows no further one is told as the setting that it is", async () => {
  const module = new URL("../src/index.ts", import.meta.url).href;
  // In a user namespace of its own the limit can be lowered without touching the machine's.
  const script = `require("fs").writeFileSync("/proc/sys/user/max_user_namespaces", "0");
    process.getuid = () => 1000;
    import(${JSON.stringify(module)}).then(({ startSandbox }) => startSandbox())
      .then(() => console.log("started"), (error) => console.log(error.message))`;
  const argv = ["--user", "--map-root-user", process.execPath, "--import", "tsx", "-e", script];
  const { stdout, stderr } = await outcome(
    spawn("unshare", argv, { cwd: fileURLToPath(new URL("..", import.meta.url)) }),
  );
  assert.match(stdout, /the setting user\.max_user_namespaces is 0/, stderr);
});

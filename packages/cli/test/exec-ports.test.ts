/** Which of the program's ports stand for which of the pod's, where they really are, and what becomes of those that it closes. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import {
  podAnswers,
  podAnswersNow,
  type Run,
  startInpod,
  until,
  useSandbox,
} from "./exec-support.ts";

const { sandbox, inventory, folder } = await useSandbox();

const { httpPort } = NETWORK.pod;

let count = 0;
/** A program of Node's; `http(name)` in it makes a server that says its name. Lines of its stdin are `commands` events. */
async function start(source: string, incoming: object, flags: string[] = []): Promise<Run> {
  const path = join(folder, `program-${count++}.mjs`);
  await writeFile(
    path,
    `import { createServer } from "node:http";
    import net from "node:net";
    import { createInterface } from "node:readline";
    const http = (name) => createServer((q, a) => a.end(name));
    const said = () => console.log("listening");
    const commands = createInterface({ input: process.stdin });
    ${source}`,
  );
  const config = { feature: { network: { incoming: { mode: "steal", ...incoming } } } };
  return startInpod(sandbox, [process.execPath, path], { config, stdin: "pipe", flags });
}

async function interrupted(run: Run): Promise<void> {
  run.signalGroup("SIGINT");
  await run.ended;
  await inventory.assertAsBefore(folder);
}

/** Who answers on a port of the pod: a name, or the errno. */
const who = async (port: number): Promise<string> => {
  try {
    const { body } = await sandbox.request({ port });
    return body.startsWith("I am the pod") ? "pod" : body;
  } catch (error) {
    return (error as { code: string }).code;
  }
};

const listens = (port: number, name = "mine"): string =>
  `http(${JSON.stringify(name)}).listen(${port}, said);`;

test("port_mapping: a port of the program stands for another one of the pod", async () => {
  const run = await start(listens(5000), { port_mapping: [[5000, httpPort]] });
  await run.said(`port ${httpPort} of the target now arrive`, "stderr");
  assert.deepEqual([await who(httpPort), await who(5000)], ["mine", "ECONNREFUSED"]);
  await interrupted(run);
});

test("ports and ignore_ports name ports of the program, or those of the pod that they stand for", async () => {
  const source = `${listens(5000, "a")} ${listens(5001, "b")} ${listens(5002, "c")}`;
  const port_mapping = [[5000, httpPort]];
  for (const [said, answers] of [
    [{ ports: [httpPort, 5001] }, ["a", "b", "ECONNREFUSED"]],
    [{ ports: [5000] }, ["a", "ECONNREFUSED", "ECONNREFUSED"]],
    [{ ignore_ports: [httpPort, 5001] }, ["pod", "ECONNREFUSED", "c"]],
    [{ ignore_ports: [5000] }, ["pod", "b", "c"]],
    [
      { ports: [5002], http_filter: { path_filter: "^/", ports: [httpPort] } },
      ["a", "ECONNREFUSED", "c"],
    ],
  ] as const) {
    const run = await start(source, { port_mapping, ...said });
    await until("all three listen", () => run.stdout.match(/listening/g)?.length === 3);
    assert.deepEqual(
      [await who(httpPort), await who(5001), await who(5002)],
      answers,
      `${JSON.stringify(said)}\n${run.stderr}`,
    );
    await interrupted(run);
  }
});

test("ignore_localhost: who listens on loopback only stays here", async () => {
  const source = `http("mine").listen(${httpPort}, "127.0.0.1", said); ${listens(5001)}`;
  const run = await start(source, { ignore_localhost: true });
  await until("both listen", () => run.stdout.match(/listening/g)?.length === 2);
  assert.deepEqual([await who(httpPort), await who(5001)], ["pod", "mine"]);
  await interrupted(run);
});

/** A port of the laptop's that is free, or held while `held` runs. */
const FREE = 24_680;

test("listen_ports: the program is where the user wants it here", async () => {
  const source = `http("mine").listen(${httpPort}, () => {
    const probe = net.connect({ port: ${FREE}, host: "127.0.0.1" });
    probe.once("connect", () => { console.log("there"); probe.destroy(); });
    probe.once("error", (error) => console.log(error.code));
  });`;
  const run = await start(source, { listen_ports: [[httpPort, FREE]] });
  await run.said("there");
  await run.said(/listen_ports says: the program listens on 127\.0\.0\.1:24680/, "stderr");
  assert.equal(await who(httpPort), "mine");
  await interrupted(run);
});

test("listen_ports: there is no other port where the wished one is taken", async () => {
  const holder = sandbox.inLaptop(
    [
      process.execPath,
      "-e",
      `require("net").createServer().listen(${FREE},"127.0.0.1",()=>console.log("held"))`,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  try {
    await new Promise((resolve) => holder.stdout?.once("data", resolve));
    const source = `http("mine").on("error", (e) => console.log(e.code)).listen(${httpPort});`;
    const run = await start(source, { listen_ports: [[httpPort, FREE]] });
    await run.said("EADDRINUSE");
    assert.equal(await who(httpPort), "pod");
    await interrupted(run);
  } finally {
    holder.kill("SIGKILL");
  }
});

test("a program that closes its listener gives the port back, and keeps the connections that it has", async () => {
  const run = await start(
    `const sockets = [];
    let server;
    const open = () => {
      server = net.createServer((s) => { s.on("error", () => {}); s.on("data", (b) => s.write("mine " + b)); })
        .listen(${httpPort}, said);
    };
    open();
    commands.on("line", (line) => line === "close" ? server.close() : open());`,
    {},
  );
  await run.said("listening");
  for (let round = 1; round <= 2; round++) {
    const kept = await sandbox.connect({ port: httpPort });
    await kept.send("a");
    assert.equal(await kept.receive(6), "mine a");
    run.child.stdin?.write("close\n");
    await run.said(/does not listen on port 3000 any more/, "stderr");
    await until("the pod answers", () => podAnswersNow(sandbox));
    await kept.send("b");
    assert.equal(await kept.receive(6), "mine b", "what was open goes on");
    await kept.close();
    const before = run.stdout.length;
    run.child.stdin?.write("open\n");
    await until("it listens again", () => run.stdout.length > before);
    const again = await sandbox.connect({ port: httpPort });
    await again.send("c");
    assert.equal(await again.receive(6), "mine c");
    await again.close();
    assert.equal(run.stderr.match(/does not listen on port/g)?.length, round);
    run.stderr = run.stderr.replace(/any more/g, "ANY MORE");
  }
  await interrupted(run);
});

/** Written for `python3 -c`: two children answer with their number, over one socket or each over its own (SO_REUSEPORT). */
const PREFORK = `
import os, signal, socket, sys
def listener():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.argv[1] == "own": s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("0.0.0.0", ${httpPort}))
    s.listen(64)
    return s
shared = listener() if sys.argv[1] == "shared" else None
children = []
for number in range(2):
    ready, up = os.pipe()
    pid = os.fork()
    if pid == 0:
        s = shared or listener()
        os.write(up, b"x")
        while True:
            c, _ = s.accept()
            c.recv(65536)
            c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\nConnection: close\\r\\n\\r\\nmine")
            c.close()
    os.read(ready, 1)
    children.append(pid)
if shared: shared.close()
print("listening", flush=True)
for line in sys.stdin:
    pid = children.pop()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    print("killed", flush=True)
`;
const hasPython = spawnSync("python3", ["--version"]).status === 0;

for (const kind of ["shared", "own"])
  test(`while anybody of the tree listens on a port it is the tree's (${kind} sockets)`, {
    skip: hasPython ? false : "needs python3",
  }, async () => {
    const run = await startInpod(sandbox, ["python3", "-c", PREFORK, kind], {
      flags: ["--steal"],
      stdin: "pipe",
    });
    await run.said("listening");
    assert.equal(await who(httpPort), "mine");
    run.child.stdin?.write("\n");
    await run.said("killed");
    // Each of several looks at who listens must find the other one. One connection may have been accepted for the
    // killed one already, and is reset with it.
    const answers: string[] = [];
    const end = performance.now() + 2_000;
    while (performance.now() < end || answers.length < 3) answers.push(await who(httpPort));
    const others = answers.filter((answer) => answer !== "mine");
    assert.ok(others.length < 2, `${others} of ${answers.length}`);
    assert.doesNotMatch(run.stderr, /any more/);
    run.child.stdin?.write("\n");
    await run.said(/does not listen on port 3000 any more/, "stderr");
    assert.equal(await podAnswers(sandbox), true);
    await interrupted(run);
  });

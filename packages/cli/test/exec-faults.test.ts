import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { NETWORK, startSandbox } from "@inpod/sandbox";
import { Run, startInpod, until, useSandbox } from "./exec-support.ts";
import { childrenOf, commandOf, descendants } from "./processes.ts";

const { sandbox, inventory, folder } = await useSandbox();

const server = join(folder, "server.mjs");
await writeFile(
  server,
  `import http from "node:http";
http.createServer((_, response) => response.end("local " + process.pid + "\\n"))
  .listen(${NETWORK.pod.httpPort}, () => console.log("listening", process.pid));`,
);

interface Session {
  readonly run: Run;
  /** The program's process. */
  readonly program: number;
  /** inpod-enter's, its child with rights left out. */
  readonly enter: number;
  /** The agent's Node. */
  readonly agent: number;
}

/** A session in which the local program answers. */
async function stealing(): Promise<Session> {
  const run = await startInpod(sandbox, ["node", server], { flags: ["--steal"] });
  await run.said(/listening \d+/);
  await until("the program answers", localAnswers);
  const program = Number(/listening (\d+)/.exec(run.stdout)?.[1]);
  const enter = childrenOf(run.pid).find((pid) => commandOf(pid).includes("inpod-enter"));
  assert.ok(enter);
  const agent = descendants(enter).find((pid) => commandOf(pid).startsWith(process.execPath));
  assert.ok(agent);
  return { run, program, enter, agent };
}

async function localAnswers(): Promise<boolean> {
  try {
    return (await sandbox.request({ timeoutMs: 2000 })).body.startsWith("local ");
  } catch {
    return false;
  }
}

test("when the CLI is killed the tree and the agent end and the pod answers again", async () => {
  const { run, program } = await stealing();
  process.kill(run.pid, "SIGKILL");
  await run.ended;
  await until("the program has ended", () => commandOf(program) === "");
  await inventory.assertAsBefore(folder);
});

for (const victim of ["agent", "enter"] as const) {
  test(`when ${victim === "agent" ? "the agent's Node" : "inpod-enter"} is killed another agent takes the ports, and the program goes on`, async () => {
    const session = await stealing();
    process.kill(session[victim], "SIGKILL");
    await session.run.said(/the agent is gone \(.*\): starting another one/, "stderr");
    await session.run.said("the connection to the agent is back", "stderr");
    await until("the same program answers again", async () => {
      const { body } = await sandbox.request({ timeoutMs: 2000 });
      return body === `local ${session.program}\n`;
    });
    session.run.signalGroup("SIGINT");
    await session.run.ended;
    await inventory.assertAsBefore(folder);
  });
}

for (const onDisconnect of ["stop", "continue"] as const) {
  test(`a session that is lost for good, with on_disconnect "${onDisconnect}": the program ${onDisconnect === "stop" ? "is ended, and inpod says why" : "goes on"}`, async (t) => {
    const own = await startSandbox();
    t.after(() => own.stop());
    const run = await startInpod(own, ["node", server], {
      flags: ["--steal"],
      config: { on_disconnect: onDisconnect },
    });
    await run.said(/listening \d+/);
    const program = Number(/listening (\d+)/.exec(run.stdout)?.[1]);
    const enter = childrenOf(run.pid).find((pid) => commandOf(pid).includes("inpod-enter"));
    assert.ok(enter);
    process.kill(own.pid, "SIGKILL");
    await run.said("the target does not run", "stderr");
    process.kill(enter, "SIGKILL");
    await run.said("the session is lost for good: no process", "stderr");
    if (onDisconnect === "continue") {
      assert.notEqual(commandOf(program), "", "the program was ended");
      run.signalGroup("SIGINT");
    }
    const { code, signal, stderr } = await run.ended;
    assert.equal(commandOf(program), "");
    if (onDisconnect === "stop") {
      assert.equal(code, 5, stderr);
      assert.match(stderr, /error: the session was lost: no process/);
    } else assert.ok(signal === "SIGINT" || code === 130, `${signal} ${code}`);
  });
}

/** Runs Python in the laptop, where the agent listens. */
async function inLaptop(source: string): Promise<string> {
  const { stdout, stderr, code } = await new Run(sandbox.inLaptop(["python3", "-c", source])).ended;
  assert.equal(code, 0, stderr);
  return stdout;
}

function socketsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
    } catch {
      return []; // closed meanwhile
    }
  });
}

/** Where the agent listens: the laptop's one listener that is neither the CLI's nor the program's. */
function agentPort({ run, program }: Session): number {
  const others = new Set([...socketsOf(run.pid), ...socketsOf(program)]);
  const ports: number[] = [];
  // Columns of proc_pid_net_tcp(5): 0A is LISTEN.
  for (const line of readFileSync(`/proc/${run.pid}/net/tcp`, "latin1").split("\n")) {
    const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
    const [address, port = ""] = local.split(":");
    if (state === "0A" && address === "0100007F" && !others.has(inode)) {
      ports.push(Number.parseInt(port, 16));
    }
  }
  const [port] = ports;
  assert.ok(port !== undefined && ports.length === 1, `listeners: ${ports}`);
  return port;
}

test("garbage and strangers at the agent's port do not disturb a session", async () => {
  const session = await stealing();
  const port = agentPort(session);
  const source = `
import os, socket, random
random.seed(7)
for i in range(40):
    s = socket.create_connection(("127.0.0.1", ${port}), timeout=5)
    try:
        s.sendall([b"GET / HTTP/1.1\\r\\n\\r\\n", random.randbytes(5000), b"\\xff" * 70000, b""][i % 4])
        s.settimeout(0.05); s.recv(100)
    except OSError: pass
    s.close()
print("done")`;
  assert.equal(await inLaptop(source), "done\n");
  assert.ok(await localAnswers());
  session.run.signalGroup("SIGINT");
  await session.run.ended;
  await inventory.assertAsBefore(folder);
});

test("a tunnel that is cut is dialled again, and the port is taken again", async (t) => {
  const session = await stealing();
  const port = agentPort(session);
  const cut = new Run(sandbox.inLaptop(["ss", "-K", "-nt", "sport", "=", `:${port}`]));
  const { stdout, stderr } = await cut.ended;
  if (/not supported|not permitted/i.test(stderr) || !stdout.includes(String(port))) {
    return t.skip("ss -K needs the right to destroy sockets");
  }
  await session.run.said("the connection to the agent is back", "stderr");
  await until("the program answers again", localAnswers);
  session.run.signalGroup("SIGINT");
  await session.run.ended;
  await inventory.assertAsBefore(folder);
});

/** Calls that the tap has in hand: no signal makes their answer lost, and yet signals, stops and debuggers do not wait. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createSocket, type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { encodeAddress, type TapEvent } from "../src/index.ts";
import { compile, letGo, start, tap } from "./support.ts";

const PEER = "198.18.0.9";
const POD = "198.18.0.1";
const DEADLINE_MS = 60_000;
const LOOK_MS = 5;

after(() => tap.unref()); // its threads would keep this process alive

const compiled = (name: string): string => {
  const source = readFileSync(new URL(`${name}.c`, import.meta.url), "latin1");
  return compile(name, source, "-pthread");
};

async function until(isSo: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await delay(LOOK_MS);
  }
}

/** A socket of ours that stands for PEER:53. */
async function peerOf(t: { after(run: () => void): void }) {
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  const forget = tap.setName("datagram", port, encodeAddress(POD, 1), encodeAddress(PEER, 53));
  t.after(() => {
    forget();
    socket.close();
  });
  let receivedAtConnect = Number.NaN;
  const handler = (event: TapEvent): void => {
    if (event.kind === "connect") {
      receivedAtConnect = tap.statistics().received;
      tap.replyConnectedDatagram(event.token, port);
    } else if (event.kind === "sendto") tap.replySentTo(event.token, port);
    else letGo(event);
  };
  return { socket, handler, receivedSince: () => tap.statistics().received - receivedAtConnect };
}

/** Before 6.18 the kernel needs a hand (op_settle() in ../native/addon/interrupt.c). A process can be told it is older. */
for (const [where, before] of [
  ["on this kernel", []],
  ["on one before 6.18", ["setarch", "--uname-2.6"]],
] as const) {
  test(`of datagrams that are sent and received under signals none is lost, and none comes twice, ${where}`, async (t) => {
    if (tap.shutDoors().has("wait-killable")) return t.skip("this kernel cannot: Linux 5.19");
    const script = fileURLToPath(new URL("datagrams-under-signals.ts", import.meta.url));
    const node = [process.execPath, "--import", "tsx", script];
    const [file = "", ...argv] = [...before, ...node, compiled("uninterrupted"), "12", "300"];
    const text = await outputOf(spawn(file, argv, { stdio: ["ignore", "pipe", "pipe"] }));
    t.diagnostic(text.trim());
    assert.match(text, /^0 unsent, 0 lost, 0 twice, 0 strange, signals$/m);
  });
}

interface Held {
  readonly pid: number;
  said(): string;
  /** The datagram comes, the program says so, and ends. */
  end(): Promise<void>;
}

/** A program of two threads, one of which waits in recvfrom, held by the tap. */
async function held(t: { after(run: () => void): void }, mode: string): Promise<Held> {
  const { socket, handler, receivedSince } = await peerOf(t);
  const hello = once(socket, "message") as Promise<[Buffer, RemoteInfo]>;
  const { tree, done } = await start([compiled("held"), PEER, mode], handler);
  const { child } = tree;
  t.after(() => child.kill("SIGKILL"));
  let text = "";
  child.stdout?.on("data", (bytes: Buffer) => {
    text += bytes.toString();
  });
  const [, { port, address }] = await hello;
  const pid = child.pid ?? 0;
  // Of what it does after its connect this call alone comes to the tap. Not all that was received less what was answered:
  // an answer is counted a moment later, and so calls of the test before may still seem to be held.
  const isHeld = (): boolean =>
    receivedSince() === 1 &&
    readdirSync(`/proc/${pid}/task`).some((tid) => callOf(pid, tid) === RECVFROM);
  await until(isHeld, "the thread waits in recvfrom");
  return {
    pid,
    said: () => text,
    async end() {
      socket.send("over", port, address);
      const { code, stdout, stderr } = await done;
      assert.equal(code, 0, stderr);
      assert.match(stdout, new RegExp(`^over from ${PEER}\n$`, "m"));
    },
  };
}

const RECVFROM = process.arch === "x64" ? "45" : "207";
function callOf(pid: number, tid: string): string {
  try {
    return readFileSync(`/proc/${pid}/task/${tid}/syscall`, "latin1").split(" ")[0] ?? "";
  } catch {
    return ""; // it has ended
  }
}

const statesOf = (pid: number): string =>
  readdirSync(`/proc/${pid}/task`)
    .map((tid) => /\) (\S)/.exec(readFileSync(`/proc/${pid}/task/${tid}/stat`, "latin1"))?.[1])
    .join("");

for (const [mode, then] of [
  ["restart", "handled\n"],
  ["plain", "handled\nEINTR from 0.0.0.0\n"],
  ["timeout", "handled\nEINTR from 0.0.0.0\n"],
] as const) {
  test(`a handler runs while its thread waits, and the call goes on as signal(7) says: ${mode}`, async (t) => {
    const program = await held(t, mode);
    process.kill(program.pid, "SIGUSR1");
    await until(() => program.said() === then, `${JSON.stringify(then)} is said`);
    await program.end();
    assert.equal(program.said(), `${then}over from ${PEER}\n`);
  });
}

test("a program is stopped and continued while a thread of it waits", async (t) => {
  const program = await held(t, "plain");
  for (let i = 0; i < 3; i++) {
    process.kill(program.pid, "SIGSTOP");
    await until(() => statesOf(program.pid) === "TT", "all of its threads are stopped");
    process.kill(program.pid, "SIGCONT");
    await until(() => !statesOf(program.pid).includes("T"), "they are continued");
  }
  await program.end();
});

const has = (program: string): boolean => spawnSync(program, ["--version"]).status === 0;

test("gdb attaches to a program of which a thread waits, and lets it go", async (t) => {
  if (!has("gdb")) return t.skip("no gdb");
  const program = await held(t, "plain");
  const gdb = spawn("gdb", ["-p", String(program.pid), "-batch", "-nx", "-ex", "info threads"], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, DEBUGINFOD_URLS: "" },
  });
  assert.match(await outputOf(gdb), /recvfrom|syscall/);
  await program.end();
});

test("strace attaches to a program of which a thread waits, and lets it go", async (t) => {
  if (!has("strace")) return t.skip("no strace");
  const program = await held(t, "plain");
  const strace = spawn("strace", ["-f", "-p", String(program.pid), "-e", "trace=none"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = outputOf(strace);
  let said = "";
  strace.stderr?.on("data", (bytes: Buffer) => {
    said += bytes.toString();
  });
  await until(() => /attached/.test(said), `strace attaches; it says ${said}`);
  await until(() => !/[tT]/.test(statesOf(program.pid)), "the threads go on");
  strace.kill("SIGINT");
  assert.match(await output, /detached/);
  await program.end();
});

/** Ends with the process; killed when it does not. */
async function outputOf(child: ChildProcess): Promise<string> {
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (bytes: Buffer) => {
      text += bytes.toString();
    });
  const timer = setTimeout(() => child.kill("SIGKILL"), DEADLINE_MS);
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  clearTimeout(timer);
  assert.notEqual(signal, "SIGKILL", `it did not end by itself: ${code} ${text}`);
  return text;
}

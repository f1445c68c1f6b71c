/** A target made of real namespaces, with a server on port 8080 of TCP and UDP that answers "pod", and an enter beside it. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../../..");
const driver = join(root, "packages/agent/test/support/driver.ts");
execFileSync(process.execPath, ["--import", "tsx", "scripts/build.ts"], { cwd: root });

/** Who starts target and agent: root, or an ordinary user, whose target has a user namespace of its own. */
export type Who = "root" | "user";
const isRoot = process.getuid?.() === 0;
const ORDINARY_ID = 12345;
/**
 * What runs ends with this process: who is left has our output open, and the runner of a file that has come to its
 * deadline would wait for him.
 */
const as = (who: Who): string[] => [
  ...["setpriv", "--pdeathsig", "KILL"],
  ...(who === "user" && isRoot
    ? [`--reuid=${ORDINARY_ID}`, `--regid=${ORDINARY_ID}`, "--clear-groups"]
    : []),
  "--",
];
/** A folder of ours that an ordinary user's pod has as its own, too: root's can take it. */
export function openToPods(path: string): void {
  chmodSync(path, 0o777);
  if (isRoot) chownSync(path, ORDINARY_ID, ORDINARY_ID);
}
export function skipUnless(who: Who): string | false {
  if (who === "root" && !isRoot) return "needs root";
  // scripts/test.sh: root's run is not to test twice what that of an ordinary user tests for itself.
  const isLater = who === "user" && isRoot && process.env.INPOD_ORDINARY_RUN_FOLLOWS === "yes";
  return isLater ? "an ordinary user's run follows" : false;
}

/** Written for `node -e`: answers each chunk with "pod", each datagram with "pod " and the datagram. */
const SERVER = `require("net").createServer((s)=>{s.on("error",()=>{});s.on("data",()=>s.write("pod\\n"))})
  .listen(8080,()=>{const u=require("dgram").createSocket("udp4");
  u.on("message",(m,r)=>u.send("pod "+m,r.port,r.address));u.bind(8080,()=>console.log("ready"))})`;
/** Written for `node -e`: sends a byte for each line of stdin, prints what comes back, or the errno. */
const CLIENT = `const [port,host,localPort]=process.argv.slice(1);
  const s=require("net").connect({port,host,localPort:+localPort||undefined});
  s.on("data",(b)=>process.stdout.write(b));s.on("error",(e)=>{console.log(e.code);process.exit()});
  s.on("close",()=>{console.log("closed");process.exit()});process.stdin.on("data",()=>s.write("x"))`;

export interface Lines {
  next(): Promise<string>;
}

function lines(child: ChildProcess): Lines {
  const reader = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const iterator = reader[Symbol.asyncIterator]();
  return {
    next: async () => {
      const { value, done } = await iterator.next();
      if (done) throw new Error("the process has ended without another line");
      return value as string;
    },
  };
}

export interface Client {
  /** Sends a byte; the line that answers. */
  ask(): Promise<string>;
  close(): void;
}

export class Pod {
  readonly pid: number;
  readonly #who: Who;
  readonly #process: ChildProcess;

  private constructor(who: Who, child: ChildProcess, pid: number) {
    this.#who = who;
    this.#process = child;
    this.pid = pid;
  }

  /**
   * @param setup shell commands in the pod's namespaces, before its server starts as `execAs`
   * @param holder a process whose network and UTS namespaces are the pod's; root only
   */
  static async start(
    who: Who,
    setup = "",
    execAs = "",
    env: NodeJS.ProcessEnv = {},
    holder?: number,
  ): Promise<Pod> {
    const script = `hostname pod-x; ip link set lo up; ${setup}\nexec ${execAs} ${process.execPath} -e '${SERVER}'`;
    const joined = holder === undefined ? [] : ["nsenter", "-n", "-u", "-t", String(holder)];
    const own = holder === undefined ? ["--net", "--uts"] : [];
    const unshare = ["unshare", ...(who === "user" ? ["-Ur"] : []), ...own, "--pid"];
    const [command = "", ...rest] = [
      ...joined,
      ...as(who),
      ...unshare,
      "--fork",
      "--kill-child",
      "--mount-proc",
      "sh",
      "-c",
    ];
    const child = spawn(command, [...rest, script], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { PATH: process.env.PATH, ...env },
    });
    await lines(child).next();
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8");
    return new Pod(who, child, Number(children.trim()));
  }

  /** A command line that runs in the network of `pid`, of a process of the pod's; default: the pod's own. */
  inside(command: string[], pid = this.pid): string[] {
    const user = this.#who === "user" ? ["-U", "--preserve-credentials"] : [];
    return [...as(this.#who), "nsenter", ...user, "-n", "-t", String(pid), ...command];
  }

  run(...inside: string[]): string {
    const [command = "", ...rest] = this.inside(inside);
    const { stdout, stderr, status } = spawnSync(command, rest, { encoding: "utf8" });
    if (status !== 0) throw new Error(`${inside.join(" ")}: ${stderr}`);
    return stdout.trim();
  }

  /** As run(), while this process goes on. */
  async output(...inside: string[]): Promise<string> {
    const [command = "", ...rest] = this.inside(inside);
    const child = spawn(command, rest, { stdio: ["ignore", "pipe", "inherit"], timeout: 120_000 });
    let text = "";
    for await (const chunk of child.stdout) text += String(chunk);
    return text;
  }

  /** @param localPort 0: any */
  connect(port = 8080, host = "127.0.0.1", localPort = 0): Client {
    const [command = "", ...rest] = this.inside([
      process.execPath,
      "-e",
      CLIENT,
      String(port),
      host,
      String(localPort),
    ]);
    const child = spawn(command, rest, { stdio: ["pipe", "pipe", "inherit"] });
    const answers = lines(child);
    return {
      ask: () => {
        child.stdin?.write("\n");
        return answers.next();
      },
      close: () => child.kill("SIGKILL"),
    };
  }

  async once(port = 8080, host?: string, localPort?: number): Promise<string> {
    const client = this.connect(port, host, localPort);
    const answer = await client.ask();
    client.close();
    return answer;
  }

  /** Also when a test has ended it already. */
  stop(): void {
    try {
      process.kill(this.pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
    this.#process.kill("SIGKILL");
  }
}

/** As a pod's pause process does, holds a network namespace for the containers that come and go. */
export class Pause {
  readonly pid: number;
  readonly #process: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#process = child;
    this.pid = child.pid as number;
  }

  static async start(): Promise<Pause> {
    const script = "hostname pod-x; ip link set lo up; echo ready; exec sleep 600";
    const [command = "", ...rest] = [
      ...as("root"),
      "unshare",
      "--net",
      "--uts",
      "sh",
      "-c",
      script,
    ];
    const child = spawn(command, rest, {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await lines(child).next();
    return new Pause(child);
  }

  stop(): void {
    this.#process.kill("SIGKILL");
  }
}

export interface How {
  readonly env?: NodeJS.ProcessEnv;
  /** What runs in Node's place: its arguments. The driver, unless told. */
  readonly program?: string[];
  /** A command that runs enter, given as its arguments. */
  readonly prefix?: string[];
  readonly stdin?: "ignore" | "pipe";
  /** Of enter. */
  readonly options?: string[];
}

export class Agent {
  readonly process: ChildProcess;
  readonly #events: Lines;
  #port = 0;

  private constructor(child: ChildProcess) {
    this.process = child;
    this.#events = lines(child);
  }

  static spawn(
    who: Who,
    options: string[],
    {
      env = process.env,
      program = ["--import", "tsx", driver],
      prefix = [],
      stdin = "ignore",
    }: How = {},
  ): Agent {
    const node = [process.execPath, ...program];
    const enter = [join(root, "dist/inpod-enter"), "--listen", "0", ...options, "--", ...node];
    const [command = "", ...rest] = [...as(who), ...prefix, ...enter];
    const child = spawn(command, rest, { cwd: root, stdio: [stdin, "pipe", "inherit"], env });
    return new Agent(child);
  }

  static async start(who: Who, pod: Pod, options: string[] = [], how: How = {}): Promise<Agent> {
    const agent = Agent.spawn(who, ["--pid", String(pod.pid), ...options], how);
    await agent.found();
    return agent;
  }

  /** The pid of the target, when it was found. */
  async found(): Promise<number> {
    const listening = await this.event();
    this.#port = listening.port as number;
    const target = await this.event();
    if (target.event !== "target") throw new Error(JSON.stringify(target));
    return target.pid as number;
  }

  /** The real agent, dist/agent.js; `dial` it. */
  static async serve(who: Who, pod: Pod, args: string[], how: How = {}): Promise<Agent> {
    const program = [join(root, "dist/agent.js"), ...args];
    return Agent.start(who, pod, how.options, { ...how, program });
  }

  dial(): Socket {
    return connect({ port: this.#port, host: "127.0.0.1", allowHalfOpen: true });
  }

  async event(): Promise<Record<string, unknown>> {
    return JSON.parse(await this.#events.next()) as Record<string, unknown>;
  }

  /** Rejects with "ERRNO detail". */
  async call<T = unknown>(method: string, a?: unknown, b?: unknown): Promise<T> {
    const socket = connect(this.#port, "127.0.0.1");
    socket.write(JSON.stringify([method, a, b]));
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    const { result, errno, detail } = JSON.parse(text) as Record<string, unknown>;
    if (errno !== undefined) throw new Error(`${errno} ${detail}`);
    return result as T;
  }

  children(): number[] {
    const { pid } = this.process;
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    return text === "" ? [] : text.split(" ").map(Number);
  }

  child(name: string): number {
    const pid = this.children().find(
      (each) => readFileSync(`/proc/${each}/comm`, "utf8").trim() === name,
    );
    if (pid === undefined) throw new Error(`enter has no child ${name}`);
    return pid;
  }

  async ended(): Promise<number | null> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      await once(this.process, "exit");
    }
    return this.process.exitCode;
  }

  async stop(): Promise<void> {
    this.process.kill("SIGTERM");
    await this.ended();
  }
}

/** Waits until the process is gone or a zombie of somebody else's. */
export async function gone(pid: number, timeoutMs = 60_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline) {
    try {
      if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) return;
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`process ${pid} still runs`);
}

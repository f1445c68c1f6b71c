/** The real agent beside a process of this machine, whose root is the machine's, and the way to it. */
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { MAX_REQUEST, MessageCutter, parseFileRequest } from "@inpod/protocol";
import { connectTunnel, rawFromPublicKey, type Tunnel } from "@inpod/tunnel";
import type { FilesChannel, FilesLink, FilesStream } from "../../src/index.ts";

const dist = join(dirname(fileURLToPath(import.meta.url)), "../../../../dist");
const isRoot = process.getuid?.() === 0;

async function line(child: ChildProcess, pattern: RegExp): Promise<RegExpExecArray> {
  const reader = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  try {
    for await (const text of reader) {
      const found = pattern.exec(text);
      if (found) return found;
    }
  } finally {
    reader.close();
  }
  throw new Error(`no line like ${pattern}`);
}

export class TestAgent implements FilesLink {
  readonly #keys = generateKeyPairSync("ed25519");
  readonly #children: ChildProcess[] = [];
  #port = 0;
  #sessions = 0;
  #tunnel: Promise<Tunnel> | undefined;
  #cut: (() => void) | undefined;
  /** While set, no tunnel is dialled. */
  unreachable: Promise<void> | undefined;
  /** What was asked, in order. */
  asked: string[] = [];

  static async start(t: TestContext, targetArgs: readonly string[] = []): Promise<TestAgent> {
    const agent = new TestAgent();
    t.after(() => agent.stop());
    await agent.#start(targetArgs);
    return agent;
  }

  async #start(targetArgs: readonly string[]): Promise<void> {
    const own = [
      "--net",
      "--uts",
      "--pid",
      "--fork",
      "--kill-child",
      "--mount-proc",
      ...targetArgs,
    ];
    const script = "echo ready; exec sleep 900";
    const target = this.#spawn("unshare", [...(isRoot ? [] : ["-Ur"]), ...own, "sh", "-c", script]);
    await line(target, /ready/);
    const children = readFileSync(`/proc/${target.pid}/task/${target.pid}/children`, "utf8");
    const key = rawFromPublicKey(this.#keys.publicKey);
    const times = ["--idle-timeout-ms", "60000", "--communication-timeout-ms", "60000"];
    const enter = this.#spawn(join(dist, "inpod-enter"), [
      ...["--listen", "0", "--pid", children.trim(), "--"],
      ...[process.execPath, join(dist, "agent.js"), "--public-key", key, ...times],
    ]);
    const [, port] = await line(enter, /"port":(\d+)/);
    this.#port = Number(port);
  }

  #spawn(program: string, args: readonly string[]): ChildProcess {
    // Ends with this process: the runner waits for who has our stderr open, even at a file's deadline.
    const argv = ["--pdeathsig", "KILL", "--", program, ...args];
    const child = spawn("setpriv", argv, { stdio: ["ignore", "pipe", "inherit"] });
    this.#children.push(child);
    return child;
  }

  async stop(): Promise<void> {
    for (const child of this.#children.reverse()) {
      child.stdout?.resume();
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill(child === this.#children[0] ? "SIGTERM" : "SIGKILL");
      await once(child, "exit");
    }
  }

  /** The tunnel is cut, as by a network. */
  lose(): void {
    this.#cut?.();
  }

  async #dial(): Promise<Tunnel> {
    await this.unreachable;
    const socket = connect({ port: this.#port, host: "127.0.0.1", allowHalfOpen: true });
    socket.on("error", () => {});
    this.#cut = () => {
      this.#tunnel = undefined;
      socket.destroy();
    };
    return connectTunnel(socket, {
      sessionId: `session-${++this.#sessions}`,
      privateKey: this.#keys.privateKey,
      build: "test",
      handlers: { onStream: () => undefined },
    });
  }

  async open(_which: FilesStream): Promise<FilesChannel> {
    this.#tunnel ??= this.#dial();
    const channel = (await this.#tunnel).open({ kind: "files" });
    await channel.opened;
    return this.#counted(channel);
  }

  #counted(channel: FilesChannel): FilesChannel {
    const cutter = new MessageCutter(MAX_REQUEST);
    const count = (bytes: Uint8Array): void => {
      for (const message of cutter.push(bytes)) {
        const { request } = parseFileRequest(message);
        this.asked.push("path" in request ? `${request.op} ${request.path}` : request.op);
      }
    };
    return {
      write: (bytes) => {
        count(bytes);
        return channel.write(bytes);
      },
      consumed: (bytes) => channel.consumed(bytes),
      reset: (errno) => channel.reset(errno),
      get onDrain() {
        return channel.onDrain;
      },
      set onDrain(handler) {
        channel.onDrain = handler;
      },
      get onData() {
        return channel.onData;
      },
      set onData(handler) {
        channel.onData = handler;
      },
      get onReset() {
        return channel.onReset;
      },
      set onReset(handler) {
        channel.onReset = handler;
      },
    };
  }
}

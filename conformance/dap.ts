/**
 * The developer's end of the Debug Adapter Protocol, as much as an IDE needs for a breakpoint
 * (microsoft.github.io/debug-adapter-protocol).
 */
import type { ChildProcess } from "node:child_process";
import type { Sandbox } from "@inpod/sandbox";
import { until } from "../packages/cli/test/exec-support.ts";

const TIMEOUT_MS = 40_000;

interface Message {
  readonly type: "request" | "response" | "event";
  readonly event?: string;
  readonly request_seq?: number;
  readonly success?: boolean;
  readonly message?: string;
  readonly body?: Readonly<Record<string, unknown>>;
}

/** Bytes between its own streams and a port of the loopback; an adapter may not listen yet. */
const BRIDGE = `
const connect = () => {
  const socket = require("node:net").connect(Number(process.argv[1]), "127.0.0.1");
  socket.on("error", () => setTimeout(connect, 50));
  socket.on("connect", () => { process.stdin.pipe(socket); socket.pipe(process.stdout); });
  socket.on("end", () => process.exit());
};
connect();
`;

export class Adapter {
  readonly #bridge: ChildProcess;
  readonly #received: Message[] = [];
  #rest: Buffer = Buffer.alloc(0);
  #sequence = 0;

  /** An adapter that listens on the developer's machine. The caller calls `close`. */
  constructor(sandbox: Sandbox, port: number) {
    this.#bridge = sandbox.inLaptop([process.execPath, "-e", BRIDGE, String(port)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#bridge.stdout?.on("data", (chunk: Buffer) => this.#take(chunk));
  }

  /** Without waiting for its response. Its number. */
  send(command: string, args: object = {}): number {
    const seq = ++this.#sequence;
    const text = JSON.stringify({ seq, type: "request", command, arguments: args });
    this.#bridge.stdin?.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    return seq;
  }

  /** @throws where the adapter refuses */
  async request(command: string, args: object = {}): Promise<Message> {
    const seq = this.send(command, args);
    const response = await this.#first(command, ({ request_seq }) => request_seq === seq);
    if (!response.success) throw new Error(`${command}: ${response.message}`);
    return response;
  }

  event(name: string): Promise<Message> {
    return this.#first(name, ({ event }) => event === name);
  }

  close(): void {
    this.#bridge.kill("SIGKILL");
  }

  async #first(what: string, isIt: (message: Message) => boolean): Promise<Message> {
    let found: Message | undefined;
    const isThere = (): boolean => {
      found = this.#received.find(isIt);
      return found !== undefined;
    };
    await until(`the debug adapter answers to ${what}`, isThere, TIMEOUT_MS);
    return found as Message;
  }

  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const [head, length] =
        /^Content-Length: (\d+)\r\n\r\n/.exec(this.#rest.toString("latin1")) ?? [];
      if (head === undefined) return;
      const end = head.length + Number(length);
      if (this.#rest.length < end) return;
      this.#received.push(JSON.parse(this.#rest.toString("utf8", head.length, end)) as Message);
      this.#rest = this.#rest.subarray(end);
    }
  }
}

/** A session that mirrors, as the agent's tests need it: what it is told, and copies of what clients send. */
import { generateKeyPairSync } from "node:crypto";
import type { AgentNotice, StreamHeader } from "@inpod/protocol";
import { connectTunnel, rawFromPublicKey, type Tunnel } from "@inpod/tunnel";
import type { Agent } from "./pod.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
export const ARGS = [
  ...["--public-key", rawFromPublicKey(publicKey), "--idle-timeout-ms", "20000"],
  ...["--communication-timeout-ms", "20000"],
];

/** One mirrored connection, as the session sees it. */
export interface Copied {
  readonly header: Extract<StreamHeader, { kind: "incoming" }>;
  bytes: string;
  end: "open" | "end" | string;
}

export class Developer {
  readonly copies: Copied[] = [];
  readonly notices: AgentNotice[] = [];
  /** Takes nothing of what comes, while it is true. */
  isSlow = false;
  tunnel!: Tunnel;
  #wake = (): void => {};

  static async join(agent: Agent, sessionId: string): Promise<Developer> {
    const developer = new Developer();
    developer.tunnel = await connectTunnel(agent.dial(), {
      sessionId,
      privateKey,
      build: "test",
      handlers: {
        onNotice: (notice) => {
          developer.notices.push(notice);
          developer.#wake();
        },
        onStream: (channel) => {
          const header = channel.header as Copied["header"];
          const copied: Copied = { header, bytes: "", end: "open" };
          developer.copies.push(copied);
          channel.onData = (bytes) => {
            copied.bytes += Buffer.from(bytes).toString("latin1");
            if (!developer.isSlow) channel.consumed(bytes.length);
            developer.#wake();
          };
          channel.onEnd = () => {
            copied.end = "end";
            developer.#wake();
          };
          channel.onReset = (errno) => {
            copied.end = errno;
            developer.#wake();
          };
          channel.accept({ kind: "incoming" });
          // What a session answers goes nowhere.
          channel.write(Buffer.from("an answer that nobody asked for"));
          channel.end();
        },
      },
    });
    return developer;
  }

  async until(what: string, isSo: () => boolean): Promise<void> {
    const deadline = performance.now() + 60_000;
    while (!isSo()) {
      const left = deadline - performance.now();
      if (left <= 0) {
        const ends = this.copies.map(({ bytes, end }) => `${bytes.length} bytes, ${end}`);
        throw new Error(`not within 60 s: ${what}: ${ends.join("; ")}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** The copy of the connection that sent this. */
  async copyOf(bytes: string): Promise<Copied> {
    const find = (): Copied | undefined => this.copies.find((each) => each.bytes === bytes);
    await this.until(`a copy of ${bytes.slice(0, 40)}`, () => find() !== undefined);
    return find() as Copied;
  }
}

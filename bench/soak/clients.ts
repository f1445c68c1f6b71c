/** The pod's clients, which ask the stealing session's servers all the time: clients.cjs in the client's network. */
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { Sandbox } from "@inpod/sandbox";

const ANSWER_MS = 60_000;

export interface Asked {
  /** By port. `missed`: while a session was stopped, when the target has its traffic. */
  readonly counts: Readonly<Record<string, { readonly ok: number; readonly missed: number }>>;
  readonly failures: readonly string[];
}

export class Clients {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterableIterator<string>;

  constructor(sandbox: Sandbox, folder: string, width: number, ports: readonly number[]) {
    const argv = [process.execPath, join(folder, "clients.cjs"), sandbox.podAddress, String(width)];
    this.#child = sandbox.inClient([...argv, ...ports.map(String)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    if (!this.#child.stdout) throw new Error("clients need pipes");
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  /** From now on an answer may be missing, or another's. */
  async gap(): Promise<void> {
    await this.#ask("gap");
  }
  /** Not any more: each port has answered. */
  async whole(): Promise<void> {
    await this.#ask("whole");
  }
  /** They ask from now on. */
  async go(): Promise<void> {
    await this.#ask("go");
  }
  async end(): Promise<Asked> {
    return JSON.parse(await this.#ask("end")) as Asked;
  }

  async #ask(word: string): Promise<string> {
    this.#child.stdin?.write(`${word}\n`);
    const timer = new AbortController();
    const late = delay(ANSWER_MS, undefined, { signal: timer.signal }).then(() => {
      throw new Error(`the pod's clients: "${word}" was not answered within ${ANSWER_MS} ms`);
    });
    try {
      const next = await Promise.race([this.#lines.next(), late]);
      if (!next || next.done) throw new Error(`the pod's clients have ended before "${word}"`);
      return next.value;
    } finally {
      timer.abort();
      late.catch(() => {});
    }
  }
}

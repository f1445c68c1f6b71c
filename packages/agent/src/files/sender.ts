/** Contents of files on their way into the tunnel: in pieces, as it takes them, and not too many at a time. */
import type { IncomingChannel } from "@inpod/tunnel";
import { within } from "../deadline.ts";
import { errnoOf, Failure } from "../failure.ts";
import { Budget } from "./budget.ts";
import { type Files, MAX_CONTENT } from "./files.ts";

/** Contents of one session that are in our memory: a session that opens and does not read gets no more. */
const BUDGET_BYTES = 32 * 1024 * 1024;
/** Streams that wait for their share of it. */
const MAX_WAITING = 1024;
/** One DATA frame's. */
const PIECE_BYTES = 64 * 1024;
/** A session that takes nothing for so long holds memory for nothing. */
const STALL_TIMEOUT_MS = 30_000;

export class FileSender {
  readonly #files: Files;
  readonly #budget: Budget;
  readonly #maxContentBytes: number;

  constructor(files: Files, budgetBytes = BUDGET_BYTES) {
    this.#files = files;
    this.#budget = new Budget(budgetBytes);
    this.#maxContentBytes = Math.min(MAX_CONTENT, budgetBytes);
  }

  /** Accepts `channel`, sends the content and ends it; resets it with the errno when there is none. */
  async send(channel: IncomingChannel, path: unknown, limitBytes: unknown): Promise<void> {
    if (this.#budget.waitingCount >= MAX_WAITING) {
      channel.reset("EAGAIN");
      return;
    }
    let isOver = false;
    let wake = (): void => undefined;
    channel.onReset = () => {
      isOver = true;
      wake();
    };
    channel.onDrain = () => wake();
    const fail = (errno: string): void => {
      if (!isOver) channel.reset(errno);
      isOver = true;
      wake();
    };
    // Nothing can be written this way; unread, it would be kept.
    channel.onData = () => fail("EINVAL");

    let heldBytes = Math.min(
      this.#maxContentBytes,
      typeof limitBytes === "number" ? limitBytes : 0,
    );
    if (!(heldBytes >= 0)) {
      fail("EINVAL");
      return;
    }
    await this.#budget.take(heldBytes);
    try {
      if (isOver) return;
      const { stat, content } = await this.#files.read(
        path,
        Math.min(this.#maxContentBytes, limitBytes as number),
      );
      this.#budget.give(heldBytes - content.length);
      heldBytes = content.length;
      if (isOver) return;
      channel.accept({ kind: "file", stat });
      for (let at = 0; at < content.length && !isOver; at += PIECE_BYTES) {
        if (channel.write(content.subarray(at, at + PIECE_BYTES))) continue;
        const drained = new Promise<void>((resolve) => {
          wake = resolve;
        });
        await within(drained, STALL_TIMEOUT_MS, "the session");
      }
      if (!isOver) channel.end();
    } catch (error) {
      fail(error instanceof Failure ? error.errno : errnoOf(error));
    } finally {
      this.#budget.give(heldBytes);
    }
  }
}

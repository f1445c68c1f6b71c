/**
 * Of files that are this machine's, whether they are there. The kernel answers the program, and we do not see what; so each
 * name is looked up once more, beside everything else, one at a time.
 */
import { lstat } from "node:fs/promises";
import type { TracedCall } from "@inpod/layer";

/** Where loaders, interpreters and shells look for what is mostly not there, and the pod would not have it either. */
export const PROBED =
  /^\/(usr|lib\w*|s?bin|proc|sys|dev|tmp|run|gnu|nix|snap)(\/|$)|^\/etc\/(ld\.so|ssl|localtime|terminfo|gnutls|selinux|inputrc)|^\/selinux$/;

/** In the place of the call's name: there is no such file on this machine. */
export const ABSENT = "absent";

/** Names that are looked up in one session, and that wait for it. */
const MAX_KNOWN = 50_000;
const MAX_WAITING = 5000;

export class Absent {
  readonly #tell: (call: TracedCall) => void;
  readonly #known = new Set<string>();
  readonly #waiting: TracedCall[] = [];
  #isLooking = false;

  /** @param tell gets the first call of a name that is not there */
  constructor(tell: (call: TracedCall) => void) {
    this.#tell = tell;
  }

  look(call: TracedCall): void {
    const path = call.subject;
    if (PROBED.test(path) || this.#known.has(path) || this.#known.size >= MAX_KNOWN) return;
    if (this.#waiting.length >= MAX_WAITING) return;
    this.#known.add(path);
    this.#waiting.push(call);
    if (!this.#isLooking) void this.#lookAtAll();
  }

  async #lookAtAll(): Promise<void> {
    this.#isLooking = true;
    for (let call = this.#waiting.shift(); call !== undefined; call = this.#waiting.shift()) {
      try {
        await lstat(Buffer.from(call.subject, "latin1"));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "ENOENT" || code === "ENOTDIR") this.#tell(call);
      }
    }
    this.#isLooking = false;
  }
}

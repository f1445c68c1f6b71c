/**
 * Trees whose first process somebody else has started: an IDE, a shell. They come by a socket, with the filter that
 * ../native/preload has installed in them; what is said there stands at the top of preload.c.
 */

import { join } from "node:path";
import type { Visitor } from "./events.ts";
import type { Keeper } from "./keeper.ts";
import { type FilterGroup, filterMask, receiveListener, takeTree } from "./launch.ts";
import { artifacts } from "./native.ts";
import { type Tap, TapError } from "./tap.ts";

/** Trees at once: each has two threads and a keeper. */
const MAX_TREES = 64;
/** Connections that have not come so far; a program needs milliseconds. */
const MAX_VISITORS = 32;
/** What the program reads of a refusal. */
const MAX_WHY = 200;

/** For LD_PRELOAD: loads in programs of glibc and of musl. */
export const preloadLibrary: string = join(artifacts, "inpod-preload.so");

export interface ProgramsOptions {
  /** Of the socket. Its directory keeps others out. */
  readonly path: string;
  readonly groups: readonly FilterGroup[];
  /** "NAME=value", in the environment of each of them: as in LaunchOptions. */
  readonly mark: string;
  readonly onDeath?: "stop" | "continue";
  /** Before a program is taken. What it rejects with is told to the program. */
  readonly admit?: (program: Visitor) => Promise<void> | void;
  readonly onBegin?: (program: Program) => void;
  readonly onRefused?: (program: Visitor, why: string) => void;
}

export interface Program {
  /** Of its first process. */
  readonly pid: number;
  /** No process of its tree is left. */
  readonly ended: Promise<void>;
}

export class Programs {
  readonly #tap: Tap;
  readonly #options: ProgramsOptions;
  readonly #door: number;
  readonly #trees = new Map<Program, Keeper>();
  #visitors = 0;
  #isShut = false;

  /** Listens. @throws TapError */
  constructor(tap: Tap, options: ProgramsOptions) {
    this.#tap = tap;
    this.#options = options;
    this.#door = tap.openDoor(options.path, (visitor) => void this.#receive(visitor));
  }

  get running(): readonly Program[] {
    return [...this.#trees.keys()];
  }

  /** Nobody comes in any more. */
  shut(): void {
    if (this.#isShut) return;
    this.#isShut = true;
    this.#tap.native.closeDoor(this.#door);
  }

  /** What is left goes on natively after our end. */
  leaveRest(): void {
    for (const keeper of this.#trees.values()) keeper.leaveRest();
  }

  async #receive(visitor: Visitor): Promise<void> {
    const { native } = this.#tap;
    this.#visitors++;
    try {
      const why = this.#whyNot(visitor);
      if (why !== undefined) throw new Error(why);
      await this.#options.admit?.(visitor);
      await this.#take(visitor);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      // One that has gone meanwhile is not told.
      native.tell(visitor.fd, Buffer.from(`N${why.replace(/\s+/g, " ").slice(0, MAX_WHY)}\n`));
      this.#options.onRefused?.(visitor, why);
    } finally {
      native.close(visitor.fd);
      this.#visitors--;
    }
  }

  #whyNot({ pid, uid }: Visitor): string | undefined {
    if (this.#isShut) return "the session is ending";
    // Root may look into everything anyway.
    if (uid !== process.getuid?.() && uid !== 0) return "it is another user's";
    if (pid === 0)
      return "it runs in a container: its process ids are other ones than the session's";
    if (this.#visitors > MAX_VISITORS) return "too many programs start at once";
    if (this.#trees.size >= MAX_TREES) return `the session has ${MAX_TREES} programs already`;
    return undefined;
  }

  async #take(visitor: Visitor): Promise<void> {
    const { native } = this.#tap;
    const { mark, onDeath, groups } = this.#options;
    const offered = native.tell(visitor.fd, Buffer.from(`G${filterMask(groups)}\n`));
    if (offered < 0) throw new TapError("EPIPE", "the program has gone");
    const listener = await receiveListener(this.#tap, visitor.fd);
    const { ended, keeper } = takeTree(this.#tap, listener, {
      mark,
      ...(onDeath === undefined ? {} : { onDeath }),
    });
    const program: Program = { pid: visitor.pid, ended };
    this.#trees.set(program, keeper);
    void ended.then(() => {
      this.#trees.delete(program);
      keeper.dismiss();
    });
    this.#options.onBegin?.(program);
    native.tell(visitor.fd, Buffer.from("k\n"));
  }
}

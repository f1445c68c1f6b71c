/**
 * The file server of a session: started beside the agent, and another one when it is killed. Where nothing can be
 * mounted there is none, and the pod's files are snapshots.
 */
import { setTimeout as delay } from "node:timers/promises";
import { getSystemErrorName } from "node:util";
import {
  type FileServer,
  FileServerFailed,
  FileServerRefused,
  startFileServer,
} from "@inpod/files";
import type { PodRoot, PreparedTap } from "@inpod/layer";
import { type Session, TunnelFailure } from "@inpod/session";

/** One after the other; one that lasted longer was none of them. */
const MAX_SHORT_LIVES = 5;
const SHORT_LIFE_MS = 30_000;
/** While the target has no root, because its container does not run. */
const LOOK_AGAIN_MS = 1000;

type Tap = PreparedTap["tap"];

/** Nothing can be mounted, in the words of each way. */
export interface NoMount {
  readonly refusals: readonly string[];
}

export class FileServers implements PodRoot {
  readonly #tap: Tap;
  readonly #log: (text: string) => void;
  readonly #say: (text: string) => void;
  #session: Promise<Session>;
  #give: (session: Session) => void = () => {};
  #abandon: (error: Error) => void = () => {};
  readonly #stop = new AbortController();
  #server: FileServer | undefined;
  #starting: Promise<void>;
  #noMount: NoMount | undefined;
  #isInUse = false;
  #shortLives = 0;
  #closing: Promise<void> | undefined;

  readonly #isReadOnly: boolean;

  /**
   * Starts one: it needs the session's agent only for its first file.
   * @param isReadOnly below the pod's directories only what a rule gives to the pod is written to
   * @param log what only matters to who looks for a mistake @param say what the user should know
   */
  constructor(
    tap: Tap,
    isReadOnly: boolean,
    log: (text: string) => void,
    say: (text: string) => void,
  ) {
    this.#tap = tap;
    this.#isReadOnly = isReadOnly;
    this.#log = log;
    this.#say = say;
    this.#session = new Promise((resolve, reject) => {
      this.#give = resolve;
      this.#abandon = reject;
    });
    this.#session.catch(() => {});
    this.#starting = this.#start();
    this.#starting.catch(() => {});
  }

  /** @returns why there is none; undefined: the tap has its root, or gets it when the target has one */
  async first(session: Session): Promise<NoMount | undefined> {
    this.#give(session);
    await this.#starting.catch(() => {});
    this.#isInUse = this.#noMount === undefined;
    return this.#noMount;
  }

  async ready(): Promise<void> {
    await this.#starting;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stop.abort();
    this.#abandon(new TunnelFailure("ECONNRESET", "the session has ended"));
    this.#tap.setRemote(undefined);
    await this.#starting.catch(() => {});
    await this.#server?.close();
  }

  async #start(): Promise<void> {
    for (;;) {
      const since = performance.now();
      try {
        this.#use(await this.#startOne(), since);
        return;
      } catch (error) {
        if (error instanceof FileServerRefused) throw this.#refused(error);
        if (!(error instanceof FileServerFailed)) throw error;
        this.#stop.signal.throwIfAborted();
        this.#log(error.message);
        if (this.#isEnough(since)) throw this.#givenUp(error.message);
      }
    }
  }

  #startOne(): Promise<FileServer> {
    return startFileServer({
      link: { open: async (which) => (await this.#session).filesLink.open(which) },
      log: this.#log,
      signal: this.#stop.signal,
    });
  }

  #use(server: FileServer, since: number): void {
    this.#server = server;
    if (this.#stop.signal.aborted) return; // close() waits for us, and closes it
    for (const refusal of server.refusals) this.#log(`not mounted by ${refusal}`);
    this.#log(`the pod's files are mounted (${server.via})`);
    const { rootFd, device, hintFd } = server;
    this.#tap.setRemote({ rootFd, device, hintFd, isReadOnly: this.#isReadOnly });
    void server.ended.then((why) => this.#ended(why, since));
  }

  /** What calls get until there is a root. */
  #refused(error: FileServerRefused): TunnelFailure {
    if (error.errno === 0) {
      this.#noMount = { refusals: error.refusals };
      return new TunnelFailure("EIO", error.message);
    }
    // The mount was not refused, but the target has no root now.
    if (!this.#stop.signal.aborted) void this.#lookAgain();
    return new TunnelFailure(getSystemErrorName(-error.errno), error.message);
  }

  #isEnough(since: number): boolean {
    this.#shortLives = performance.now() - since < SHORT_LIFE_MS ? this.#shortLives + 1 : 0;
    return this.#shortLives >= MAX_SHORT_LIVES;
  }

  #givenUp(why: string): TunnelFailure {
    if (this.#isInUse)
      this.#say("no file server lasts: files of the pod fail with EIO from now on");
    else this.#noMount = { refusals: [`the file server: ${why}`] };
    return new TunnelFailure("EIO", why);
  }

  async #lookAgain(): Promise<void> {
    try {
      const session = await this.#session;
      for (;;) {
        await delay(LOOK_AGAIN_MS, undefined, { signal: this.#stop.signal });
        const isThere = await session.files.chain("/").then(
          () => true,
          () => false,
        );
        if (isThere) break;
      }
    } catch {
      return; // the session is over
    }
    this.#startAgain();
  }

  #ended(why: string, since: number): void {
    if (this.#stop.signal.aborted) return;
    this.#log(why);
    this.#server = undefined;
    this.#tap.setRemote(undefined);
    this.#say(
      "the file server ended: another one is started, files of the pod that are open fail with ENOTCONN",
    );
    if (!this.#isEnough(since)) {
      this.#startAgain();
      return;
    }
    this.#starting = Promise.reject(this.#givenUp(why));
    this.#starting.catch(() => {});
  }

  #startAgain(): void {
    this.#starting = this.#start();
    this.#starting.catch(() => {});
  }
}

/** In one line: what is lost, why, and what to do. */
export const snapshotsLine = ({ refusals }: NoMount): string =>
  `files of the pod are snapshots here, because nothing can be mounted (${shortly(refusals)}): they are read as a whole, up to 64 MiB each, what is open stays as it was, and nothing is written to the pod; inpod doctor says what to change`;

/** Each way's reason without what there is to do about it, and each once. */
const shortly = (refusals: readonly string[]): string =>
  [
    ...new Set(refusals.map((refusal) => refusal.replace(/^[^:]*: /, "").replace(/ \(.*$/s, ""))),
  ].join(", ");

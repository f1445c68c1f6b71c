/** The CLI's side: starts the file server, relays its streams to the agent, and has its mount. */
import { type ChildProcess, spawn } from "node:child_process";
import { close, closeSync, fstat } from "node:fs";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { promisify } from "node:util";
import type { FilesLink } from "./link.ts";
import { artifacts, loadNative } from "./native.ts";
import type { Send } from "./relay/channel.ts";
import { CliEnd } from "./relay/cli-end.ts";
import {
  encodeText,
  FrameCutter,
  FrameKind,
  type MountedMessage,
  type RefusedMessage,
  type ServerFigures,
  type StartMessage,
  type Via,
  WAYS,
} from "./relay/frames.ts";
import { LIMITS, type Limits } from "./tree/policy.ts";

/** The agent's answer about the root is waited for as long as any. */
const STARTED_WITHIN_MS = 15_000;
const CLOSED_WITHIN_MS = 2000;
/** Of what a server that dies has to say. */
const MAX_LAST_WORDS = 4000;

export interface FileServerOptions {
  readonly link: FilesLink;
  readonly limits?: Partial<Limits>;
  /** To be tried, in their own order; all of them if left out. */
  readonly ways?: readonly Via[];
  /** What only matters to who looks for a mistake. */
  readonly log?: (text: string) => void;
  /** It is not wanted any more, if it has not been mounted yet. */
  readonly signal?: AbortSignal;
}

export interface FileServer {
  /** O_PATH: the pod's root. Paths below it are resolved with RESOLVE_IN_ROOT, never on the JS thread. */
  readonly rootFd: number;
  /** st_dev of what lies below it. */
  readonly device: bigint;
  readonly via: Via;
  /** The better ways to a mount that were closed, and the setting for each. */
  readonly refusals: readonly string[];
  /** A SOCK_SEQPACKET: u32 id · path; the answer is the id, when the path is known there. At most 2 s. */
  readonly hintFd: number;
  /** Resolves with the reason when the mount answers no more (ENOTCONN); with close(), too. */
  readonly ended: Promise<string>;
  /** How often the agent was asked what, and the like. */
  figures(): Promise<ServerFigures>;
  /** Ends the server; the descriptors are closed. */
  close(): Promise<void>;
}

/** There is no file system: every way to a mount is closed, or the agent refuses its root. */
export class FileServerRefused extends Error {
  /** Each names a way and the setting that closes it. */
  readonly refusals: readonly string[];
  /** The agent's about the root, if it was that. */
  readonly errno: number;
  constructor({ refusals, errno }: RefusedMessage) {
    super(`no file system: ${refusals.join("; ")}`);
    this.refusals = refusals;
    this.errno = errno;
  }
}

/** The server did not come so far, or was killed: another one may. */
export class FileServerFailed extends Error {}

/** @throws FileServerRefused: files are fetched as a whole then; FileServerFailed */
export async function startFileServer(options: FileServerOptions): Promise<FileServer> {
  const native = loadNative();
  const pair = native.socketPair(false);
  if (typeof pair === "number") throw new FileServerFailed(`socketpair: ${pair}`);
  const [ours, theirs] = pair;
  const child = spawnServer(theirs);
  closeSync(theirs);
  const server = new Running(child, options);
  try {
    const { via, refusals } = await server.mounted;
    const fds = native.receiveDescriptors(ours);
    if (typeof fds === "number" || fds.length !== 2)
      throw new FileServerFailed("its descriptors did not come");
    const [rootFd, hintFd] = fds as [number, number];
    server.own(rootFd, hintFd);
    const device = await deviceOf(rootFd);
    const { ended } = server;
    return {
      rootFd,
      device,
      via,
      refusals,
      hintFd,
      ended,
      figures: () => server.figures(),
      close: () => server.close(),
    };
  } catch (error) {
    await server.close();
    throw error;
  } finally {
    closeSync(ours);
  }
}

/**
 * Before it is asked for, the root belongs to uid 0, and an ordinary user could make nothing in it.
 * @throws FileServerFailed: the server was killed right behind its word that it is there (ENOTCONN, ECONNABORTED)
 */
async function deviceOf(rootFd: number): Promise<bigint> {
  try {
    return (await promisify(fstat)(rootFd, { bigint: true })).dev;
  } catch (error) {
    throw new FileServerFailed(`the file server's root: ${(error as Error).message}`);
  }
}

function spawnServer(descriptors: number): ChildProcess {
  const { PATH, XDG_RUNTIME_DIR, TMPDIR } = process.env;
  return spawn(process.execPath, [...MEMORY, join(artifacts, "files.js"), String(process.pid)], {
    stdio: ["ignore", "ignore", "pipe", "pipe", descriptors],
    env: {
      PATH,
      ...MALLOC,
      ...(XDG_RUNTIME_DIR && { XDG_RUNTIME_DIR }),
      ...(TMPDIR && { TMPDIR }),
    },
    // A session of its own: Ctrl-C and Ctrl-Z are for the user's program.
    detached: true,
  });
}

/** What lives is small, and garbage is collected early: by V8's measure it may be 64 MiB (see main.ts). */
const MEMORY = ["--max-semi-space-size=2", "--no-parallel-scavenge", "--expose-gc"];

/** Else what a large answer took is kept by malloc: by itself it raises the size that goes back to the system. */
const MALLOC = { MALLOC_MMAP_THRESHOLD_: "131072" };

class Running {
  readonly #child: ChildProcess;
  readonly #socket: Duplex;
  readonly #relay: CliEnd;
  readonly #figures: ((figures: ServerFigures) => void)[] = [];
  #fds: number[] = [];
  readonly mounted: Promise<MountedMessage>;
  readonly ended: Promise<string>;

  constructor(child: ChildProcess, { link, limits, ways, log, signal }: FileServerOptions) {
    this.#child = child;
    this.#socket = child.stdio[3] as Duplex;
    const send: Send = (frame, data) => {
      if (this.#socket.destroyed) return;
      this.#socket.cork();
      this.#socket.write(frame);
      if (data) this.#socket.write(data);
      this.#socket.uncork();
    };
    this.#relay = new CliEnd(link, send);
    let lastWords = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      lastWords = (lastWords + chunk.toString()).slice(-MAX_LAST_WORDS);
    });
    this.ended = new Promise((resolve) => {
      child.on("error", (error) => resolve(`the file server did not start: ${error.message}`));
      child.on("close", (code, signal) => {
        this.#relay.close();
        this.#socket.destroy();
        resolve(`the file server ended (${signal ?? code})${lastWords && `: ${lastWords.trim()}`}`);
      });
    });
    let fail = (_why: string): void => {};
    this.mounted = new Promise((resolve, reject) => {
      fail = (why) => reject(new FileServerFailed(why));
      const cutter = new FrameCutter();
      this.#socket.on("error", () => {});
      this.#socket.on("data", (chunk: Buffer) => {
        for (const frame of cutter.push(chunk)) {
          const text = () => frame.bytes.toString();
          if (frame.kind === FrameKind.mounted) resolve(JSON.parse(text()));
          else if (frame.kind === FrameKind.refused)
            reject(new FileServerRefused(JSON.parse(text())));
          else if (frame.kind === FrameKind.log) log?.(text());
          else if (frame.kind === FrameKind.figures) this.#figures.shift()?.(JSON.parse(text()));
          else this.#relay.receive(frame);
        }
      });
      void this.ended.then((why) => reject(new FileServerFailed(why)));
      const start: StartMessage = { ways: ways ?? WAYS, limits: { ...LIMITS, ...limits } };
      send(encodeText(FrameKind.start, JSON.stringify(start)));
    });
    const timer = setTimeout(() => fail("the file server says nothing"), STARTED_WITHIN_MS);
    const unwanted = (): void => fail("it is not wanted any more");
    signal?.addEventListener("abort", unwanted, { once: true });
    void Promise.allSettled([this.mounted]).then(() => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", unwanted);
    });
  }

  own(...fds: number[]): void {
    this.#fds = fds;
  }

  figures(): Promise<ServerFigures> {
    const answer = new Promise<ServerFigures>((resolve, reject) => {
      this.#figures.push(resolve);
      void this.ended.then((why) => reject(new Error(why)));
    });
    this.#socket.write(encodeText(FrameKind.ask, ""));
    return answer;
  }

  async close(): Promise<void> {
    // On a pool thread: the last descriptor of a mount asks its server to end it.
    for (const fd of this.#fds.splice(0)) await promisify(close)(fd);
    if (!this.#socket.destroyed) this.#socket.write(encodeText(FrameKind.close, ""));
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), CLOSED_WITHIN_MS);
    await this.ended;
    clearTimeout(timer);
  }
}

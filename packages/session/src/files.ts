/** The target's files as a session asks for them: short-lived answers are kept, equal questions asked once. */
import type { ByteString, FileStat } from "@inpod/protocol";
import type { Tunnel } from "@inpod/tunnel";
import { TunnelFailure } from "@inpod/tunnel";

/** How old an answer may be. A program that starts asks for the same directories again and again. */
const FRESH_MS = 1000;
const MAX_KEPT = 4096;
const DEADLINE_MS = 10_000;

interface Kept {
  readonly answer: Promise<unknown>;
  untilMs: number;
}

/** Asks through the tunnel that there is; once more when it is lost before the answer. */
export interface Asks {
  ask<T>(question: (tunnel: Tunnel) => Promise<T>): Promise<T>;
}

export interface FileContent {
  readonly stat: FileStat;
  readonly content: Buffer;
}

export class SessionFiles {
  readonly #link: Asks;
  readonly #kept = new Map<string, Kept>();

  constructor(link: Asks) {
    this.#link = link;
  }

  /** All of these reject with a TunnelError: the target's errno. */
  stat(path: ByteString): Promise<FileStat> {
    return this.#ask(`stat ${path}`, (tunnel) =>
      tunnel.call("file.stat", { path, follow: true }, { timeoutMs: DEADLINE_MS }),
    );
  }

  lstat(path: ByteString): Promise<FileStat> {
    return this.#ask(`lstat ${path}`, (tunnel) =>
      tunnel.call("file.stat", { path, follow: false }, { timeoutMs: DEADLINE_MS }),
    );
  }

  readlink(path: ByteString): Promise<ByteString> {
    return this.#ask(`readlink ${path}`, async (tunnel) => {
      const { target } = await tunnel.call("file.readlink", { path }, { timeoutMs: DEADLINE_MS });
      return target;
    });
  }

  access(path: ByteString, mode: number): Promise<void> {
    return this.#ask(`access ${mode} ${path}`, async (tunnel) => {
      await tunnel.call("file.access", { path, mode }, { timeoutMs: DEADLINE_MS });
    });
  }

  /** The content is never kept: it would be a secret in memory, and stale. EFBIG beyond `limitBytes`. */
  read(path: ByteString, limitBytes: number): Promise<FileContent> {
    return this.#link.ask((tunnel) => readFile(tunnel, path, limitBytes));
  }

  /** After the tunnel was lost nothing that is known counts. */
  forget(): void {
    this.#kept.clear();
  }

  #ask<T>(key: string, question: (tunnel: Tunnel) => Promise<T>): Promise<T> {
    const now = performance.now();
    const known = this.#kept.get(key);
    if (known && known.untilMs > now) return known.answer as Promise<T>;
    const answer = this.#link.ask(question);
    const kept: Kept = { answer, untilMs: Number.POSITIVE_INFINITY };
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    if (this.#kept.size > MAX_KEPT) {
      const [oldest] = this.#kept.keys();
      if (oldest !== undefined) this.#kept.delete(oldest);
    }
    answer.then(
      () => {
        kept.untilMs = performance.now() + FRESH_MS;
      },
      (error: unknown) => {
        // "There is no such file" is an answer; a lost tunnel is none.
        const isAnswer =
          error instanceof TunnelFailure && /^(ENOENT|ENOTDIR|EACCES|EINVAL)$/.test(error.errno);
        kept.untilMs = isAnswer ? performance.now() + FRESH_MS : 0;
      },
    );
    return answer;
  }
}

async function readFile(
  tunnel: Tunnel,
  path: ByteString,
  limitBytes: number,
): Promise<FileContent> {
  const channel = tunnel.open({ kind: "file", path, limitBytes });
  const parts: Uint8Array[] = [];
  let length = 0;
  const content = new Promise<Buffer>((resolve, reject) => {
    const timer = setTimeout(() => {
      channel.reset("ETIMEDOUT");
      reject(new TunnelFailure("ETIMEDOUT", "the file did not arrive within 10 s"));
    }, DEADLINE_MS);
    channel.onData = (bytes) => {
      length += bytes.length;
      if (length > limitBytes) {
        channel.reset("EFBIG");
        clearTimeout(timer);
        reject(new TunnelFailure("EFBIG", "more than was asked for"));
        return;
      }
      parts.push(bytes);
      channel.consumed(bytes.length);
    };
    channel.onEnd = () => {
      clearTimeout(timer);
      channel.end();
      resolve(Buffer.concat(parts));
    };
    channel.onReset = (errno, detail) => {
      clearTimeout(timer);
      reject(new TunnelFailure(errno, detail));
    };
  });
  const [opened, whole] = await Promise.all([channel.opened, content]);
  if (opened.kind !== "file") throw new TunnelFailure("EPROTO", "not a file");
  return { stat: opened.stat, content: whole };
}

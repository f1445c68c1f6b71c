/** The target's files as a session asks for them, one at a time and without a file system. */
import type { ByteString, FileAttributes, FileRecord } from "@inpod/protocol";
import { MAX_RECORDS, MAX_TRANSFER } from "@inpod/protocol";
import { TunnelFailure } from "@inpod/tunnel";
import type { FileService } from "./file-service.ts";

/** Bytes of a content that comes with its name. */
const INLINE = 64 * 1024;
/** A file server of the same session chooses its own from the other half. */
const FIRST_HANDLE = 0x8000_0000;
const MAX_ENTRIES = 4096;
const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;

export interface FileContent {
  readonly attributes: FileAttributes;
  readonly content: Buffer;
}

/** All of these reject with a TunnelError: the target's errno. */
export class TargetFiles {
  readonly #service: FileService;
  #handles = 0;

  constructor(service: FileService) {
    this.#service = service;
  }

  /**
   * What stands on the way of `path`, links followed as the kernel would, with the content of a small file at its end
   * if `withContent`. It ends with a "negative" where there is nothing.
   */
  async chain(path: ByteString, withContent = false): Promise<readonly FileRecord[]> {
    const inlineLimit = withContent ? INLINE : 0;
    const { records } = await this.#service.ask<"chain">({
      op: "chain",
      path,
      inlineLimit,
      maxBytes: MAX_RECORDS,
    });
    return records;
  }

  /** A part of a directory's names, with paths that are relative to it. @param cookie 0, then the last answer's */
  async list(
    path: ByteString,
    cookie: bigint,
  ): Promise<{ readonly nextCookie: bigint; readonly records: readonly FileRecord[] }> {
    return this.#service.ask<"list">({
      op: "list",
      path,
      cookie,
      maxEntries: MAX_ENTRIES,
      maxBytes: MAX_RECORDS,
      inlineLimit: 0,
    });
  }

  async access(path: ByteString, mode: number): Promise<void> {
    await this.#service.ask<"access">({ op: "access", path, mode });
  }

  /**
   * The content of a regular file from `offset` on, in parts of 1 MiB at most, each asked for when the one before was
   * taken. `path` has no links.
   * @throws TunnelError EFBIG beyond `limitBytes`
   */
  async *content(
    path: ByteString,
    offset: number,
    limitBytes: number,
  ): AsyncGenerator<Uint8Array, void, void> {
    this.#handles = (this.#handles + 1) % FIRST_HANDLE;
    const handle = FIRST_HANDLE + this.#handles;
    await this.#service.ask<"open">({ op: "open", handle, path, flags: 0, mode: 0 });
    try {
      for (let at = offset; ; ) {
        const { content } = await this.#service.ask<"read">({
          op: "read",
          handle,
          offset: at,
          size: MAX_TRANSFER,
        });
        at += content.length;
        if (at - offset > limitBytes) throw new TunnelFailure("EFBIG", "a larger file");
        if (content.length > 0) yield content;
        if (content.length < MAX_TRANSFER) return;
      }
    } finally {
      this.#service.ask<"close">({ op: "close", handle }).catch(() => {});
    }
  }

  /** The whole content of a file, links followed. EFBIG beyond `limitBytes`, EISDIR, ENXIO for what is no file. */
  async read(path: ByteString, limitBytes: number): Promise<FileContent> {
    const last = (await this.chain(path, true)).at(-1);
    if (last?.kind !== "entry") throw new TunnelFailure("ENOENT", "no such file");
    const { attributes, content } = last;
    const type = attributes.mode & S_IFMT;
    if (type === S_IFDIR) throw new TunnelFailure("EISDIR", "a directory");
    if (type !== S_IFREG) throw new TunnelFailure("ENXIO", "not a regular file");
    if (attributes.size > limitBytes) throw new TunnelFailure("EFBIG", "a larger file");
    if (content) return { attributes, content: Buffer.from(content) };
    const parts: Uint8Array[] = [];
    for await (const part of this.content(last.path, 0, limitBytes)) parts.push(part);
    return { attributes, content: Buffer.concat(parts) };
  }
}

/** Contents of the pod's files in the tree: whole, no more than agreed, those that were not opened for long go first. */
import { chmodSync, constants, openSync } from "node:fs";
import { open } from "node:fs/promises";
import type { ByteString } from "@inpod/protocol";
import type { TargetFiles } from "@inpod/session";
import type { Opened } from "./snapshots.ts";
import { type Attributes, type Node, type SnapshotTree, TreeError } from "./tree.ts";

/** Of a file that has grown, the end of what is known is read again: what was written anew is not mistaken for growth. */
const OVERLAP = 4096;

/** Others say how it is opened, which is done here, or that it is written. */
const KEPT_FLAGS = constants.O_NONBLOCK | constants.O_NOATIME;

interface Content {
  readonly node: Node;
  /** What the pod said when it was read. */
  attributes: Attributes;
}

export interface ContentOptions {
  readonly fileBytes: number;
  readonly allBytes: number;
  readonly isMemory: boolean;
}

export class Contents {
  readonly #tree: SnapshotTree;
  readonly #files: Pick<TargetFiles, "content">;
  readonly #options: ContentOptions;
  /** By path; the first was used longest ago. */
  readonly #contents = new Map<ByteString, Content>();
  /** One at a time for a path. */
  readonly #underWay = new Map<ByteString, Promise<unknown>>();

  constructor(tree: SnapshotTree, files: Pick<TargetFiles, "content">, options: ContentOptions) {
    this.#tree = tree;
    this.#files = files;
    this.#options = options;
  }

  /**
   * The file at `path` with the content that the pod's has.
   * @param inline the content, if it came with the attributes
   * @param flags of open(2); it is opened for reading
   * @throws TreeError EFBIG, TunnelFailure
   */
  open(
    path: ByteString,
    node: Node,
    inline: Uint8Array | undefined,
    flags: number,
  ): Promise<Opened> {
    return this.#alone(path, async () => {
      const content = await this.#fill(path, node, inline);
      if (content) return { kind: "memory", content, attributes: node.attributes };
      this.#tree.dress(path);
      // Opened here: before the tap did it, somebody could have made room of it.
      return { kind: "descriptor", fd: openSync(this.#tree.file(path), flags & KEPT_FLAGS) };
    });
  }

  /** @returns the content, where the tree has no room for it */
  async #fill(
    path: ByteString,
    node: Node,
    inline: Uint8Array | undefined,
  ): Promise<Buffer | undefined> {
    if (await this.#isCurrent(path, node)) return undefined;
    if (node.attributes.size > this.#options.fileBytes)
      throw new TreeError("EFBIG", "larger than a snapshot may be");
    const parts = inline ? [inline] : this.#files.content(path, 0, this.#options.fileBytes);
    if (!this.#options.isMemory || !this.#makeRoom(node.attributes.size)) return gathered(parts);
    return this.#write(path, node, parts, 0);
  }

  /** A content that is in the tree is made to be what the attributes say, if it only grew; else there is none now. */
  async follow(path: ByteString, node: Node): Promise<void> {
    if (node.contentBytes === undefined) return;
    await this.#alone(path, () => this.#isCurrent(path, node));
  }

  async #isCurrent(path: ByteString, node: Node): Promise<boolean> {
    const known = this.#contents.get(path);
    if (known?.node !== node || node.contentBytes === undefined) return false;
    this.#contents.delete(path);
    this.#contents.set(path, known);
    if (isUnchanged(known.attributes, node.attributes)) return true;
    if (await this.#grow(path, node, known)) return true;
    this.#forget(path);
    return false;
  }

  /** Written to the end of the same file, so that who follows it by its descriptor sees it, too. */
  async #grow(path: ByteString, node: Node, known: Content): Promise<boolean> {
    const before = node.contentBytes ?? 0;
    const { attributes } = node;
    const { fileBytes } = this.#options;
    if (attributes.size <= before || attributes.size > fileBytes || before === 0) return false;
    if (!this.#makeRoom(attributes.size - before, path)) return false;
    const from = Math.max(0, before - OVERLAP);
    const tail = await gathered(this.#files.content(path, from, fileBytes - from));
    const file = await open(this.#tree.file(path), "r");
    try {
      const overlap = Buffer.alloc(before - from);
      const { bytesRead } = await file.read(overlap, 0, overlap.length, from);
      if (bytesRead < overlap.length || !tail.subarray(0, overlap.length).equals(overlap))
        return false;
    } finally {
      await file.close();
    }
    known.attributes = attributes;
    await this.#write(path, node, [tail.subarray(before - from)], before);
    return true;
  }

  /** @returns undefined, or all of it where there is no space left */
  async #write(
    path: ByteString,
    node: Node,
    parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    from: number,
  ): Promise<Buffer | undefined> {
    const { attributes } = node;
    chmodSync(this.#tree.file(path), 0o600);
    const file = await open(this.#tree.file(path), "r+");
    const written: Uint8Array[] = [];
    let hasSpace = true;
    let at = from;
    try {
      for await (const part of parts) {
        written.push(part);
        if (hasSpace) hasSpace = await writeWhole(file, part, at);
        at += part.length;
      }
      if (hasSpace) await file.truncate(at);
    } catch (error) {
      await file.truncate(0);
      throw error;
    } finally {
      await file.close();
      node.isDressed = false;
    }
    if (this.#tree.find(path) !== node) throw new TreeError("ESTALE", "it is another file now");
    node.contentBytes = at;
    this.#contents.set(path, { node, attributes });
    if (hasSpace) return undefined;
    this.#forget(path);
    return Buffer.concat(written);
  }

  #makeRoom(bytes: number, except?: ByteString): boolean {
    const { allBytes } = this.#options;
    let held = 0;
    for (const { node } of this.#contents.values()) held += node.contentBytes ?? 0;
    for (const [path, { node }] of this.#contents) {
      if (held + bytes <= allBytes) return true;
      if (path === except || this.#underWay.has(path)) continue;
      held -= node.contentBytes ?? 0;
      this.#forget(path);
    }
    return held + bytes <= allBytes;
  }

  #forget(path: ByteString): void {
    const known = this.#contents.get(path);
    this.#contents.delete(path);
    if (known && this.#tree.find(path) === known.node) this.#tree.empty(path);
  }

  async #alone<T>(path: ByteString, work: () => Promise<T>): Promise<T> {
    const before = this.#underWay.get(path);
    const mine = (before ?? Promise.resolve()).then(work, work);
    this.#underWay.set(path, mine);
    try {
      return await mine;
    } finally {
      if (this.#underWay.get(path) === mine) this.#underWay.delete(path);
    }
  }
}

const isUnchanged = (a: Attributes, b: Attributes): boolean =>
  a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs;

async function gathered(parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const part of parts) all.push(part);
  return Buffer.concat(all);
}

/** False: there is no space left. */
async function writeWhole(
  file: Awaited<ReturnType<typeof open>>,
  bytes: Uint8Array,
  position: number,
): Promise<boolean> {
  try {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
      done += bytesWritten;
    }
    return true;
  } catch (error) {
    if (!/^(ENOSPC|EDQUOT)$/.test((error as NodeJS.ErrnoException).code ?? "")) throw error;
    return false;
  }
}

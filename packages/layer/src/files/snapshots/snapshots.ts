/**
 * The pod's files where nothing can be mounted: what a call is about is asked of the pod, put into the tree, and then
 * the kernel answers the call from there. What is asked is true for a second; what a program has open stays as it was.
 */
import { constants } from "node:fs";
import type { ByteString, FileRecord } from "@inpod/protocol";
import type { TargetFiles } from "@inpod/session";
import { Contents } from "./contents.ts";
import { resolve } from "./resolve.ts";
import {
  type Attributes,
  isDirectory,
  isLink,
  isRegular,
  type Node,
  type SnapshotTree,
  TreeError,
} from "./tree.ts";

/** How old an answer may be. A program that starts asks for the same directories again and again. */
const FRESH_MS = 1000;
const MAX_NEGATIVES = 4096;
/** What may stand in one directory. */
const MAX_ENTRIES = 50_000;
/** So many are made before others get their turn. */
const BATCH = 64;

/** What is asked of the pod. */
export type Asked = Pick<TargetFiles, "chain" | "list" | "content" | "access">;

export type Opened =
  /** The kernel opens it in the tree, or says why not. */
  | { readonly kind: "tree" }
  /** Of the file in the tree; to be closed. */
  | { readonly kind: "descriptor"; readonly fd: number }
  /** There is no room in the tree. */
  | { readonly kind: "memory"; readonly content: Buffer; readonly attributes: Attributes };

interface Known {
  /** Without links. */
  readonly at: ByteString;
  readonly node: Node | undefined;
  /** Whether there is nothing, or it may not be seen. */
  readonly isClosed: boolean;
}

export interface SnapshotLimits {
  /** Bytes of one file. */
  readonly fileBytes: number;
  /** Bytes of all contents in the tree. */
  readonly allBytes: number;
}

export class Snapshots {
  readonly #tree: SnapshotTree;
  readonly #files: Asked;
  readonly #contents: Contents;
  readonly #negatives = new Map<ByteString, number>();
  readonly #underWay = new Map<string, Promise<Uint8Array | undefined>>();

  /** @param isMemory contents may be written into the tree: no disk is behind it */
  constructor(
    tree: SnapshotTree,
    files: Asked,
    options: SnapshotLimits & { readonly isMemory: boolean },
  ) {
    this.#tree = tree;
    this.#files = files;
    this.#contents = new Contents(tree, files, options);
  }

  /**
   * What calls other than an open for reading are about: from its return on the tree answers them as the pod would.
   * @throws TreeError, TunnelFailure: the errno for the program
   */
  async look(path: ByteString): Promise<void> {
    const { at, node } = this.#known(path) ?? (await this.#ask(path, false)).found;
    if (node) await this.#contents.follow(at, node);
    this.#dress(path, at);
  }

  /**
   * For an open for reading.
   * @param flags of open(2)
   * @throws TreeError, TunnelFailure: the errno for the program. EFBIG: the file is larger than the limit; EOVERFLOW:
   * the directory is; ENXIO: it is no file that could be opened
   */
  async open(path: ByteString, flags: number): Promise<Opened> {
    let found = this.#known(path);
    let inline: Uint8Array | undefined;
    if (!found || (found.node && isRegular(found.node.attributes)))
      ({ found, inline } = await this.#ask(path, true));
    const { at, node } = found;
    if (!node) return { kind: "tree" };
    this.#dress(path, at);
    if (flags & constants.O_NOFOLLOW && at !== path && this.#endsInLink(path))
      return { kind: "tree" };
    if (isRegular(node.attributes)) return this.#contents.open(at, node, inline, flags);
    if (!isDirectory(node.attributes))
      throw new TreeError("ENXIO", "only files and directories of the pod can be opened");
    if (node.listedUntilMs <= now()) await this.#list(at, node);
    this.#dress(path, at);
    return { kind: "tree" };
  }

  /**
   * access(2) with the pod's ids, not with ours. False: the tree tells.
   * @throws TreeError, TunnelFailure: the errno for the program
   */
  async mayAccess(path: ByteString, mode: number): Promise<boolean> {
    const { at, node } = this.#known(path) ?? (await this.#ask(path, false)).found;
    if (!node || mode === 0) return false;
    await this.#files.access(at, mode);
    return true;
  }

  /** Equal questions under way are asked once. */
  async #ask(
    path: ByteString,
    withContent: boolean,
  ): Promise<{ readonly found: Known; readonly inline: Uint8Array | undefined }> {
    const key = `${withContent} ${path}`;
    let work = this.#underWay.get(key);
    if (!work) {
      work = this.#askPod(path, withContent).finally(() => this.#underWay.delete(key));
      this.#underWay.set(key, work);
    }
    const inline = await work;
    const found = this.#known(path);
    // The pod changed it while it was told of.
    if (!found) throw new TreeError("ESTALE", "it is another now");
    // Of what is in a directory that not everybody may enter, the pod tells as if it were not there.
    if (found.isClosed) await this.#files.access(found.at, 0);
    return { found, inline };
  }

  async #askPod(path: ByteString, withContent: boolean): Promise<Uint8Array | undefined> {
    const records = await this.#files.chain(path, withContent);
    this.#apply(records);
    const last = records.at(-1);
    return last?.kind === "entry" ? last.content : undefined;
  }

  #endsInLink(path: ByteString): boolean {
    const last = resolve(this.#tree.root, path, false);
    return last.kind === "found" && isLink(last.node.attributes);
  }

  /** The link itself, too: lstat(2) is about it. */
  #dress(path: ByteString, at: ByteString): void {
    this.#tree.dress(at);
    const link = resolve(this.#tree.root, path, false);
    if (link.kind === "found") this.#tree.dress(link.at);
  }

  /** What the tree says of it, if that is not too old. */
  #known(
    path: ByteString,
  ):
    | { readonly at: ByteString; readonly node: Node | undefined; readonly isClosed: boolean }
    | undefined {
    const nowMs = now();
    const found = resolve(this.#tree.root, path, true, (node) => node.freshUntilMs > nowMs);
    switch (found.kind) {
      case "found":
        return { at: found.at, node: found.node, isClosed: false };
      case "loop":
      case "not-directory":
        return { at: found.at, node: undefined, isClosed: false };
      case "none": {
        const isListed = found.parent.listedUntilMs > nowMs;
        if (!isListed && (this.#negatives.get(found.at) ?? 0) <= nowMs) return undefined;
        // A directory that not everybody may enter: the pod's own answer is not "there is none".
        const isClosed = (found.parent.attributes.mode & 0o111) !== 0o111;
        return { at: found.at, node: undefined, isClosed };
      }
      case "old":
        return undefined;
    }
  }

  #apply(records: readonly FileRecord[]): void {
    const until = now() + FRESH_MS;
    for (const record of records) {
      if (record.kind === "entry") {
        this.#put(record.path, record).freshUntilMs = until;
        this.#negatives.delete(record.path);
      } else if (record.kind === "negative") {
        this.#tree.remove(record.path);
        if (this.#negatives.size >= MAX_NEGATIVES) this.#negatives.clear();
        this.#negatives.set(record.path, until);
      }
    }
  }

  #put(path: ByteString, record: Extract<FileRecord, { kind: "entry" }>): Node {
    const { attributes, content } = record;
    const isLink = (attributes.mode & 0o170000) === 0o120000;
    const target = isLink && content ? Buffer.from(content).toString("latin1") : undefined;
    return this.#tree.put(path, attributes, target);
  }

  /** All names of a directory, in place of those that were known. */
  async #list(at: ByteString, node: Node): Promise<void> {
    const seen = new Set<ByteString>();
    const prefix = at === "/" ? "/" : `${at}/`;
    for (let cookie = 0n; ; ) {
      const { nextCookie, records } = await this.#files.list(at, cookie);
      for (const record of records) {
        if (record.kind !== "entry" || record.path.includes("/") || record.path === "") continue;
        if (seen.size >= MAX_ENTRIES)
          throw new TreeError("EOVERFLOW", `a directory of more than ${MAX_ENTRIES} names`);
        seen.add(record.path);
        this.#put(`${prefix}${record.path}`, record).freshUntilMs = now() + FRESH_MS;
        if (seen.size % BATCH === 0) await new Promise((resume) => setImmediate(resume));
      }
      if (nextCookie === 0n) break;
      cookie = nextCookie;
    }
    for (const name of [...node.children.keys()])
      if (!seen.has(name)) this.#tree.remove(`${prefix}${name}`);
    node.listedUntilMs = now() + FRESH_MS;
  }
}

const now = (): number => performance.now();

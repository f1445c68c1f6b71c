/**
 * A directory of ours in which the pod's files stand as far as they were asked for: directories, links, and files as
 * empty as they are large. The kernel answers calls from it, so that what stat(2), fstat(2) and getdents(2) say of a
 * file is the same. What comes from the pod is names and numbers; no link of the pod's is ever followed here.
 */
import {
  chmodSync,
  closeSync,
  lchownSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
} from "node:fs";
import { getSystemErrorName } from "node:util";
import type { ByteString } from "@inpod/protocol";

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
/** PATH_MAX, less what stands before the path. */
const MAX_PATH = 3800;
/** Each is some 1.5 KB here and in the kernel. */
const MAX_NODES = 100_000;

/** What the pod says of a file. */
export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly ino: bigint;
  readonly dev: bigint;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

export interface Node {
  attributes: Attributes;
  /** Whether size, mode, owner and times stand there, too: a listing needs none of them. */
  isDressed: boolean;
  readonly target: ByteString | undefined;
  readonly children: Map<ByteString, Node>;
  /** Until then nothing needs to be asked; by the caller's clock. */
  freshUntilMs: number;
  /** Until then its children are all there are. */
  listedUntilMs: number;
  /** Bytes of its content that are in the tree; undefined: none, it is as empty as it is large. */
  contentBytes: number | undefined;
}

/** The two calls that Node has not (tap/native/addon/nodes.c). */
export interface NodeMaker {
  makeNode(path: Buffer, mode: number): number;
  setTimes(path: Buffer, atimeNs: bigint, mtimeNs: bigint): number;
}

export class TreeError extends Error {
  readonly errno: string;
  constructor(errno: string, text: string) {
    super(text);
    this.errno = errno;
  }
}

export class SnapshotTree {
  readonly #folder: string;
  readonly #maker: NodeMaker;
  readonly #isRoot: boolean;
  readonly root: Node;
  #nodes = 1;
  #names = 0;

  /** @param folder exists, empty, and is for nobody else */
  constructor(folder: string, maker: NodeMaker, isRoot = process.getuid?.() === 0) {
    this.#folder = folder;
    this.#maker = maker;
    this.#isRoot = isRoot;
    // What is replaced goes aside first, so that the new one takes its place in one step.
    for (const name of ["root", "aside"]) mkdirSync(`${folder}/${name}`, { mode: 0o700 });
    this.root = newNode(UNKNOWN_DIRECTORY, undefined);
  }

  get rootFolder(): string {
    return `${this.#folder}/root`;
  }

  /** Of the tree's own file, or of one in its `aside`; as bytes. */
  file(path: ByteString): Buffer {
    if (path.length > MAX_PATH) throw new TreeError("ENAMETOOLONG", "a path this long");
    return Buffer.from(`${this.rootFolder}${path === "/" ? "" : path}`, "latin1");
  }

  #aside(): Buffer {
    return Buffer.from(`${this.#folder}/aside/${this.#names++}`);
  }

  find(path: ByteString): Node | undefined {
    let node: Node | undefined = this.root;
    for (const name of namesOf(path)) node = node?.children.get(name);
    return node;
  }

  /**
   * What stands at `path`, whose directory is known. The same file with other attributes stays the same file here.
   * @throws TreeError ENOENT (its directory is not known), ENAMETOOLONG, EINVAL, ENOSPC
   */
  put(path: ByteString, attributes: Attributes, target?: ByteString): Node {
    const name = namesOf(path).pop();
    if (name === undefined) return change(this.root, attributes);
    const parent = this.#parent(path);
    const known = parent.children.get(name);
    if (known && isSame(known, attributes, target)) return change(known, attributes);
    if (!known && this.#nodes >= MAX_NODES)
      throw new TreeError("ENOSPC", `more than ${MAX_NODES} of the pod's files`);
    const node = newNode(attributes, target);
    if (known) {
      const made = this.#aside();
      this.#make(made, node);
      // In one step, where the kernel can: a name of the pod that leads to another file is never away in between.
      if (isDirectory(known.attributes) || isDirectory(attributes)) this.#drop(path, known);
      else this.#nodes--;
      renameSync(made, this.file(path));
    } else {
      this.#make(this.file(path), node);
    }
    parent.children.set(name, node);
    parent.isDressed = false; // its time is that of our making
    this.#nodes++;
    return node;
  }

  /** There is nothing at `path`. */
  remove(path: ByteString): void {
    const names = namesOf(path);
    const name = names.pop();
    const parent = name === undefined ? undefined : this.find(`/${names.join("/")}`);
    const known = name === undefined ? undefined : parent?.children.get(name);
    if (!parent || !known || name === undefined) return;
    this.#drop(path, known);
    parent.children.delete(name);
    parent.isDressed = false;
  }

  /** Of the file there: as empty as it is large, in the place of a content. Who has that open keeps it. */
  empty(path: ByteString): void {
    const node = this.find(path);
    if (node?.contentBytes === undefined) return;
    const made = this.#aside();
    this.#make(made, node);
    node.contentBytes = undefined;
    node.isDressed = false;
    renameSync(made, this.file(path));
    this.dress(path);
  }

  /** Owners can be told by root only; who is not root may always read and enter what it has made. */
  dress(path: ByteString): void {
    const node = this.find(path);
    if (!node || node.isDressed) return;
    node.isDressed = true;
    const { mode, uid, gid, size, atimeNs, mtimeNs } = node.attributes;
    const file = this.file(path);
    if (isRegular(node.attributes) && node.contentBytes === undefined) {
      chmodSync(file, 0o600);
      truncate(file, size);
    }
    if (this.#isRoot) lchownSync(file, uid, gid);
    if (!isLink(node.attributes)) {
      const least = this.#isRoot ? 0 : isDirectory(node.attributes) ? 0o700 : 0o400;
      chmodSync(file, (mode & 0o7777) | least);
    }
    this.#maker.setTimes(file, atimeNs, mtimeNs);
  }

  /** Nothing is left, but in descriptors. */
  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #parent(path: ByteString): Node {
    const parent = this.find(path.slice(0, Math.max(1, path.lastIndexOf("/"))));
    if (!parent || !isDirectory(parent.attributes))
      throw new TreeError("ENOENT", "the directory is not known");
    return parent;
  }

  #make(made: Buffer, { attributes, target }: Node): void {
    switch (attributes.mode & S_IFMT) {
      case S_IFDIR:
        mkdirSync(made, { mode: 0o700 });
        return;
      case S_IFLNK:
        symlinkSync(Buffer.from(target ?? "", "latin1"), made);
        return;
      case S_IFREG:
        closeSync(openSync(made, "wx", 0o600));
        return;
      default: {
        const result = this.#maker.makeNode(made, deviceless(attributes.mode));
        if (result < 0) throw new TreeError(getSystemErrorName(result), "mknod");
      }
    }
  }

  #drop(path: ByteString, node: Node): void {
    this.#nodes -= countOf(node);
    if (!isDirectory(node.attributes)) {
      unlinkSync(this.file(path));
      return;
    }
    const aside = this.#aside();
    renameSync(this.file(path), aside);
    if (node.children.size === 0 && readdirSync(aside).length === 0) rmdirSync(aside);
    else rmSync(aside, { recursive: true, force: true });
  }
}

export const isDirectory = ({ mode }: Attributes): boolean => (mode & S_IFMT) === S_IFDIR;
export const isRegular = ({ mode }: Attributes): boolean => (mode & S_IFMT) === S_IFREG;
export const isLink = ({ mode }: Attributes): boolean => (mode & S_IFMT) === S_IFLNK;

/** @throws TreeError EINVAL for what can stand in no directory */
export function namesOf(path: ByteString): ByteString[] {
  if (path === "/") return [];
  const names = path.slice(1).split("/");
  if (!path.startsWith("/") || path.includes("\0") || names.some((name) => /^\.{0,2}$/.test(name)))
    throw new TreeError("EINVAL", "a path with a name that none can have");
  return names;
}

const UNKNOWN_DIRECTORY: Attributes = {
  mode: S_IFDIR | 0o755,
  uid: 0,
  gid: 0,
  size: 0,
  ino: 0n,
  dev: 0n,
  atimeNs: 0n,
  mtimeNs: 0n,
  ctimeNs: 0n,
};

const newNode = (attributes: Attributes, target: ByteString | undefined): Node => ({
  attributes,
  isDressed: false,
  target,
  children: new Map(),
  freshUntilMs: 0,
  listedUntilMs: 0,
  contentBytes: undefined,
});

function change(node: Node, attributes: Attributes): Node {
  node.attributes = attributes;
  node.isDressed = false;
  return node;
}

const isSame = (node: Node, { mode, ino, dev }: Attributes, target: ByteString | undefined) =>
  (node.attributes.mode & S_IFMT) === (mode & S_IFMT) &&
  node.attributes.ino === ino &&
  node.attributes.dev === dev &&
  node.target === target;

/** A size beyond what the file system here takes is a size that nobody reads to its end. */
function truncate(file: Buffer, size: number): void {
  try {
    truncateSync(file, size);
  } catch (error) {
    if (!/^(EFBIG|EINVAL)$/.test((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}

/** Only root may make a block device, and nobody is to open one of ours: a character device with the number 0. */
const deviceless = (mode: number): number =>
  (mode & S_IFMT) === 0o060000 ? 0o020000 | (mode & 0o777) : mode & (S_IFMT | 0o777);

const countOf = (node: Node): number =>
  [...node.children.values()].reduce((count, child) => count + countOf(child), 1);

/** OPENDIR and READDIR: names in parts of any size, from where reading stopped. */
import type { Answer } from "../fuse/answers.ts";
import { OK, opened } from "../fuse/answers.ts";
import { MAX_IO } from "../fuse/connection.ts";
import { Errno, FileType } from "../fuse/numbers.ts";
import type { OpenDirectory, PageEntry } from "./handles.ts";
import type { FileNode } from "./node.ts";
import type { World } from "./world.ts";

/** `.` and `..` come first. */
const DOTS = 2;

export class Directories {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  async open(id: number): Promise<Answer> {
    const { handles, nodes, prefetch } = this.#world;
    const node = this.#world.namedNode(id);
    const { directory } = node;
    if (!directory) return { errno: Errno.ENOTDIR };
    nodes.use(node);
    // It is here that the program learns whether it may read the directory.
    if (!nodes.isListingFresh(node) && !directory.isTooLarge) await prefetch.listing(node);
    directory.wasRead = true;
    const open: OpenDirectory = { node, names: undefined, pages: [], page: undefined };
    if (directory.isTooLarge) await this.#page(open, 0);
    return opened(handles.addDirectory(open), 0);
  }

  async read(handle: number, offset: number, size: number, isPlus: boolean): Promise<Answer> {
    const open = this.#world.handles.directory(handle);
    const into = Buffer.allocUnsafe(Math.min(size, MAX_IO));
    const packer = new Packer(this.#world, open.node, into, isPlus);
    if (offset < DOTS && !packer.putDots(offset)) return packer.answer;
    const first = Math.max(0, offset - DOTS);
    if (open.node.directory?.isTooLarge && open.names === undefined) {
      await this.#readPages(open, first, packer);
    } else {
      await this.#readNames(open, first, packer);
    }
    return packer.answer;
  }

  release(handle: number): Answer {
    const open = this.#world.handles.removeDirectory(handle);
    if (open) this.#world.nodes.released(open.node);
    return OK;
  }

  async #readNames(open: OpenDirectory, first: number, packer: Packer): Promise<void> {
    const { nodes, prefetch } = this.#world;
    const { node } = open;
    const children = node.directory?.children;
    if (open.names === undefined || first === 0) {
      if (!node.isGone && !nodes.isListingFresh(node)) await prefetch.listing(node);
      if (node.directory?.isTooLarge) return this.#readPages(open, first, packer);
      open.names = [...(children?.keys() ?? [])];
    }
    for (let i = first; i < open.names.length; i++) {
      const child = children?.get(open.names[i] as string);
      if (child && !packer.putNode(child, DOTS + i + 1)) return;
    }
  }

  async #readPages(open: OpenDirectory, first: number, packer: Packer): Promise<void> {
    if (first === 0) {
      open.pages = [];
      open.page = undefined;
    }
    for (let at = first; ; ) {
      const entries = await this.#page(open, at);
      if (!entries) return;
      for (const entry of entries) {
        at++;
        if (!packer.putName(entry, DOTS + at)) return;
      }
    }
  }

  /** From the name with that index on, what is left of its page. Undefined: the end. */
  async #page(open: OpenDirectory, at: number): Promise<readonly PageEntry[] | undefined> {
    for (;;) {
      const { page } = open;
      if (page && page.first <= at && at < page.first + page.entries.length) {
        return page.entries.slice(at - page.first);
      }
      const after = page && at === page.first + page.entries.length ? page : undefined;
      if (after?.next === 0n) return undefined;
      const known = after
        ? { first: at, cookie: after.next }
        : (open.pages.findLast(({ first }) => first <= at) ?? { first: 0, cookie: 0n });
      const { nextCookie, records } = await this.#world.fetch.page(open.node, known.cookie);
      const entries: PageEntry[] = [];
      for (const record of records) {
        if (record.kind !== "entry") continue;
        const { ino, mode } = record.attributes;
        entries.push({ name: record.path, ino, mode });
      }
      if (open.pages.every(({ first }) => first !== known.first)) open.pages.push(known);
      open.page = { first: known.first, entries, next: nextCookie };
      const end = known.first + entries.length;
      // A seek to beyond what there is now: the directory has shrunk.
      if (nextCookie === 0n && at >= end) return undefined;
      if (at >= end) open.pages.push({ first: end, cookie: nextCookie });
    }
  }
}

class Packer {
  readonly #world: World;
  readonly #node: FileNode;
  readonly #into: Buffer;
  readonly #isPlus: boolean;
  #used = 0;

  constructor(world: World, node: FileNode, into: Buffer, isPlus: boolean) {
    this.#world = world;
    this.#node = node;
    this.#into = into;
    this.#isPlus = isPlus;
  }

  get answer(): Answer {
    return { bytes: this.#into, at: 0, length: this.#used };
  }

  putDots(offset: number): boolean {
    const parent = this.#node.parent ?? this.#node;
    const dots = [
      [".", this.#node],
      ["..", parent],
    ] as const;
    for (const [index, [name, node]] of dots.entries()) {
      if (index < offset) continue;
      const entry = { name, ino: node.attributes.ino, mode: FileType.directory };
      if (!this.putName(entry, index + 1)) return false;
    }
    return true;
  }

  /** False: there is no room for it. */
  putName({ name, ino, mode }: PageEntry, next: number): boolean {
    const { writer } = this.#world;
    const put = this.#isPlus ? writer.putDirectoryEntryPlus : writer.putDirectoryEntry;
    const used = put.call(writer, this.#into, this.#used, name, ino, mode, next);
    this.#used += used;
    return used > 0;
  }

  putNode(child: FileNode, next: number): boolean {
    const { name, attributes } = child;
    const { writer, nodes } = this.#world;
    // A directory that was listed is not entered for its attributes' sake, nor more named than may be known.
    if (!this.#isPlus || nodes.isFull || !nodes.isNameFresh(child)) {
      return this.putName({ name, ino: attributes.ino, mode: attributes.mode }, next);
    }
    const entry = this.#world.lookedUp(child);
    const used = writer.putDirectoryEntryPlus(
      this.#into,
      this.#used,
      name,
      attributes.ino,
      attributes.mode,
      next,
      entry,
    );
    if (used === 0) child.lookups--;
    this.#used += used;
    return used > 0;
  }
}

/** Names and attributes: LOOKUP, GETATTR, READLINK, ACCESS, STATFS, and extended attributes. */
import type { Answer, FileSystemFigures } from "../fuse/answers.ts";
import { attributeValue, fileSystem, OK } from "../fuse/answers.ts";
import { Errno } from "../fuse/numbers.ts";
import type { FileError } from "../remote/failures.ts";
import { isStale } from "./fetch.ts";
import type { FileNode } from "./node.ts";
import type { World } from "./world.ts";

/** access(2)'s modes. */
const R_OK = 4;
const X_OK = 1;
const MAY_BE = 7;
/**
 * Of the kernel that has the file: capabilities, labels and access control lists mean nothing here. `ls -l` asks for
 * them, file by file.
 */
const NOT_OURS = /^(security|system)\./;
const MAX_NAME = 255;
/** How long the free space of a file system is told without being asked for again, and of how many. */
const FIGURES_MS = 5000;
const MAX_FIGURES = 64;

export class Lookups {
  readonly #world: World;

  readonly #figures = new Map<bigint, { figures: FileSystemFigures; atMs: number }>();

  constructor(world: World) {
    this.#world = world;
  }

  lookup(parentId: number, name: string): Answer | Promise<Answer> {
    const { nodes, prefetch } = this.#world;
    const parent = this.#world.namedNode(parentId);
    if (name.length > MAX_NAME) return { errno: Errno.ENAMETOOLONG };
    const { directory } = parent;
    if (!directory) return { errno: Errno.ENOTDIR };
    nodes.use(parent);
    const node = directory.children.get(name);
    if (node && nodes.isEntryFresh(node)) return this.#world.entry(node);
    if (nodes.isAbsent(parent, name)) return this.#world.absent(parent, name);
    return prefetch
      .look(parent, name)
      .then((found) => (found ? this.#world.entry(found) : this.#world.absent(parent, name)));
  }

  getattr(id: number): Answer | Promise<Answer> {
    const node = this.#world.node(id);
    if (!node.isGone && this.#world.nodes.areAttributesFresh(node)) {
      return this.#world.attributes(node);
    }
    return this.refresh(node).then(() => this.#world.attributes(node));
  }

  /** Its attributes are true again. @throws FileError ESTALE if its name leads elsewhere and nobody has it open */
  async refresh(node: FileNode): Promise<void> {
    if (!node.isGone) await this.#world.fetch.refresh(node);
    if (node.isGone) await this.#refreshOpen(node);
  }

  async #refreshOpen(node: FileNode): Promise<void> {
    const { handles, nodes, service } = this.#world;
    for (const file of handles.filesOf(node)) {
      if (file.handle === 0 || file.generation !== service.generation) continue;
      const asked = nodes.asked();
      const handle = file.handle;
      const { attributes } = await service.ask<"fstat">({ op: "fstat", handle });
      nodes.update(node, attributes, asked);
      return;
    }
    // Its content is all that is left of it.
    if (node.handles === 0) throw isStale("a file is gone");
    node.attributes = { ...node.attributes, nlink: 0 };
  }

  async readlink(id: number): Promise<Answer> {
    const { fetch, nodes, service } = this.#world;
    const node = this.#world.namedNode(id);
    if (node.target === undefined || !nodes.areAttributesFresh(node)) {
      await fetch.refresh(node, 4096);
      if (node.isGone) throw isStale("a link is gone");
      if (node.target === undefined) {
        const { target } = await service.ask<"readlink">({ op: "readlink", path: node.path });
        node.target = Buffer.from(target, "latin1");
      }
    }
    return { bytes: node.target };
  }

  access(id: number, mode: number): Answer | Promise<Answer> {
    const { nodes } = this.#world;
    const node = this.#world.namedNode(id);
    const asked = mode & MAY_BE;
    if (asked === 0) return OK;
    if (nodes.areAttributesFresh(node)) {
      const known = node.access?.get(asked);
      if (known !== undefined) return known === 0 ? OK : { errno: known };
      if (this.#isSeenToBe(node, asked)) return OK;
    }
    return this.#askAccess(node, asked);
  }

  /** What was done with the target's ids is allowed to them. */
  #isSeenToBe(node: FileNode, mode: number): boolean {
    const { directory } = node;
    if (!directory) return mode === R_OK && node.currentContent !== undefined;
    if (mode === X_OK) return directory.children.size > 0;
    return mode === R_OK && this.#world.nodes.isListingFresh(node);
  }

  async #askAccess(node: FileNode, mode: number): Promise<Answer> {
    let errno = 0;
    try {
      await this.#world.service.ask<"access">({ op: "access", path: node.path, mode });
    } catch (error) {
      errno = (error as FileError).errno;
      if (errno !== Errno.EACCES && errno !== Errno.EROFS) throw error;
    }
    node.access ??= new Map();
    node.access.set(mode, errno);
    return errno === 0 ? OK : { errno };
  }

  /** Whoever walks through directories asks for it, for the type alone, which the kernel says itself. */
  async statfs(id: number): Promise<Answer> {
    const node = this.#world.namedNode(id);
    const { dev } = node.attributes;
    const known = this.#figures.get(dev);
    if (known && performance.now() - known.atMs < FIGURES_MS) return fileSystem(known.figures);
    const atMs = performance.now();
    const figures = await this.#world.service.ask<"statfs">({ op: "statfs", path: node.path });
    if (this.#figures.size >= MAX_FIGURES) this.#figures.clear();
    this.#figures.set(dev, { figures, atMs });
    return fileSystem(figures);
  }

  async getxattr(id: number, name: string, size: number): Promise<Answer> {
    const { path } = this.#world.namedNode(id);
    if (NOT_OURS.test(name)) return { errno: Errno.EOPNOTSUPP };
    const { value } = await this.#world.service.ask<"getxattr">({ op: "getxattr", path, name });
    return attributeValue(value, size, Errno.ERANGE);
  }

  async listxattr(id: number, size: number): Promise<Answer> {
    const { path } = this.#world.namedNode(id);
    const { names } = await this.#world.service.ask<"listxattr">({ op: "listxattr", path });
    const shown = Buffer.from(names)
      .toString("latin1")
      .split("\0")
      .filter((name) => name !== "" && !NOT_OURS.test(name))
      .map((name) => `${name}\0`)
      .join("");
    return attributeValue(Buffer.from(shown, "latin1"), size, Errno.ERANGE);
  }
}

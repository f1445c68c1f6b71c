/** All files that are known, by the kernel's number and by their place, and how long what is known of them holds. */
import { ATTRIBUTE_FLAGS, type FileAttributes } from "@inpod/protocol";
import { Contents } from "./contents.ts";
import { type Directory, FileNode, isSameFile } from "./node.ts";
import { LEASED_MS, type Limits, UNWATCHED_MS } from "./policy.ts";

export const ROOT = 1;

/** When something was asked. An answer is older than what happened since. */
export interface Asked {
  readonly atMs: number;
  readonly clock: number;
}

/** What the kernel is told when it should know less. */
export interface Kernel {
  invalidateNode(node: number, withPages: boolean): void;
  expireName(parent: number, name: string): void;
  forgetName(parent: number, name: string): void;
}

export class Nodes {
  readonly contents: Contents;
  readonly #limits: Limits;
  /** Files with more names than one, by their inode's number. */
  readonly #linked = new Map<bigint, Set<FileNode>>();
  readonly #byId = new Map<number, FileNode>();
  /** Directories with children, the least recently used first. */
  readonly #used = new Set<FileNode>();
  #nextId = ROOT + 1;
  #trimAt: number;
  #nextLease = 1;
  #clock = 0;
  /** What was asked before is no longer true of anything, also of what was not known then. */
  #floor = 0;
  root: FileNode | undefined;
  kernel: Kernel | undefined;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#trimAt = limits.nodes;
    this.contents = new Contents(limits.contentBytes);
  }

  get size(): number {
    return this.#byId.size;
  }

  get isFull(): boolean {
    return this.#byId.size >= this.#limits.nodes;
  }

  get(id: number): FileNode | undefined {
    return this.#byId.get(id);
  }

  setRoot(attributes: FileAttributes, atMs: number): FileNode {
    this.root ??= new FileNode(ROOT, undefined, "", attributes);
    this.root.attributes = attributes;
    this.root.attributesUntilMs = atMs + UNWATCHED_MS;
    this.#byId.set(ROOT, this.root);
    return this.root;
  }

  use(directory: FileNode): void {
    this.#used.delete(directory);
    this.#used.add(directory);
  }

  asked(): Asked {
    return { atMs: performance.now(), clock: this.#clock };
  }

  /** An event or an own change: of this file, and (`ofNames`) of which names are in this directory. */
  changed(node: FileNode, ofNames = false): void {
    this.#clock++;
    node.changedAt = this.#clock;
    for (const other of this.#otherNames(node)) {
      other.changedAt = this.#clock;
      this.contents.drop(other);
      this.expireAttributes(other);
    }
    if (ofNames && node.directory) node.directory.changedAt = this.#clock;
  }

  /** Of the same file: nobody else tells that it is another now. */
  #otherNames(node: FileNode): FileNode[] {
    const all = this.#linked.get(node.attributes.ino);
    return [...(all ?? [])].filter(
      (other) => other !== node && isSameFile(other.attributes, node.attributes),
    );
  }

  #noteLinks(node: FileNode): void {
    if (node.directory) return;
    const { ino, nlink } = node.attributes;
    const known = this.#linked.get(ino);
    if (nlink > 1) this.#linked.set(ino, (known ?? new Set()).add(node));
    else this.#dropLinks(node);
  }

  #dropLinks(node: FileNode): void {
    const known = this.#linked.get(node.attributes.ino);
    if (known?.delete(node) && known.size === 0) this.#linked.delete(node.attributes.ino);
  }

  #isCurrent(asked: Asked, parent: FileNode | undefined, node: FileNode | undefined): boolean {
    const { clock } = asked;
    if (this.#floor > clock) return false;
    return (parent?.directory?.changedAt ?? 0) <= clock && (node?.changedAt ?? 0) <= clock;
  }

  // ---- what holds

  isNameFresh(node: FileNode, now = performance.now()): boolean {
    if (node.isGone) return false;
    const lease = node.parent?.directory?.lease ?? 0;
    return !node.parent || (lease !== 0 && node.nameLease === lease) || node.nameUntilMs > now;
  }

  areAttributesFresh(node: FileNode, now = performance.now()): boolean {
    return this.#hasLeasedAttributes(node) || node.attributesUntilMs > now;
  }

  /** A name that may be told. Of a directory the way through it is what matters: its times change with all that is in it. */
  isEntryFresh(node: FileNode, now = performance.now()): boolean {
    return (
      this.isNameFresh(node, now) &&
      (node.directory !== undefined || this.areAttributesFresh(node, now))
    );
  }

  #hasLeasedAttributes(node: FileNode): boolean {
    const lease = (node.directory ?? node.parent?.directory)?.lease ?? 0;
    return lease !== 0 && node.attributesLease === lease && !node.isGone;
  }

  isListingFresh({ directory }: FileNode, now = performance.now()): boolean {
    if (!directory?.wasListed) return false;
    return (
      (directory.lease !== 0 && directory.listedLease === directory.lease) ||
      directory.listedUntilMs > now
    );
  }

  isAbsent(parent: FileNode, name: string, now = performance.now()): boolean {
    if (this.isListingFresh(parent, now)) return parent.directory?.children.has(name) === false;
    return (parent.directory?.absent.get(name) ?? 0) > now;
  }

  /** Milliseconds for which the kernel may answer without asking. */
  nameValidMs(node: FileNode, now = performance.now()): number {
    const lease = node.parent?.directory?.lease ?? 0;
    if (lease !== 0 && node.nameLease === lease) return LEASED_MS;
    return Math.max(0, node.nameUntilMs - now);
  }

  attributesValidMs(node: FileNode, now = performance.now()): number {
    // Changed by its other name it would have to be taken back, which the program that did so would not wait for.
    if (!node.directory && node.attributes.nlink > 1) return 0;
    if (this.#hasLeasedAttributes(node)) return LEASED_MS;
    return Math.max(0, node.attributesUntilMs - now);
  }

  absentValidMs(parent: FileNode, name: string, now = performance.now()): number {
    const { directory } = parent;
    if (!directory) return 0;
    if (directory.lease !== 0 && directory.listedLease === directory.lease) return LEASED_MS;
    return Math.max(directory.listedUntilMs, directory.absent.get(name) ?? 0) - now;
  }

  // ---- what is learnt

  /** What the directory holds is told by events from now on, unless something happened since it was asked. */
  lease(node: FileNode, asked: Asked): void {
    const { directory } = node;
    if (!directory || !this.#isCurrent(asked, node, node)) return;
    if (directory.lease === 0) directory.lease = this.#nextLease++;
    node.attributesLease = directory.lease;
  }

  /**
   * The file that `name` is. Where something happened to it meanwhile the answer is older than what may be known, and
   * holds for no time.
   */
  place(parent: FileNode, name: string, attributes: FileAttributes, asked: Asked): FileNode {
    const directory = parent.directory as Directory;
    let node = directory.children.get(name);
    const isCurrent = this.#isCurrent(asked, parent, node);
    if (node && !isSameFile(node.attributes, attributes)) {
      this.detach(node);
      node = undefined;
    }
    if (!node) {
      node = new FileNode(this.#nextId++, parent, name, attributes);
      this.#byId.set(node.id, node);
      directory.children.set(name, node);
      this.use(parent);
      if (this.#byId.size > this.#trimAt) this.#trim(parent);
    }
    directory.absent.delete(name);
    node.nameLease = isCurrent ? directory.lease : 0;
    node.nameUntilMs = isCurrent ? asked.atMs + UNWATCHED_MS : 0;
    this.update(node, attributes, asked);
    return node;
  }

  update(node: FileNode, attributes: FileAttributes, asked: Asked): void {
    const isCurrent = this.#isCurrent(asked, undefined, node);
    if (!isCurrent && this.areAttributesFresh(node)) return;
    node.attributes = attributes;
    this.#noteLinks(node);
    node.access = undefined;
    if (node.content && node.currentContent === undefined) this.contents.drop(node);
    node.attributesUntilMs = isCurrent ? asked.atMs + UNWATCHED_MS : 0;
    if (node.directory) return;
    const isWatched = (attributes.flags & ATTRIBUTE_FLAGS.unwatched) === 0;
    node.attributesLease = isCurrent && isWatched ? (node.parent?.directory?.lease ?? 0) : 0;
  }

  placeAbsent(parent: FileNode, name: string, asked: Asked): void {
    const directory = parent.directory as Directory;
    const known = directory.children.get(name);
    if (known) this.detach(known);
    if (!this.#isCurrent(asked, parent, undefined)) return;
    directory.absent.set(name, asked.atMs + UNWATCHED_MS);
    if (directory.absent.size <= 1000) return;
    for (const oldest of directory.absent.keys()) {
      if (directory.absent.size <= 500) break;
      directory.absent.delete(oldest);
    }
  }

  /** By us: it has another name now. Leases are of a place: what lies below loses them. */
  move(node: FileNode, parent: FileNode, name: string): void {
    const siblings = node.parent?.directory?.children;
    if (siblings?.get(node.name) === node) siblings.delete(node.name);
    node.parent = parent;
    node.name = name;
    const directory = parent.directory as Directory;
    directory.children.set(name, node);
    directory.absent.delete(name);
    this.use(parent);
    this.changed(node);
    this.expireAttributes(node);
    node.nameLease = directory.lease;
    node.nameUntilMs = performance.now() + UNWATCHED_MS;
    this.loseLeases(node);
  }

  /** Of a directory and all that is below it. */
  loseLeases(node: FileNode): void {
    const { directory } = node;
    if (!directory) return;
    if (directory.lease !== 0) this.changed(node, true);
    directory.lease = 0;
    this.expireListing(node);
    for (const child of directory.children.values()) this.loseLeases(child);
  }

  /** All names of the directory were placed now: others are gone. */
  listed(parent: FileNode, names: ReadonlySet<string>, asked: Asked): void {
    const directory = parent.directory as Directory;
    if (!this.#isCurrent(asked, parent, undefined)) return;
    for (const [name, child] of [...directory.children]) if (!names.has(name)) this.detach(child);
    directory.absent.clear();
    directory.wasListed = true;
    directory.listedLease = directory.lease;
    directory.listedUntilMs = asked.atMs + UNWATCHED_MS;
    this.use(parent);
  }

  // ---- what is forgotten

  /** Its name leads elsewhere, or nowhere. */
  detach(node: FileNode): void {
    node.isGone = true;
    const siblings = node.parent?.directory?.children;
    if (siblings?.get(node.name) === node) siblings.delete(node.name);
    for (const child of [...(node.directory?.children.values() ?? [])]) this.detach(child);
    this.#dropIfUnused(node);
  }

  forget(id: number, count: number): void {
    const node = this.#byId.get(id);
    if (!node || id === ROOT) return;
    node.lookups = Math.max(0, node.lookups - count);
    if (node.isGone) this.#dropIfUnused(node);
    // Else it is part of what is known of its directory, if that is kept as a whole.
    else if (!node.parent?.directory?.wasListed) this.#dropChild(node);
  }

  released(node: FileNode): void {
    if (node.isGone) this.#dropIfUnused(node);
  }

  #dropIfUnused(node: FileNode): void {
    if (node.id === ROOT || node.lookups > 0 || node.handles > 0) return;
    this.contents.drop(node);
    this.#used.delete(node);
    this.#byId.delete(node.id);
    this.#dropLinks(node);
    if (this.#byId.size < this.#limits.nodes) this.#trimAt = this.#limits.nodes;
  }

  /** Makes room: what only we know first, then what the kernel can do without. Not in `keep`, which is being filled. */
  #trim(keep: FileNode): void {
    const goal = this.#limits.nodes * 0.8;
    // The kernel takes its time.
    this.#trimAt = Math.max(this.#limits.nodes, this.#byId.size + this.#limits.nodes * 0.1);
    const directories = [...this.#used];
    for (const node of directories) {
      if (this.#byId.size <= goal) return;
      if (node !== keep) this.#dropChildren(node);
    }
    let asked = this.#byId.size - goal;
    for (const node of directories) {
      for (const child of node.directory?.children.values() ?? []) {
        if (asked <= 0) return;
        if (child.lookups === 0 || child.handles > 0 || child.directory?.children.size) continue;
        this.kernel?.forgetName(node.id, child.name);
        asked--;
      }
    }
  }

  #dropChildren(node: FileNode): void {
    const directory = node.directory as Directory;
    directory.wasListed = false;
    for (const child of directory.children.values()) this.#dropChild(child);
    if (directory.children.size === 0) this.#used.delete(node);
  }

  #dropChild(child: FileNode): void {
    if (child.lookups > 0 || child.handles > 0 || child.directory?.children.size) return;
    child.parent?.directory?.children.delete(child.name);
    this.#dropIfUnused(child);
  }

  /** @param path absolute, of real directories */
  find(path: string): FileNode | undefined {
    let node = this.root;
    for (const name of path.split("/")) {
      if (name !== "") node = node?.directory?.children.get(name);
    }
    return node;
  }

  /** The file itself may be another: nothing of what is known of it holds. */
  expire(node: FileNode): void {
    node.nameLease = 0;
    node.nameUntilMs = 0;
    this.expireAttributes(node);
  }

  expireAttributes(node: FileNode): void {
    node.attributesLease = 0;
    node.attributesUntilMs = 0;
  }

  expireListing({ directory }: FileNode): void {
    if (!directory) return;
    directory.listedLease = 0;
    directory.listedUntilMs = 0;
  }

  /** Nothing is watched any more, or all may be another. */
  expireAll(): void {
    this.#floor = ++this.#clock;
    for (const node of this.#byId.values()) {
      this.expire(node);
      if (!node.directory) continue;
      node.directory.lease = 0;
      this.changed(node, true);
      node.directory.absent.clear();
      this.expireListing(node);
    }
  }

  *all(): Generator<FileNode> {
    yield* this.#byId.values();
  }
}

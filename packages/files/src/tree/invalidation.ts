/** What the agent tells by itself, and what a lost connection means: what is known is no longer true. */
import type { FileEvent } from "@inpod/protocol";
import type { FileNode } from "./node.ts";
import type { Kernel, Nodes } from "./nodes.ts";

/**
 * An answer about a name that the kernel has taken, and a program has not come to yet, is believed from the moment on in
 * which the program comes to it, also when the name was taken back in between: it is taken back once more, after so long.
 */
const AGAIN_AFTER_MS = 500;
/** Names that wait for that. More are believed for their time (LEASED_MS). */
const MAX_AGAIN = 10_000;

export class Invalidation {
  readonly #nodes: Nodes;
  readonly #kernel: () => Kernel | undefined;
  readonly #again = new Map<string, [parent: number, name: string, atMs: number]>();
  #timer: NodeJS.Timeout | undefined;

  constructor(nodes: Nodes, kernel: () => Kernel | undefined) {
    this.#nodes = nodes;
    this.#kernel = kernel;
  }

  event(event: FileEvent): void {
    if (event.kind === "leases-lost") {
      this.all();
      return;
    }
    const directory = this.#nodes.find(event.directory);
    if (!directory?.directory) return;
    if (event.what === "gone") this.#gone(directory);
    else if (event.name === "") this.#directoryChanged(directory);
    else this.#nameChanged(directory, event.name, event.what === "changed");
  }

  #expireName(parent: number, name: string): void {
    this.#kernel()?.expireName(parent, name);
    const key = `${parent} ${name}`;
    this.#again.delete(key);
    if (this.#again.size >= MAX_AGAIN) return;
    this.#again.set(key, [parent, name, performance.now() + AGAIN_AFTER_MS]);
    this.#timer ??= setTimeout(() => this.#expireAgain(), AGAIN_AFTER_MS).unref();
  }

  #expireAgain(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const [key, [parent, name, atMs]] of this.#again) {
      if (atMs > now) {
        this.#timer = setTimeout(() => this.#expireAgain(), atMs - now).unref();
        return;
      }
      this.#again.delete(key);
      this.#kernel()?.expireName(parent, name);
    }
  }

  #nameChanged(parent: FileNode, name: string, isSameName: boolean): void {
    const node = parent.directory?.children.get(name);
    if (!isSameName) {
      this.#nodes.changed(parent, true);
      this.#nodes.expireListing(parent);
      parent.directory?.absent.delete(name);
      this.#nodes.expireAttributes(parent);
      this.#expireName(parent.id, name);
      this.#kernel()?.invalidateNode(parent.id, false);
    } else if (!node) {
      this.#nodes.changed(parent, true);
    }
    if (node) this.#fileChanged(node, isSameName);
  }

  #fileChanged(node: FileNode, isSameName: boolean): void {
    this.#nodes.changed(node);
    if (isSameName) this.#nodes.expireAttributes(node);
    else this.#nodes.expire(node);
    this.#nodes.contents.drop(node);
    node.target = undefined;
    // Our own writes are told, too: the kernel's pages have them already.
    if (node.lookups > 0) this.#kernel()?.invalidateNode(node.id, node.writers === 0);
  }

  /** The directory itself, or any name in it: something happened while an answer about it was under way. */
  #directoryChanged(node: FileNode): void {
    const { directory } = node;
    this.#nodes.changed(node, true);
    this.#nodes.expireAttributes(node);
    this.#nodes.expireListing(node);
    directory?.absent.clear();
    this.#kernel()?.invalidateNode(node.id, false);
    for (const name of directory?.toldAbsent ?? []) this.#expireName(node.id, name);
    directory?.toldAbsent.clear();
    for (const child of directory?.children.values() ?? []) {
      if (child.lookups > 0) this.#expireName(node.id, child.name);
      this.#fileChanged(child, false);
    }
  }

  #gone(node: FileNode): void {
    this.#nodes.loseLeases(node);
    this.#nodes.expire(node);
    this.#forgetBelow(node);
    if (node.parent) this.#expireName(node.parent.id, node.name);
  }

  #forgetBelow(node: FileNode): void {
    for (const child of node.directory?.children.values() ?? []) {
      if (child.lookups > 0) this.#tell(child);
      this.#forgetBelow(child);
    }
  }

  /** Nothing is watched, or another container's files are there. */
  all(): void {
    this.#nodes.expireAll();
    for (const node of this.#nodes.all()) {
      node.target = undefined;
      if (node.lookups > 0) this.#tell(node);
    }
  }

  #tell(node: FileNode): void {
    // Else its attributes come with its name.
    const isInUse = node.handles > 0 || node.directory !== undefined;
    if (isInUse) this.#kernel()?.invalidateNode(node.id, node.writers === 0);
    if (node.parent) this.#kernel()?.expireName(node.parent.id, node.name);
  }
}

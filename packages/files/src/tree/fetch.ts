/** Asks the agent about files, and puts what it says into the table. Equal questions under way are asked once. */
import { ATTRIBUTE_FLAGS, type FileRecord } from "@inpod/protocol";
import { Errno } from "../fuse/numbers.ts";
import { FileError } from "../remote/failures.ts";
import type { FileService } from "../remote/file-service.ts";
import type { FileNode } from "./node.ts";
import type { Asked, Nodes } from "./nodes.ts";
import {
  CHAIN_BYTES,
  CONTENTS_BYTES,
  INLINE_BYTES,
  LIST_BYTES,
  MAX_LISTED,
  TREE_BYTES,
  TREE_ENTRIES,
} from "./policy.ts";

/** An answer that something overtook is asked for again, so often. */
const ATTEMPTS = 3;

export class Fetch {
  readonly service: FileService;
  readonly nodes: Nodes;
  readonly #underWay = new Map<string, Promise<unknown>>();

  constructor(service: FileService, nodes: Nodes) {
    this.service = service;
    this.nodes = nodes;
  }

  #once<T>(key: string, ask: () => Promise<T>): Promise<T> {
    const known = this.#underWay.get(key) as Promise<T> | undefined;
    if (known) return known;
    const asked = ask().finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, asked);
    return asked;
  }

  /** The root's attributes. */
  root(): Promise<FileNode> {
    return this.#once("root", async () => {
      const asked = this.nodes.asked();
      const { attributes } = await this.service.ask<"look">({
        op: "look",
        path: "/",
        inlineLimit: 0,
      });
      return this.nodes.setRoot(attributes, asked.atMs);
    });
  }

  /** One name, undefined if there is none. @param inlineBytes of its content that come along */
  look(parent: FileNode, name: string, inlineBytes: number): Promise<FileNode | undefined> {
    return this.#once(`look ${inlineBytes} ${parent.id} ${name}`, async () => {
      for (let attempt = 1; ; attempt++) {
        const node = await this.#lookOnce(parent, name, inlineBytes);
        if (!node || this.nodes.areAttributesFresh(node) || attempt === ATTEMPTS) return node;
      }
    });
  }

  async #lookOnce(
    parent: FileNode,
    name: string,
    inlineLimit: number,
  ): Promise<FileNode | undefined> {
    const asked = this.nodes.asked();
    try {
      const path = parent.parent ? `${parent.path}/${name}` : `/${name}`;
      const { attributes, content } = await this.service.ask<"look">({
        op: "look",
        path,
        inlineLimit,
      });
      const node = this.nodes.place(parent, name, attributes, asked);
      this.#keepContent(node, content);
      return node;
    } catch (error) {
      const errno = (error as FileError).errno;
      if (errno !== Errno.ENOENT && errno !== Errno.ENOTDIR) throw error;
      this.nodes.placeAbsent(parent, name, asked);
      return undefined;
    }
  }

  /** What is known of the file itself is true again; it may be gone then. */
  async refresh(node: FileNode, inlineBytes = 0): Promise<void> {
    if (!node.parent) await this.root();
    else if (!node.isGone) await this.look(node.parent, node.name, inlineBytes);
  }

  /**
   * The names in a directory, with attributes. It may be too large to be kept: then only that is known afterwards.
   * @throws FileError
   */
  list(node: FileNode, withContents: boolean): Promise<void> {
    return this.#once(`list ${withContents} ${node.id}`, async () => {
      const asked = this.nodes.asked();
      const { directory } = node;
      if (withContents && directory) directory.contentsAtMs = asked.atMs;
      const answer = await this.service.ask<"list">({
        op: "list",
        path: node.path,
        cookie: 0n,
        maxEntries: MAX_LISTED,
        maxBytes: withContents ? CONTENTS_BYTES : LIST_BYTES,
        inlineLimit: withContents ? INLINE_BYTES : 0,
        lease: true,
        contents: withContents,
      });
      if (answer.isLeased) this.nodes.lease(node, asked);
      this.#updateDirectory(node, answer.attributes, asked);
      if (directory) directory.isTooLarge = answer.nextCookie !== 0n;
      this.#placeBelow(node, answer.records, asked);
      if (answer.nextCookie === 0n) {
        const names = answer.records.filter(({ kind }) => kind === "entry");
        this.nodes.listed(node, new Set(names.map(({ path }) => path)), asked);
      }
    });
  }

  #updateDirectory(node: FileNode, attributes: FileNode["attributes"], asked: Asked): void {
    if (!node.parent) {
      this.nodes.setRoot(attributes, asked.atMs);
      return;
    }
    this.nodes.update(node, attributes, asked);
  }

  /** A directory and what is below it, as far as the limits allow. */
  tree(node: FileNode, withContents: boolean): Promise<void> {
    return this.#once(`tree ${withContents} ${node.id}`, async () => {
      const asked = this.nodes.asked();
      const { directory } = node;
      if (directory) directory.treeAtMs = asked.atMs;
      if (withContents && directory) directory.contentsAtMs = asked.atMs;
      const { records } = await this.service.ask<"tree">({
        op: "tree",
        path: node.path,
        maxEntries: TREE_ENTRIES,
        maxBytes: withContents ? CONTENTS_BYTES : TREE_BYTES,
        inlineLimit: withContents ? INLINE_BYTES : 0,
        lease: true,
        contents: withContents,
      });
      this.#placeBelow(node, records, asked);
    });
  }

  /** Every file on the way of a path, and the names of the last directory. */
  chain(path: string): Promise<void> {
    return this.#once(`chain ${path}`, async () => {
      const root = this.nodes.root;
      if (!root) return;
      const asked = this.nodes.asked();
      const { records } = await this.service.ask<"chain">({
        op: "chain",
        path,
        inlineLimit: INLINE_BYTES,
        maxBytes: CHAIN_BYTES,
        listing: true,
        lease: true,
      });
      this.#placeBelow(
        root,
        records.map((record) => ({ ...record, path: record.path.slice(1) })),
        asked,
      );
    });
  }

  /** @param records their paths are relative to `top`; a directory comes before what is in it */
  #placeBelow(top: FileNode, records: readonly FileRecord[], asked: Asked): void {
    const found = new Map<string, FileNode>([["", top]]);
    const names = new Map<FileNode, Set<string>>();
    for (const record of records) {
      const cut = record.path.lastIndexOf("/");
      const parent = this.#parentOf(found, top, cut < 0 ? "" : record.path.slice(0, cut));
      const name = record.path.slice(cut + 1);
      if (record.kind === "negative") {
        if (parent?.directory && name !== "") this.nodes.placeAbsent(parent, name, asked);
        continue;
      }
      let node = top;
      if (record.path !== "") {
        if (!parent?.directory) continue;
        if (record.kind === "entry") {
          node = this.#placeEntry(parent, name, record.attributes, asked);
          const siblings = names.get(parent) ?? new Set();
          names.set(parent, siblings.add(name));
        } else {
          const known = parent.directory.children.get(name);
          if (!known) continue;
          node = known;
        }
        found.set(record.path, node);
      }
      if (record.attributes.flags & ATTRIBUTE_FLAGS.leased) this.nodes.lease(node, asked);
      if (record.kind === "entry") this.#keepContent(node, record.content);
      else if (record.kind === "listed") {
        this.nodes.listed(node, names.get(node) ?? new Set(), asked);
      }
    }
  }

  #placeEntry(
    parent: FileNode,
    name: string,
    attributes: FileNode["attributes"],
    asked: Asked,
  ): FileNode {
    const isUnknown = (attributes.flags & ATTRIBUTE_FLAGS.unknown) !== 0;
    const known = isUnknown ? parent.directory?.children.get(name) : undefined;
    if (known) return known;
    const node = this.nodes.place(parent, name, attributes, asked);
    // Asked for by its name it gets its own errno.
    if (isUnknown) this.nodes.expire(node);
    return node;
  }

  #parentOf(found: Map<string, FileNode>, top: FileNode, path: string): FileNode | undefined {
    let node = found.get(path);
    if (!node) {
      node = top;
      for (const name of path.split("/")) node = node?.directory?.children.get(name);
      if (node) found.set(path, node);
    }
    return node;
  }

  #keepContent(node: FileNode, content: Uint8Array | undefined): void {
    if (!content) return;
    if (node.isLink) node.target = content.slice();
    else if (node.isRegular && content.length === node.attributes.size) {
      this.nodes.contents.keep(node, content);
    }
  }

  /** A page of a directory that is too large to be kept. */
  page(node: FileNode, cookie: bigint) {
    return this.service.ask<"list">({
      op: "list",
      path: node.path,
      cookie,
      maxEntries: 2000,
      maxBytes: 512 * 1024,
      inlineLimit: 0,
    });
  }
}

export const notThere = (what: string): FileError => new FileError(Errno.ENOENT, what);
export const isStale = (what: string): FileError => new FileError(Errno.ESTALE, what);

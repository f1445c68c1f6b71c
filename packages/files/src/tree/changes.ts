/** What makes, removes, moves and changes files. What it did is known at once, without being asked for again. */
import { OPEN_FLAGS, SET_ATTRIBUTES } from "@inpod/protocol";
import type { Answer } from "../fuse/answers.ts";
import { OK } from "../fuse/answers.ts";
import { Errno, FileType, O, SetAttrBit } from "../fuse/numbers.ts";
import type { SetAttr } from "../fuse/requests.ts";
import { isStale } from "./fetch.ts";
import { OpenFile } from "./handles.ts";
import type { FileNode } from "./node.ts";
import { isSameFile, versionOf } from "./node.ts";
import type { OpenFiles } from "./open-files.ts";
import type { World } from "./world.ts";

/** renameat2(2) */
const RENAME_EXCHANGE = 2;
const PERMISSIONS = 0o7777;

export class Changes {
  readonly #world: World;
  readonly #files: OpenFiles;

  constructor(world: World, files: OpenFiles) {
    this.#world = world;
    this.#files = files;
  }

  #directory(id: number): FileNode {
    const node = this.#world.namedNode(id);
    if (!node.directory) throw isStale("no directory any more");
    return node;
  }

  #made(parent: FileNode, name: string, attributes: FileNode["attributes"]): FileNode {
    const { nodes } = this.#world;
    nodes.changed(parent, true);
    this.#expireDirectory(parent);
    return nodes.place(parent, name, attributes, nodes.asked());
  }

  /** Its times and its number of links are others now. */
  #expireDirectory(node: FileNode): void {
    this.#world.nodes.expireAttributes(node);
  }

  async create(parentId: number, name: string, flags: number, mode: number): Promise<Answer> {
    const { handles, service, writer } = this.#world;
    const parent = this.#directory(parentId);
    const handle = handles.newHandle();
    const generation = service.generation;
    const kept = flags & (O.accessMode | O.excl | O.trunc | O.append | OPEN_FLAGS.sync);
    const { attributes } = await service.ask<"open">({
      op: "open",
      handle,
      path: childPath(parent, name),
      flags: kept | O.creat,
      mode: mode & PERMISSIONS,
    });
    const node = this.#made(parent, name, attributes);
    const file = new OpenFile(node, flags, service.life);
    file.handle = handle;
    file.generation = generation;
    const entry = this.#world.lookedUp(node);
    const openFlags = this.#files.openFlags(file, versionOf(attributes));
    return writer.created(entry, handles.addFile(file), openFlags);
  }

  async mknod(parentId: number, name: string, mode: number): Promise<Answer> {
    const parent = this.#directory(parentId);
    const path = childPath(parent, name);
    const { attributes } = await this.#world.service.ask<"mknod">({ op: "mknod", path, mode });
    return this.#world.entry(this.#made(parent, name, attributes));
  }

  async mkdir(parentId: number, name: string, mode: number): Promise<Answer> {
    const parent = this.#directory(parentId);
    const { attributes } = await this.#world.service.ask<"mkdir">({
      op: "mkdir",
      path: childPath(parent, name),
      mode: mode & PERMISSIONS,
    });
    return this.#world.entry(this.#made(parent, name, attributes));
  }

  async symlink(parentId: number, name: string, target: string): Promise<Answer> {
    const parent = this.#directory(parentId);
    const path = childPath(parent, name);
    const { attributes } = await this.#world.service.ask<"symlink">({
      op: "symlink",
      target,
      path,
    });
    const node = this.#made(parent, name, attributes);
    node.target = Buffer.from(target, "latin1");
    return this.#world.entry(node);
  }

  async link(sourceId: number, parentId: number, name: string): Promise<Answer> {
    const { nodes, service } = this.#world;
    const source = this.#world.namedNode(sourceId);
    const parent = this.#directory(parentId);
    const { attributes } = await service.ask<"link">({
      op: "link",
      from: source.path,
      to: childPath(parent, name),
    });
    nodes.changed(source);
    nodes.update(source, attributes, nodes.asked());
    this.#made(parent, name, attributes);
    // The kernel takes the answer for what it knows of the source. The new name is asked for when it is used.
    return this.#world.writer.entry({ ...this.#world.lookedUp(source), nameMs: 0 });
  }

  async remove(parentId: number, name: string, op: "unlink" | "rmdir"): Promise<Answer> {
    const { nodes, service } = this.#world;
    const parent = this.#directory(parentId);
    const path = childPath(parent, name);
    if (op === "unlink") await service.ask<"unlink">({ op, path });
    else await service.ask<"rmdir">({ op, path });
    nodes.changed(parent, true);
    this.#expireDirectory(parent);
    const node = parent.directory?.children.get(name);
    if (node) this.#gone(node);
    nodes.placeAbsent(parent, name, nodes.asked());
    return OK;
  }

  /** Whoever has it open goes on; its other names have a link less. */
  #gone(node: FileNode): void {
    const { nodes } = this.#world;
    nodes.expireAttributes(node);
    nodes.changed(node);
    nodes.detach(node);
  }

  async rename(
    parentId: number,
    name: string,
    newParentId: number,
    newName: string,
    flags: number,
  ): Promise<Answer> {
    const { nodes, service } = this.#world;
    const parent = this.#directory(parentId);
    const newParent = this.#directory(newParentId);
    await service.ask<"rename">({
      op: "rename",
      from: childPath(parent, name),
      to: childPath(newParent, newName),
      flags,
    });
    for (const directory of [parent, newParent]) {
      nodes.changed(directory, true);
      this.#expireDirectory(directory);
    }
    const node = parent.directory?.children.get(name);
    const replaced = newParent.directory?.children.get(newName);
    if (node && node === replaced) return OK;
    // rename(2): two names of one file stay as they are.
    if (node && replaced && !node.directory && isSameFile(node.attributes, replaced.attributes)) {
      return OK;
    }
    if (flags & RENAME_EXCHANGE) {
      if (node) nodes.move(node, newParent, newName);
      if (replaced) nodes.move(replaced, parent, name);
      return OK;
    }
    if (replaced) this.#gone(replaced);
    if (node) nodes.move(node, newParent, newName);
    nodes.placeAbsent(parent, name, nodes.asked());
    return OK;
  }

  async setattr(id: number, request: SetAttr): Promise<Answer> {
    const { handles, nodes, service } = this.#world;
    const node = this.#world.node(id);
    const mask = this.#maskOf(request);
    const values = {
      mode: request.mode & PERMISSIONS,
      uid: request.uid,
      gid: request.gid,
      size: request.size,
      atimeNs: request.atimeNs,
      mtimeNs: request.mtimeNs,
    };
    const set = (handle: number, path: string) =>
      service.ask<"setattr">({ op: "setattr", handle, path, mask, ...values });
    const file =
      request.valid & SetAttrBit.handle
        ? handles.file(request.handle)
        : node.isGone
          ? [...handles.filesOf(node)].find(({ handle }) => handle !== 0)
          : undefined;
    if (mask === 0) return this.#world.attributes(node);
    if (node.isGone && !file) throw isStale("a file is gone");
    const { attributes } =
      file && file.content === undefined
        ? await handles.with(file, false, (handle) => set(handle, "/"))
        : await set(0, node.path);
    nodes.changed(node);
    if (mask & SET_ATTRIBUTES.size) nodes.contents.drop(node);
    if (!node.parent) nodes.setRoot(attributes, performance.now());
    else nodes.update(node, attributes, nodes.asked());
    return this.#world.attributes(node);
  }

  #maskOf(request: SetAttr): number {
    const { owner } = this.#world;
    let mask = 0;
    for (const [name, bit] of Object.entries(SET_ATTRIBUTES)) {
      if (request.valid & SetAttrBit[name as keyof typeof SET_ATTRIBUTES]) mask |= bit;
    }
    // Whose a file seems to be is no change: `cp -p` and tar say it again.
    if (owner?.uid === request.uid) mask &= ~SET_ATTRIBUTES.uid;
    if (owner?.gid === request.gid) mask &= ~SET_ATTRIBUTES.gid;
    return mask;
  }

  async setxattr(id: number, name: string, value: Uint8Array, flags: number): Promise<Answer> {
    const { nodes, service } = this.#world;
    const node = this.#world.namedNode(id);
    await service.ask<"setxattr">({ op: "setxattr", path: node.path, name, flags, value });
    nodes.changed(node);
    nodes.expireAttributes(node);
    return OK;
  }

  async removexattr(id: number, name: string): Promise<Answer> {
    const { nodes, service } = this.#world;
    const node = this.#world.namedNode(id);
    await service.ask<"removexattr">({ op: "removexattr", path: node.path, name });
    nodes.changed(node);
    nodes.expireAttributes(node);
    return OK;
  }
}

export function childPath(parent: FileNode, name: string): string {
  return parent.parent ? `${parent.path}/${name}` : `/${name}`;
}

export const refusesNode = (mode: number): Answer | undefined => {
  const type = mode & FileType.mask;
  return type === 0 || type === FileType.regular || type === FileType.fifo
    ? undefined
    : { errno: Errno.EPERM };
};

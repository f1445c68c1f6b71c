/** Files that are open: OPEN, READ, WRITE, RELEASE and what else is done through a handle. */
import { OPEN_FLAGS } from "@inpod/protocol";
import type { Answer } from "../fuse/answers.ts";
import { OK, opened, position, written } from "../fuse/answers.ts";
import { Errno, O, OpenFlag } from "../fuse/numbers.ts";
import { FileError } from "../remote/failures.ts";
import { isStale } from "./fetch.ts";
import { OpenFile } from "./handles.ts";
import { type FileNode, isSameFile, versionOf } from "./node.ts";
import { INLINE_BYTES } from "./policy.ts";
import { ReadAhead } from "./read-ahead.ts";
import type { World } from "./world.ts";

/** Of what a program gives to open(2); the kernel has acted on the others. */
const SENT_FLAGS =
  O.accessMode |
  OPEN_FLAGS.append |
  OPEN_FLAGS.truncate |
  OPEN_FLAGS.dsync |
  OPEN_FLAGS.sync |
  OPEN_FLAGS.noAtime;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

export class OpenFiles {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  async open(id: number, flags: number): Promise<Answer> {
    const { nodes, fetch } = this.#world;
    const node = this.#world.namedNode(id);
    const file = new OpenFile(node, flags, this.#world.service.life);
    if (!file.isWriting && (flags & O.trunc) === 0) {
      if (!nodes.areAttributesFresh(node)) await fetch.refresh(node);
      if (node.isGone) throw isStale("a file was replaced");
      const content = await this.#contentToHold(node);
      if (node.isGone) throw isStale("a file was replaced");
      if (content) {
        nodes.contents.use(node);
        file.content = content;
        return this.#opened(file);
      }
    }
    await this.#openThere(file, flags & SENT_FLAGS);
    return this.#opened(file);
  }

  /** Of a small file the content takes the place of a handle, as long as there is room for it. */
  async #contentToHold(node: FileNode): Promise<Uint8Array | undefined> {
    const { handles, limits, prefetch } = this.#world;
    // A file that says it is empty may not be: in /proc all do.
    if (!node.isRegular || node.attributes.size === 0) return undefined;
    if (handles.pinnedBytes + node.attributes.size > limits.contentBytes) return undefined;
    return node.currentContent ?? prefetch.content(node);
  }

  /** The first part of a large file is asked for along with it. */
  async #openThere(file: OpenFile, flags: number): Promise<void> {
    const { handles, nodes, service } = this.#world;
    const { node } = file;
    const handle = handles.newHandle();
    const isLarge = !file.isWriting && node.isRegular && node.attributes.size > INLINE_BYTES;
    const asked = nodes.asked();
    const generation = service.generation;
    const opening = service.ask<"open">(
      { op: "open", handle, path: node.path, flags, mode: 0 },
      isLarge ? "bulk" : "control",
    );
    file.handle = handle;
    file.generation = generation;
    if (isLarge) {
      const { size } = node.attributes;
      const version = versionOf(node.attributes);
      this.#aheadOf(file)
        .read(0, Math.min(size, 128 * 1024), size, version)
        .catch(() => {});
    }
    const { attributes } = await opening;
    if (!isSameFile(attributes, node.attributes)) {
      handles.closeHandle(file);
      nodes.expire(node);
      throw isStale("a file was replaced");
    }
    if (flags & O.trunc) this.#changed(node);
    nodes.update(node, attributes, flags & O.trunc ? nodes.asked() : asked);
  }

  #opened(file: OpenFile): Answer {
    const { node } = file;
    return opened(
      this.#world.handles.addFile(file),
      this.openFlags(file, versionOf(node.attributes)),
    );
  }

  /** Whether the kernel's pages of it are still true, and whether it may keep any. */
  openFlags(file: OpenFile, version: string): number {
    const { node } = file;
    let flags = OpenFlag.noFlush as number;
    // The kernel would append where it believes the end to be, and would not read beyond it.
    const isUnsized = !file.isWriting && node.attributes.size === 0;
    if (file.isAppending || isUnsized) flags |= OpenFlag.directIo;
    else if (node.cachedVersion === version) flags |= OpenFlag.keepCache;
    node.cachedVersion = version;
    return flags;
  }

  #aheadOf(file: OpenFile): ReadAhead {
    const { handles, pace, service } = this.#world;
    file.ahead ??= new ReadAhead(pace, (offset, size) =>
      handles.with(file, true, async (handle) => {
        const { content } = await service.ask<"read">({ op: "read", handle, offset, size }, "bulk");
        // A view of one message, which is all there is in it.
        return content;
      }),
    );
    return file.ahead;
  }

  async read(fh: number, offset: number, size: number): Promise<Answer> {
    const file = this.#world.handles.file(fh);
    const { node } = file;
    if (file.content !== undefined) {
      const content = await this.#contentNow(file);
      if (content) return { bytes: content.subarray(offset, offset + size) };
    }
    const version = versionOf(node.attributes);
    // Where the size says nothing, or others write too, nothing is fetched ahead of what is asked for.
    if (node.attributes.size === 0 || file.isWriting || node.writers > 0) {
      return { bytes: await this.#readThere(file, offset, size) };
    }
    return { bytes: await this.#aheadOf(file).read(offset, size, node.attributes.size, version) };
  }

  #readThere(file: OpenFile, offset: number, size: number): Promise<Uint8Array> {
    const { handles, service } = this.#world;
    return handles.with(file, true, async (handle) => {
      const { content } = await service.ask<"read">({ op: "read", handle, offset, size }, "bulk");
      return content;
    });
  }

  /** What it was opened with, or what that has become. Undefined: it is too long for that now. */
  async #contentNow(file: OpenFile): Promise<Uint8Array | undefined> {
    const { nodes, fetch, handles, service } = this.#world;
    const { node } = file;
    if (!node.isGone && !nodes.areAttributesFresh(node)) await fetch.refresh(node);
    // Its name is another file's, or there is another container: this one is as it was.
    if (node.isGone) return file.content;
    if (file.life !== service.life) throw isStale("the file of another container");
    let content = node.currentContent;
    if (content === undefined && node.attributes.size > 0) {
      content = await this.#world.prefetch.content(node);
    }
    if (node.isGone) return file.content;
    handles.pinnedBytes += (content?.length ?? 0) - (file.content?.length ?? 0);
    file.content = content;
    return content;
  }

  async write(fh: number, offset: number, data: Buffer): Promise<Answer> {
    const { handles, nodes, service } = this.#world;
    const file = handles.file(fh);
    // The kernel's bytes are in the slab, which is read into again when this has to wait.
    const content = file.generation === service.generation ? data : Buffer.from(data);
    const answer = await handles.with(file, false, (handle) =>
      service.ask<"write">(
        { op: "write", handle, offset, content, append: file.isAppending },
        "bulk",
      ),
    );
    this.#changed(file.node);
    nodes.update(file.node, answer.attributes, nodes.asked());
    return written(answer.written);
  }

  /** By us: what was asked before is older. */
  #changed(node: FileNode): void {
    const { nodes } = this.#world;
    nodes.changed(node);
    nodes.contents.drop(node);
  }

  release(fh: number): Answer {
    const { handles, nodes } = this.#world;
    const file = handles.removeFile(fh);
    if (file) {
      file.ahead?.clear();
      handles.closeHandle(file);
      nodes.released(file.node);
    }
    return OK;
  }

  async fsync(fh: number, isDataOnly: boolean): Promise<Answer> {
    const { handles, service } = this.#world;
    const file = handles.file(fh);
    if (file.content !== undefined) return OK;
    await handles.with(file, true, (handle) =>
      service.ask<"fsync">({ op: "fsync", handle, dataOnly: isDataOnly }),
    );
    return OK;
  }

  async fallocate(fh: number, mode: number, offset: number, length: number): Promise<Answer> {
    const { handles, nodes, service } = this.#world;
    const file = handles.file(fh);
    const { attributes } = await handles.with(file, false, (handle) =>
      service.ask<"fallocate">({ op: "fallocate", handle, mode, offset, length }),
    );
    this.#changed(file.node);
    nodes.update(file.node, attributes, nodes.asked());
    return OK;
  }

  async lseek(fh: number, offset: number, whence: number): Promise<Answer> {
    const { handles, service } = this.#world;
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return { errno: Errno.EINVAL };
    const file = handles.file(fh);
    if (file.content !== undefined) {
      const size = (await this.#contentNow(file))?.length ?? file.node.attributes.size;
      if (offset >= size) throw new FileError(Errno.ENXIO, "lseek beyond the end");
      if (file.content !== undefined) return position(BigInt(whence === SEEK_DATA ? offset : size));
    }
    const answer = await handles.with(file, true, (handle) =>
      service.ask<"lseek">({ op: "lseek", handle, offset, whence }),
    );
    return position(BigInt(answer.offset));
  }

  async copy(
    from: { readonly handle: number; readonly offset: number },
    to: { readonly handle: number; readonly offset: number },
    length: number,
  ): Promise<Answer> {
    const { handles, nodes, service } = this.#world;
    const source = handles.file(from.handle);
    const target = handles.file(to.handle);
    const answer = await handles.with(source, false, (fromHandle) =>
      handles.with(target, false, (toHandle) =>
        service.ask<"copy">({
          op: "copy",
          from: fromHandle,
          fromOffset: from.offset,
          to: toHandle,
          toOffset: to.offset,
          length: Math.min(length, 64 * 1024 * 1024),
        }),
      ),
    );
    this.#changed(target.node);
    nodes.update(target.node, answer.attributes, nodes.asked());
    return written(answer.copied);
  }
}

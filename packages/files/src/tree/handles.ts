/** Open files and directories, by the number that the kernel has for them. */
import { OPEN_FLAGS } from "@inpod/protocol";
import { Errno, O } from "../fuse/numbers.ts";
import { ConnectionLost, FileError } from "../remote/failures.ts";
import type { FileService } from "../remote/file-service.ts";
import { isStale } from "./fetch.ts";
import { type FileNode, isSameFile } from "./node.ts";
import type { ReadAhead } from "./read-ahead.ts";

/** The session itself uses the other half of the numbers. */
const MAX_HANDLE = 0x7fff_ffff;
/** What a file that is opened again, after a loss, is opened with. */
const KEPT_FLAGS =
  O.accessMode | OPEN_FLAGS.append | OPEN_FLAGS.dsync | OPEN_FLAGS.sync | OPEN_FLAGS.noAtime;

export class OpenFile {
  readonly node: FileNode;
  readonly flags: number;
  ahead: ReadAhead | undefined;
  /** The agent's: 0 while there is none, because the content is all that was wanted so far. */
  handle = 0;
  generation = -1;
  life: number;
  /** What it was opened with, in place of a handle. */
  content: Uint8Array | undefined;
  opening: Promise<void> | undefined;

  constructor(node: FileNode, flags: number, life: number) {
    this.node = node;
    this.flags = flags;
    this.life = life;
  }

  get isAppending(): boolean {
    return (this.flags & O.append) !== 0 && this.isWriting;
  }

  get isWriting(): boolean {
    return (this.flags & O.accessMode) !== O.rdonly;
  }
}

export interface OpenDirectory {
  readonly node: FileNode;
  /** All names, as they were when reading began. */
  names: string[] | undefined;
  /** Of a directory that is too large: where its pages begin, by the index of their first name. */
  pages: { readonly first: number; readonly cookie: bigint }[];
  page:
    | { readonly first: number; readonly entries: readonly PageEntry[]; readonly next: bigint }
    | undefined;
}
export interface PageEntry {
  readonly name: string;
  readonly ino: bigint;
  readonly mode: number;
}

export class Handles {
  readonly #service: FileService;
  readonly #files = new Map<number, OpenFile>();
  readonly #directories = new Map<number, OpenDirectory>();
  #next = 1;
  #nextHandle = 1;
  /** Bytes that open files hold in place of a handle. */
  pinnedBytes = 0;

  constructor(service: FileService) {
    this.#service = service;
  }

  addFile(file: OpenFile): number {
    const id = this.#next++;
    this.#files.set(id, file);
    file.node.handles++;
    if (file.isWriting) file.node.writers++;
    this.pinnedBytes += file.content?.length ?? 0;
    return id;
  }

  file(id: number): OpenFile {
    const file = this.#files.get(id);
    if (!file) throw new FileError(Errno.EBADF, "an unknown handle");
    return file;
  }

  /** One that the agent has open, if any: for what is asked of a file whose name is gone. */
  *filesOf(node: FileNode): Generator<OpenFile> {
    if (node.handles === 0) return;
    for (const file of this.#files.values()) if (file.node === node) yield file;
  }

  removeFile(id: number): OpenFile | undefined {
    const file = this.#files.get(id);
    if (!file) return undefined;
    this.#files.delete(id);
    file.node.handles--;
    if (file.isWriting) file.node.writers--;
    this.pinnedBytes -= file.content?.length ?? 0;
    return file;
  }

  addDirectory(directory: OpenDirectory): number {
    const id = this.#next++;
    this.#directories.set(id, directory);
    directory.node.handles++;
    return id;
  }

  directory(id: number): OpenDirectory {
    const directory = this.#directories.get(id);
    if (!directory) throw new FileError(Errno.EBADF, "an unknown handle");
    return directory;
  }

  removeDirectory(id: number): OpenDirectory | undefined {
    const directory = this.#directories.get(id);
    if (this.#directories.delete(id) && directory) directory.node.handles--;
    return directory;
  }

  newHandle(): number {
    const handle = this.#nextHandle;
    this.#nextHandle = handle === MAX_HANDLE ? 1 : handle + 1;
    return handle;
  }

  /**
   * Asks with the agent's handle, which is opened first where there is none, or where it was lost with the streams.
   * @param isAskedAgain what is lost under way may be asked for once more
   */
  async with<T>(
    file: OpenFile,
    isAskedAgain: boolean,
    ask: (handle: number) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      if (file.generation !== this.#service.generation) await this.#open(file);
      try {
        return await ask(file.handle);
      } catch (error) {
        if (!(error instanceof ConnectionLost) || !isAskedAgain || attempt === 3) throw error;
      }
    }
  }

  #open(file: OpenFile): Promise<void> {
    file.opening ??= this.#openOnce(file).finally(() => {
      file.opening = undefined;
    });
    return file.opening;
  }

  async #openOnce(file: OpenFile): Promise<void> {
    if (file.life !== this.#service.life || file.node.isGone) throw isStale("an open file is gone");
    for (let attempt = 1; ; attempt++) {
      const generation = this.#service.generation;
      const handle = this.newHandle();
      try {
        const { attributes } = await this.#service.ask<"open">({
          op: "open",
          handle,
          path: file.node.path,
          flags: file.flags & KEPT_FLAGS,
          mode: 0,
        });
        if (generation !== this.#service.generation) continue;
        file.handle = handle;
        file.generation = generation;
        if (isSameFile(attributes, file.node.attributes)) return;
        this.closeHandle(file);
        throw isStale("the name of an open file leads to another one");
      } catch (error) {
        if (error instanceof ConnectionLost && attempt < 3) continue;
        if ((error as FileError).errno === Errno.ENOENT) throw isStale("an open file is gone");
        throw error;
      }
    }
  }

  /** Nobody waits for it. */
  closeHandle(file: OpenFile): void {
    if (file.handle === 0 || file.generation !== this.#service.generation) return;
    const { handle } = file;
    file.generation = -1;
    file.handle = 0;
    // Behind what was read ahead.
    this.#service.ask<"close">({ op: "close", handle }, "bulk").catch(() => {});
  }
}

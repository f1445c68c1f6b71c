/**
 * A file service over a folder of this machine, in the test's own process: what is asked is seen, and answers can be
 * held back, failed or lost, as an agent cannot be told to. It works with the test's rights, and follows no link.
 */
import * as fs from "node:fs";
import {
  ATTRIBUTE_FLAGS,
  encodeFileAnswer,
  encodeFileEvent,
  encodeFileFailure,
  type FileAnswers,
  type FileAttributes,
  type FileEvent,
  type FileRecord,
  type FileRequest,
  MAX_REQUEST,
  MessageCutter,
  parseFileRequest,
} from "@inpod/protocol";
import type { FilesChannel, FilesLink, FilesStream } from "../../src/index.ts";

export class Channel implements FilesChannel {
  onDrain: (() => void) | undefined;
  onData: ((bytes: Uint8Array) => void) | undefined;
  onReset: ((errno: string, detail: string) => void) | undefined;
  readonly #backend: Backend;
  readonly #cutter = new MessageCutter(MAX_REQUEST);
  isOver = false;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  write(bytes: Uint8Array): boolean {
    for (const message of this.#cutter.push(bytes)) {
      const { id, request } = parseFileRequest(message.slice());
      this.#backend.take(this, id, request);
    }
    return true;
  }

  consumed(): void {}

  reset(): void {
    this.isOver = true;
    this.#backend.channels.delete(this);
  }

  say(bytes: Uint8Array): void {
    if (!this.isOver) this.onData?.(bytes);
  }
}

export class Backend implements FilesLink {
  /** May be another one, as when a container is started again. */
  root: string;
  readonly channels = new Set<Channel>();
  readonly #handles = new Map<number, number>();
  readonly #watchers = new Map<string, fs.FSWatcher>();
  readonly asked: FileRequest[] = [];
  readonly hasLeases: boolean;
  /** While set, what is asked waits for it. */
  gate: Promise<void> | undefined;
  /** While set, what is answered waits for it. */
  delivery: Promise<void> | undefined;
  /** What changes is not told. */
  isMute = false;
  /** While set, no stream can be opened. */
  tunnel: Promise<void> | undefined;

  constructor(root: string, { hasLeases = true } = {}) {
    this.root = root;
    this.hasLeases = hasLeases;
  }

  async open(_which: FilesStream): Promise<FilesChannel> {
    await this.tunnel;
    const channel = new Channel(this);
    this.channels.add(channel);
    return channel;
  }

  tell(event: FileEvent): void {
    for (const channel of this.channels) channel.say(encodeFileEvent(event));
  }

  /** Both streams end, and with them the handles. */
  lose(errno: string): void {
    this.#closeAll();
    for (const channel of [...this.channels]) {
      channel.isOver = true;
      this.channels.delete(channel);
      channel.onReset?.(errno, "");
    }
  }

  close(): void {
    this.#closeAll();
    this.#unwatch();
  }

  /** As the agent does when more happens than is taken. */
  loseLeases(): void {
    this.#unwatch();
    this.tell({ kind: "leases-lost" });
  }

  #unwatch(): void {
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #closeAll(): void {
    for (const fd of this.#handles.values()) fs.closeSync(fd);
    this.#handles.clear();
  }

  get openHandles(): number {
    return this.#handles.size;
  }

  async take(channel: Channel, id: number, request: FileRequest): Promise<void> {
    this.asked.push(request);
    if (this.gate) await this.gate;
    let answer: Uint8Array;
    try {
      answer = encodeFileAnswer(id, request.op, this.answer(channel, request) as never);
    } catch (error) {
      const { errno } = error as { errno?: number };
      if (errno === undefined) throw error;
      answer = encodeFileFailure(id, Math.abs(errno));
    }
    if (this.delivery) await this.delivery;
    // Never within write(): as from afar.
    setImmediate(() => channel.say(answer));
  }

  #at(path: string): Buffer {
    return Buffer.from(this.root + (path === "/" ? "" : path), "latin1");
  }

  #lease(channel: Channel, path: string): boolean {
    if (!this.hasLeases) return false;
    if (this.#watchers.has(path)) return true;
    const watcher = fs.watch(this.#at(path), { encoding: "buffer" }, (type, name) => {
      const text = name?.toString("latin1") ?? "";
      const what = type === "change" ? "changed" : "appeared";
      const event = { kind: "invalidate", directory: path, name: text, what } as const;
      if (!this.isMute) channel.say(encodeFileEvent(event));
    });
    watcher.on("error", () => {});
    watcher.unref();
    this.#watchers.set(path, watcher);
    return true;
  }

  #attributes(path: string, flags = 0): FileAttributes {
    return attributesOf(fs.lstatSync(this.#at(path), { bigint: true }), flags);
  }

  #content(path: string, attributes: FileAttributes, limit: number): Uint8Array | undefined {
    if (isLink(attributes)) return fs.readlinkSync(this.#at(path), { encoding: "buffer" });
    if (!isRegular(attributes) || attributes.size > limit || limit === 0) return undefined;
    return fs.readFileSync(this.#at(path));
  }

  #entry(path: string, shown: string, limit: number): FileRecord {
    const attributes = this.#attributes(path);
    const content = this.#content(path, attributes, limit);
    return { kind: "entry", path: shown, attributes, content };
  }

  #names(path: string): string[] {
    return fs.readdirSync(this.#at(path), { encoding: "buffer" }).map((n) => n.toString("latin1"));
  }

  protected answer(channel: Channel, r: FileRequest): FileAnswers[FileRequest["op"]] {
    switch (r.op) {
      case "look": {
        const attributes = this.#attributes(r.path);
        return { attributes, content: this.#content(r.path, attributes, r.inlineLimit) };
      }
      case "list": {
        const isLeased = r.lease === true && this.#lease(channel, r.path);
        const names = this.#names(r.path);
        const from = Number(r.cookie);
        const part = names.slice(from, from + r.maxEntries);
        const limit = r.contents ? r.inlineLimit : 0;
        return {
          nextCookie: from + part.length < names.length ? BigInt(from + part.length) : 0n,
          isLeased,
          attributes: this.#attributes(r.path, isLeased ? ATTRIBUTE_FLAGS.leased : 0),
          records: part.map((name) => this.#entry(join(r.path, name), name, limit)),
        };
      }
      case "tree":
        return this.#tree(channel, r.path, r.maxEntries, r.contents ? r.inlineLimit : 0);
      case "chain":
        return { records: this.#chain(channel, r.path, r.inlineLimit) };
      case "access":
        fs.accessSync(this.#at(r.path), r.mode);
        return {};
      case "statfs": {
        const s = fs.statfsSync(this.root, { bigint: true });
        return {
          ...{ blocks: s.blocks, bfree: s.bfree, bavail: s.bavail, files: s.files, ffree: s.ffree },
          ...{
            bsize: Number(s.bsize),
            frsize: Number(s.bsize),
            namelen: 255,
            type: Number(s.type),
          },
        };
      }
      case "open": {
        const fd = fs.openSync(this.#at(r.path), r.flags | fs.constants.O_NOFOLLOW, r.mode);
        this.#handles.set(r.handle, fd);
        return { attributes: attributesOf(fs.fstatSync(fd, { bigint: true })) };
      }
      case "read": {
        const content = new Uint8Array(r.size);
        const count = fs.readSync(this.#fd(r.handle), content, 0, r.size, r.offset);
        return { content: content.subarray(0, count) };
      }
      case "close":
        fs.closeSync(this.#fd(r.handle));
        this.#handles.delete(r.handle);
        return {};
      case "fstat":
        return { attributes: attributesOf(fs.fstatSync(this.#fd(r.handle), { bigint: true })) };
      default:
        throw Object.assign(new Error(r.op), { errno: 38 });
    }
  }

  #fd(handle: number): number {
    const fd = this.#handles.get(handle);
    if (fd === undefined) throw Object.assign(new Error("no handle"), { errno: 9 });
    return fd;
  }

  #tree(channel: Channel, top: string, maxEntries: number, limit: number) {
    const records: FileRecord[] = [];
    const queue = [""];
    let isComplete = true;
    for (let directory = queue.shift(); directory !== undefined; directory = queue.shift()) {
      const path = directory === "" ? top : join(top, directory);
      const names = this.#names(path);
      if (records.length + names.length > maxEntries) {
        isComplete = false;
        continue;
      }
      const flags = this.#lease(channel, path) ? ATTRIBUTE_FLAGS.leased : 0;
      for (const name of names) {
        const shown = directory === "" ? name : `${directory}/${name}`;
        const record = this.#entry(join(path, name), shown, limit);
        records.push(record);
        if (record.kind === "entry" && isDirectory(record.attributes)) queue.push(shown);
      }
      const attributes = this.#attributes(path, flags);
      records.push({ kind: "listed", path: directory, attributes });
    }
    return { isComplete, records };
  }

  #chain(channel: Channel, path: string, limit: number): FileRecord[] {
    const records: FileRecord[] = [
      { kind: "entry", path: "/", ...this.#leasedDirectory(channel, "/") },
    ];
    let at = "/";
    const rest = path
      .split("/")
      .filter((name) => name !== "")
      .reverse();
    for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
      const next = join(at, name);
      if (!fs.existsSync(this.#at(next)) && !isThere(this.#at(next))) {
        records.push({ kind: "negative", path: next });
        break;
      }
      const record = this.#entry(next, next, rest.length === 0 ? limit : 0);
      if (record.kind === "entry" && isDirectory(record.attributes)) {
        records.push({ kind: "entry", path: next, ...this.#leasedDirectory(channel, next) });
        at = next;
        continue;
      }
      records.push(record);
      if (record.kind !== "entry" || !isLink(record.attributes)) break;
      const target = Buffer.from(record.content ?? []).toString("latin1");
      if (target.startsWith("/")) at = "/";
      rest.push(
        ...target
          .split("/")
          .filter((part) => part !== "" && part !== ".")
          .reverse(),
      );
    }
    for (const name of this.#names(at)) {
      const shown = join(at, name);
      if (!records.some((known) => known.path === shown))
        records.push(this.#entry(shown, shown, limit));
    }
    records.push({ kind: "listed", path: at, attributes: this.#attributes(at) });
    return records;
  }

  #leasedDirectory(channel: Channel, path: string) {
    const flags = this.#lease(channel, path) ? ATTRIBUTE_FLAGS.leased : 0;
    return { attributes: this.#attributes(path, flags), content: undefined };
  }
}

function isThere(path: Buffer): boolean {
  return fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

const join = (directory: string, name: string): string =>
  directory === "/" ? `/${name}` : `${directory}/${name}`;
const isRegular = ({ mode }: FileAttributes) => (mode & 0o170000) === 0o100000;
const isDirectory = ({ mode }: FileAttributes) => (mode & 0o170000) === 0o040000;
const isLink = ({ mode }: FileAttributes) => (mode & 0o170000) === 0o120000;

export function attributesOf(s: fs.BigIntStats, flags = 0): FileAttributes {
  const isWatched = s.isFile() && s.nlink === 1n;
  return {
    mode: Number(s.mode),
    nlink: Number(s.nlink),
    uid: Number(s.uid),
    gid: Number(s.gid),
    blksize: Number(s.blksize),
    flags: flags | (isWatched || s.isSymbolicLink() ? 0 : ATTRIBUTE_FLAGS.unwatched),
    size: Number(s.size),
    ino: s.ino,
    dev: s.dev,
    rdev: s.rdev,
    blocks: Number(s.blocks),
    atimeNs: s.atimeNs,
    mtimeNs: s.mtimeNs,
    ctimeNs: s.ctimeNs,
  };
}

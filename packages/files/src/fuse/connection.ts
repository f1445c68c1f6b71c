/**
 * One FUSE connection: reads requests, has each answered exactly once and within its time, and sends notifications.
 * What the answers are is the handler's business.
 */
import { readFileSync } from "node:fs";
import type { Native } from "../native.ts";
import type { Answer } from "./answers.ts";
import { Errno, Feature, Notification } from "./numbers.ts";
import type { Body, Header, Init, Request } from "./requests.ts";
import { parseBody, parseHeader } from "./requests.ts";

/** Bytes: what one WRITE holds at most, and one READ. */
export const MAX_IO = 1024 * 1024;
const PACKET_BYTES = MAX_IO + 4096;
const SLAB_BYTES = 2 * PACKET_BYTES + 64 * 1024;
/** A request that is not answered by then is answered for us: no process waits for longer. */
const ANSWER_WITHIN_MS = 9500;
/** The kernel asks for a page twice before it gives the reader an error: for so long the second one need not wait. */
const SILENT_MS = 1000;
const SWEEP_MS = 250;
/** Seconds until the kernel gives the whole mount up: the answer to a server that hangs itself. */
const KERNEL_TIMEOUT_SECONDS = 20;
const MAX_BACKGROUND = 64;
const SIGKILL = 9n;
/** Of the notification about a name; from Linux 6.2 on. Older ones unlink the name from what is in use, too. */
const EXPIRE_ONLY = 1;

const WANTED = Object.values(Feature).reduce((all, bit) => all | (1n << BigInt(bit)), 0n);

export interface Handler {
  /** A rejection that has an `errno` is answered with it. */
  handle(request: Request): Answer | Promise<Answer>;
  /** FORGET: the kernel has given up so many references to a node. */
  forget(node: number, count: number): void;
}

interface Pending {
  readonly header: Header;
  readonly sinceMs: number;
  isInterrupted: boolean;
}

export class FuseConnection {
  readonly #native: Native;
  readonly #device: number;
  readonly #notifier: object | undefined;
  readonly #handler: Handler;
  readonly #slab = Buffer.alloc(SLAB_BYTES);
  readonly #head = Buffer.alloc(16);
  readonly #pending = new Map<bigint, Pending>();
  /** Files of which a request was not answered in time, and until when that is remembered. */
  readonly #silent = new Map<number, number>();
  readonly #onEnd: (errno: number) => void;
  readonly #onBug: (error: unknown) => void;
  readonly #sweeper: NodeJS.Timeout;
  #receiver: object | undefined;
  /** How many requests there were, by name. */
  readonly counts = new Map<string, number>();

  /** @param notifying a clone of the device, for notifications alone. Both belong to the connection from now on */
  constructor(options: {
    native: Native;
    device: number;
    notifying: number;
    handler: Handler;
    onEnd: (errno: number) => void;
    onBug: (error: unknown) => void;
  }) {
    this.#native = options.native;
    this.#device = options.device;
    this.#handler = options.handler;
    this.#onEnd = options.onEnd;
    this.#onBug = options.onBug;
    const notifier = this.#native.startNotifier(options.notifying);
    this.#notifier = typeof notifier === "object" ? notifier : undefined;
    const receiver = this.#native.receive(this.#device, this.#slab, PACKET_BYTES, (bytes) =>
      bytes < 0 ? this.#ended(-bytes) : this.#receive(bytes),
    );
    if (typeof receiver === "number") throw new Error(`/dev/fuse cannot be polled: ${receiver}`);
    this.#receiver = receiver;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
  }

  close(): void {
    clearInterval(this.#sweeper);
    if (this.#receiver) this.#native.stopReceiving(this.#receiver);
    this.#receiver = undefined;
  }

  #ended(errno: number): void {
    this.close();
    this.#onEnd(errno);
  }

  #receive(bytes: number): void {
    for (let at = 0; at < bytes; ) {
      const length = this.#slab.readUInt32LE(at);
      this.#take(this.#slab.subarray(at + 8, at + 8 + length));
      at += 8 + ((length + 7) & ~7);
    }
  }

  #take(packet: Buffer): void {
    const header = parseHeader(packet);
    if (!header) return;
    const body = parseBody(header.opcode, packet);
    this.#count(body?.op ?? "malformed");
    switch (body?.op) {
      case "forget":
        for (const [node, count] of body.nodes) this.#handler.forget(node, count);
        return;
      case "interrupt":
        this.#interrupt(body.unique);
        return;
      case "init":
        this.#initialize(header, body);
        return;
      default:
        this.#handle(header, body);
    }
  }

  #count(op: string): void {
    this.counts.set(op, (this.counts.get(op) ?? 0) + 1);
  }

  #handle(header: Header, body: Body | undefined): void {
    if (header.unique === 0n) return;
    if (!body || body.op === "unsupported") {
      this.#write(header.unique, { errno: body ? Errno.ENOSYS : Errno.EINVAL });
      return;
    }
    if (body.op === "destroy") {
      this.#write(header.unique, { bytes: new Uint8Array() });
      return;
    }
    if (body.op === "read" && this.#isSilent(header.node)) {
      this.#write(header.unique, { errno: Errno.ETIMEDOUT });
      return;
    }
    let answer: Answer | Promise<Answer>;
    try {
      answer = this.#handler.handle({ ...header, body });
    } catch (error) {
      this.#write(header.unique, { errno: this.#errnoOf(error) });
      return;
    }
    if (!(answer instanceof Promise)) {
      this.#write(header.unique, answer);
      return;
    }
    this.#pending.set(header.unique, {
      header,
      sinceMs: performance.now(),
      isInterrupted: false,
    });
    answer.then(
      (late) => this.#answer(header.unique, late),
      (error) => this.#answer(header.unique, { errno: this.#errnoOf(error) }),
    );
  }

  #errnoOf(error: unknown): number {
    const errno = (error as { errno?: unknown }).errno;
    if (typeof errno === "number" && errno > 0) return errno;
    this.#onBug(error);
    return Errno.EIO;
  }

  #answer(unique: bigint, answer: Answer): void {
    if (this.#pending.delete(unique)) this.#write(unique, answer);
  }

  #write(unique: bigint, answer: Answer): void {
    const head = this.#head;
    head.writeBigUInt64LE(unique, 8);
    if ("errno" in answer) {
      head.writeUInt32LE(16, 0);
      head.writeInt32LE(-answer.errno, 4);
      this.#native.write(this.#device, head, 16);
      return;
    }
    const at = answer.at ?? 0;
    const length = answer.length ?? answer.bytes.length - at;
    head.writeUInt32LE(16 + length, 0);
    head.writeInt32LE(0, 4);
    const wrote = this.#native.write(this.#device, head, 16, answer.bytes, at, length);
    // ENOENT: the request is over (its process was killed). Any other refusal is ours, and the process must go on.
    if (wrote < 0 && wrote !== -Errno.ENOENT && this.#receiver) {
      this.#onBug(new Error(`an answer of ${length} bytes was refused: ${wrote}`));
      head.writeUInt32LE(16, 0);
      head.writeInt32LE(-Errno.EIO, 4);
      this.#native.write(this.#device, head, 16);
    }
  }

  #initialize(header: Header, init: Init): void {
    const bytes = Buffer.alloc(64);
    const features = init.features & WANTED;
    bytes.writeUInt32LE(7, 0);
    bytes.writeUInt32LE(Math.min(init.minor, 45), 4);
    bytes.writeUInt32LE(init.maxReadahead, 8);
    bytes.writeUInt32LE(Number(features & 0xffff_ffffn), 12);
    bytes.writeUInt16LE(MAX_BACKGROUND, 16);
    bytes.writeUInt16LE((MAX_BACKGROUND * 3) / 4, 18);
    bytes.writeUInt32LE(MAX_IO, 20);
    bytes.writeUInt32LE(1, 24); // nanoseconds: the granularity of times
    bytes.writeUInt16LE(MAX_IO / 4096, 28);
    bytes.writeUInt32LE(Number(features >> 32n), 32);
    if (features & (1n << BigInt(Feature.requestTimeout))) {
      bytes.writeUInt16LE(KERNEL_TIMEOUT_SECONDS, 40);
    }
    this.#write(header.unique, { bytes });
  }

  /** The kernel says it once for each request, for any signal. Only who was killed may be told EINTR. */
  #interrupt(unique: bigint): void {
    const pending = this.#pending.get(unique);
    if (!pending) return;
    pending.isInterrupted = true;
    this.#letGoIfKilled(pending);
  }

  #letGoIfKilled({ header }: Pending): void {
    if (!isKilled(header.pid)) return;
    this.#answer(header.unique, { errno: Errno.EINTR });
  }

  #isSilent(node: number): boolean {
    return (this.#silent.get(node) ?? 0) > performance.now();
  }

  #sweep(): void {
    const now = performance.now();
    for (const [node, untilMs] of this.#silent) if (untilMs <= now) this.#silent.delete(node);
    for (const pending of [...this.#pending.values()]) {
      if (now - pending.sinceMs > ANSWER_WITHIN_MS) {
        this.#silent.set(pending.header.node, now + SILENT_MS);
        this.#answer(pending.header.unique, { errno: Errno.ETIMEDOUT });
      } else if (pending.isInterrupted) {
        this.#letGoIfKilled(pending);
      }
    }
  }

  // ---- notifications: what the kernel may no longer answer by itself

  /** Its attributes, and its pages too unless told otherwise. */
  invalidateNode(node: number, withPages: boolean): void {
    const message = Buffer.alloc(40);
    putU64(message, 16, node);
    message.writeBigInt64LE(withPages ? 0n : -1n, 24);
    message.writeBigInt64LE(0n, 32);
    this.#notify(Notification.invalidateInode, message);
  }

  /** The name is looked up again when it is used. Whoever stands in that directory, or has it open, goes on. */
  expireName(parent: number, name: string): void {
    this.#notifyName(parent, name, EXPIRE_ONLY);
  }

  /** The kernel gives the file up, unless somebody uses it. */
  forgetName(parent: number, name: string): void {
    this.#notifyName(parent, name, 0);
  }

  #notifyName(parent: number, name: string, flags: number): void {
    const message = Buffer.alloc(33 + name.length);
    putU64(message, 16, parent);
    message.writeUInt32LE(name.length, 24);
    message.writeUInt32LE(flags, 28);
    message.write(name, 32, "latin1");
    this.#notify(Notification.invalidateEntry, message);
  }

  #notify(code: number, message: Buffer): void {
    message.writeUInt32LE(message.length, 0);
    message.writeInt32LE(code, 4);
    if (this.#notifier) this.#native.notify(this.#notifier, message);
  }
}

function putU64(into: Buffer, at: number, value: number): void {
  into.writeUInt32LE(value % 0x1_0000_0000, at);
  into.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

/** SIGKILL is pending for the thread or its process, or there is no such thread any more. */
function isKilled(tid: number): boolean {
  if (tid === 0) return false;
  let status: string;
  try {
    status = readFileSync(`/proc/${tid}/status`, "latin1");
  } catch {
    return true;
  }
  return [...status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)/gm)].some(
    ([, pending]) => ((BigInt(`0x${pending}`) >> (SIGKILL - 1n)) & 1n) === 1n,
  );
}

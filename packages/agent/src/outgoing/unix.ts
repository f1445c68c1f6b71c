/**
 * Connections to the target's unix sockets. The file worker makes them, with the target's ids and below its root, and hands
 * them over by our IPC channel: Node has no other way to take a descriptor.
 */
import { Socket } from "node:net";
import type { StreamHeader } from "@inpod/protocol";
import type { IncomingChannel } from "@inpod/tunnel";
import { within } from "../deadline.ts";
import { errnoName, Failure } from "../failure.ts";
import type { Worker } from "../files/worker.ts";
import type { Splice } from "./tcp.ts";

/** packages/agent/native/enter/files/worker.h and connecting.h have the numbers. */
const CONNECT_UNIX = 72;
const FLAGS = { abstract: 1, dontWait: 2, seqpacket: 4 } as const;
/** The worker waits for 10 s. */
const TIMEOUT_MS = 15_000;
const HANDOVER_MS = 5000;

type UnixHeader = Extract<StreamHeader, { kind: "unix" }>;

/** What of `process` this is about. */
export interface HandleChannel {
  on(event: "message", listener: (message: unknown, handle: unknown) => void): unknown;
  readonly channel?: { unref(): void } | undefined;
}

export class UnixSockets {
  readonly #worker: Worker;
  /** Who waits for the connection that a question's id is about. */
  readonly #waiting = new Map<number, (socket: Socket) => void>();

  constructor(worker: Worker, process: HandleChannel) {
    this.#worker = worker;
    process.on("message", (message, handle) => this.#came(message, handle));
    process.channel?.unref();
  }

  #came(message: unknown, handle: unknown): void {
    if (!(handle instanceof Socket)) return;
    const { id } = (message ?? {}) as { readonly id?: unknown };
    const take = typeof id === "number" ? this.#waiting.get(id) : undefined;
    // Nobody asked for it, or does not any more.
    if (take) take(handle);
    else handle.destroy();
  }

  /** Accepts `channel` when it is connected; resets it with connect(2)'s errno when not. */
  async open(
    channel: IncomingChannel,
    header: UnixHeader,
    { splice, count }: { readonly splice: Splice; readonly count: (socket: Socket) => void },
  ): Promise<void> {
    let isOver = false;
    channel.onReset = () => {
      isOver = true;
    };
    try {
      const { socket, peer } = await this.#connect(header);
      if (isOver) {
        socket.destroy();
        return;
      }
      count(socket);
      channel.accept({ kind: "unix", peer });
      splice(socket, channel);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      channel.reset(error.errno);
    }
  }

  /** @throws Failure */
  async #connect(header: UnixHeader): Promise<{ socket: Socket; peer: string }> {
    let asked = 0;
    let came = (_socket: Socket): void => {};
    const coming = new Promise<Socket>((resolve) => {
      came = resolve;
    });
    const encode = (id: number): Buffer => {
      asked = id;
      this.#waiting.set(id, came);
      return encodeConnect(id, header);
    };
    try {
      const answer = await this.#worker.ask(encode, TIMEOUT_MS);
      const errno = answer.readInt32LE(4);
      if (errno !== 0) throw new Failure(errnoName(errno), "the target's socket");
      // It was sent before the answer, by another socket.
      const socket = await within(coming, HANDOVER_MS, "file worker");
      return { socket, peer: answer.toString("base64", 8) };
    } catch (error) {
      void coming.then((socket) => socket.destroy());
      throw error;
    } finally {
      this.#waiting.delete(asked);
    }
  }
}

/** u32 length of the rest · u32 id · u8 operation · u8 flags · u16 session · u8 flags · u16 length · name */
function encodeConnect(id: number, { name, isAbstract, waits, isSeqpacket }: UnixHeader): Buffer {
  const bytes = Buffer.from(name, "base64");
  const message = Buffer.alloc(15 + bytes.length);
  message.writeUInt32LE(message.length - 4, 0);
  message.writeUInt32LE(id, 4);
  message.writeUInt8(CONNECT_UNIX, 8);
  const type = isSeqpacket ? FLAGS.seqpacket : 0;
  message.writeUInt8((isAbstract ? FLAGS.abstract : 0) | (waits ? 0 : FLAGS.dontWait) | type, 12);
  message.writeUInt16LE(bytes.length, 13);
  bytes.copy(message, 15);
  return message;
}

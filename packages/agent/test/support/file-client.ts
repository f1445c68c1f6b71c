/** The session's end of the file service, as the file server will have it: requests in any number on one stream. */
import { constants } from "node:os";
import {
  encodeFileRequest,
  type FileAnswers,
  type FileEvent,
  type FileOperation,
  type FileRequest,
  type FileRequests,
  MAX_ANSWER,
  MessageCutter,
  parseAnswerHeader,
  parseFileAnswer,
  parseFileEvent,
} from "@inpod/protocol";
import type { OutgoingChannel, Tunnel } from "@inpod/tunnel";

/** EWOULDBLOCK and ENOTSUP are the same numbers as EAGAIN and EOPNOTSUPP. */
const names = new Map(
  Object.entries(constants.errno)
    .filter(([name]) => name !== "EWOULDBLOCK" && name !== "ENOTSUP")
    .map(([name, number]) => [number, name]),
);

interface Waiting {
  readonly op: FileOperation;
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

export class FileClient {
  readonly channel: OutgoingChannel;
  readonly #cutter = new MessageCutter(MAX_ANSWER);
  readonly #waiting = new Map<number, Waiting>();
  readonly events: FileEvent[] = [];
  #onEvent: () => void = () => undefined;
  /** Resolves with the errno by which the stream was reset. */
  readonly over: Promise<string>;
  #nextId = 1;
  requests = 0;
  /** Set to false, and no credit is given. */
  takes = true;
  #untaken = 0;

  constructor(tunnel: Tunnel) {
    this.channel = tunnel.open({ kind: "files" });
    this.channel.onData = (bytes) => {
      for (const message of this.#cutter.push(bytes)) this.#arrived(message);
      if (this.takes) this.channel.consumed(bytes.length);
      else this.#untaken += bytes.length;
    };
    this.over = new Promise((resolve) => {
      this.channel.onReset = (errno) => {
        for (const waiting of this.#waiting.values()) waiting.reject(new Error(errno));
        this.#waiting.clear();
        resolve(errno);
      };
    });
  }

  #arrived(message: Uint8Array): void {
    const { id, errno, body } = parseAnswerHeader(message);
    if (id === 0) {
      const event = parseFileEvent(body);
      if (event) this.events.push(event);
      this.#onEvent();
      return;
    }
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (!waiting) throw new Error(`an answer to ${id}, which nobody asked`);
    if (errno !== 0) waiting.reject(new Error(names.get(errno) ?? String(errno)));
    else waiting.resolve(parseFileAnswer(waiting.op, Uint8Array.from(body)));
  }

  /** Rejects with an Error whose message is the errno's name. */
  ask<Op extends FileOperation>(
    op: Op,
    fields: Omit<FileRequests[Op], "op">,
  ): Promise<FileAnswers[Op]> {
    const id = this.#nextId++;
    this.requests++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { op, resolve: resolve as Waiting["resolve"], reject });
      this.channel.write(encodeFileRequest(id, { op, ...fields } as FileRequest));
    });
  }

  /** What was not taken, and all that comes. */
  take(): void {
    this.takes = true;
    this.channel.consumed(this.#untaken);
    this.#untaken = 0;
  }

  /** The answer to bytes of any kind with that id; its body is not looked at. */
  raw(id: number, bytes: Uint8Array): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { op: "close", resolve, reject });
      this.channel.write(bytes);
    });
  }

  /** Until an event is there that `isIt` knows; also one that came before. */
  async event(isIt: (event: FileEvent) => boolean): Promise<FileEvent> {
    for (;;) {
      const found = this.events.find(isIt);
      if (found) return found;
      await new Promise<void>((resolve) => {
        this.#onEvent = resolve;
      });
    }
  }
}

export const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes && Buffer.from(bytes).toString("latin1");

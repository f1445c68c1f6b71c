/**
 * What `SPDY/3.1+portforward.k8s.io` puts into WebSocket messages for one forwarded port (KEP 4006, API servers from 1.31,
 * as beta from 1.30): a SPDY connection, of which the messages are pieces. The API server takes it out of them, and kubelet
 * and container runtime speak what kubectl has always spoken to them. `v4.channel.k8s.io` reaches the container runtime as
 * WebSocket, whose server there unmasks byte by byte and collects each message in a growing buffer: for bytes that go up it
 * takes more than twice the processor time (5.9 s for a GB, beside 2.5). Pure.
 */
import type { ChannelEvent, PortWire } from "./portforward-channels.ts";
import { dataHeader, openStream, SpdyError, SpdyReader } from "./spdy-frames.ts";
import { type FrameEvent, WebSocketError } from "./websocket-frames.ts";

export const SPDY_SUBPROTOCOL = "SPDY/3.1+portforward.k8s.io";
/** A client's are odd. */
const ERROR_STREAM = 1;
const DATA_STREAM = 3;
/**
 * Bytes of payload: the container runtime makes each frame a buffer of its own. Of 32 KiB those are what Go still has
 * ready by size, as kubectl's are.
 */
const MAX_FRAME = 32 * 1024;
/** Bytes of an error's text that are kept. */
const MAX_ERROR = 8 * 1024;

export class SpdyWire implements PortWire {
  readonly maxFrame = MAX_FRAME;
  readonly opening: Uint8Array;
  readonly #frames = new SpdyReader();
  readonly #ended = new Set<number>();
  #error = new Uint8Array(0);

  constructor(port: number) {
    const headers = { port: String(port), requestID: "0" };
    // The kubelet waits for both before it connects. Of the first one our end is over at once: errors only come.
    this.opening = Buffer.concat([
      openStream(ERROR_STREAM, { ...headers, streamType: "error" }, true),
      dataHeader(ERROR_STREAM, 0, true),
      openStream(DATA_STREAM, { ...headers, streamType: "data" }, false),
    ]);
  }

  before(length: number): Uint8Array {
    return dataHeader(DATA_STREAM, length);
  }

  /** @throws WebSocketError */
  push({ bytes }: FrameEvent & { kind: "data" }): ChannelEvent[] {
    const events: ChannelEvent[] = [];
    try {
      for (const event of this.#frames.push(bytes)) {
        if (event.kind === "ping") events.push(event);
        else if (event.kind === "reset") events.push(this.#failure(`reset (${event.status})`));
        else if (event.stream !== ERROR_STREAM && event.stream !== DATA_STREAM)
          throw new WebSocketError(`stream ${event.stream} was not opened`);
        else if (this.#ended.has(event.stream))
          throw new WebSocketError(`stream ${event.stream} had ended`);
        else if (event.kind === "end") events.push(...this.#end(event.stream));
        else if (event.stream === DATA_STREAM) events.push(event);
        else this.#keep(event.bytes);
      }
    } catch (error) {
      if (error instanceof SpdyError) throw new WebSocketError(error.message);
      throw error;
    }
    return events;
  }

  /** Which of both ends first is the container runtime's affair: that nothing listens is said after the data's end. */
  #end(stream: number): ChannelEvent[] {
    this.#ended.add(stream);
    if (stream === ERROR_STREAM && this.#error.length > 0) return [this.#failure("")];
    return this.#ended.size === 2 ? [{ kind: "end" }] : [];
  }

  #keep(bytes: Uint8Array): void {
    const kept = bytes.subarray(0, MAX_ERROR - this.#error.length);
    this.#error = Buffer.concat([this.#error, kept]);
  }

  #failure(otherwise: string): ChannelEvent {
    const text = new TextDecoder().decode(this.#error).trim();
    return { kind: "error", text: text || otherwise };
  }
}

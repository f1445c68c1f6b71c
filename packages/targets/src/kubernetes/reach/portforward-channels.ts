/**
 * What `v4.channel.k8s.io` puts into WebSocket messages for one forwarded port (kubelet,
 * pkg/kubelet/server/portforward/websocket.go): the first byte of a message is its channel, 0 for
 * data and 1 for an error's text; the first two bytes of each channel repeat the port (u16, little
 * endian). Pure.
 */
import { type FrameEvent, WebSocketError } from "./websocket-frames.ts";

export const CHANNEL_SUBPROTOCOL = "v4.channel.k8s.io";
const DATA_CHANNEL = Uint8Array.of(0);
const ERROR_CHANNEL = 1;
const PORT_BYTES = 2;
/** Bytes of an error's text that are kept. */
const MAX_ERROR = 8 * 1024;
/** Bytes of payload: the container runtime holds a message whole in memory before it passes it on. */
const MAX_FRAME = 128 * 1024;

export type ChannelEvent =
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  /** The pod's end sends no more. */
  | { readonly kind: "end" }
  /** The kubelet's or the container runtime's text; the port is forwarded no longer. */
  | { readonly kind: "error"; readonly text: string }
  /** To be sent as a message of its own. */
  | { readonly kind: "ping"; readonly answer: Uint8Array };

/** How a port's bytes lie in WebSocket messages. */
export interface PortWire {
  /** The first message; may be empty: none. */
  readonly opening: Uint8Array;
  /** Bytes of payload that one message may carry. */
  readonly maxFrame: number;
  /** What stands in a message in front of so many bytes. */
  before(length: number): Uint8Array;
  /** @throws WebSocketError: what came was not to be expected */
  push(event: FrameEvent & { kind: "data" }): ChannelEvent[];
}

export class ChannelWire implements PortWire {
  readonly maxFrame = MAX_FRAME;
  readonly opening = new Uint8Array(0);
  readonly #port: number;
  #channel: number | undefined;
  /** Bytes of the port that have come, by channel. */
  readonly #portRead = [0, 0];
  readonly #portValue = [0, 0];
  #error = new Uint8Array(0);

  constructor(port: number) {
    this.#port = port;
  }

  before(): Uint8Array {
    return DATA_CHANNEL;
  }

  /** @throws WebSocketError on another channel or another port's bytes */
  push(event: FrameEvent & { kind: "data" }): ChannelEvent[] {
    const inside = this.#read(event);
    return inside === undefined ? [] : [inside];
  }

  #read({ bytes, first, last }: FrameEvent & { kind: "data" }): ChannelEvent | undefined {
    let rest = bytes;
    if (first) this.#channel = undefined;
    if (this.#channel === undefined) {
      const [channel] = rest;
      if (channel === undefined) return undefined;
      if (channel > ERROR_CHANNEL) throw new WebSocketError(`channel ${channel} was not asked for`);
      this.#channel = channel;
      rest = rest.subarray(1);
    }
    rest = this.#skipPort(this.#channel, rest);
    if (this.#channel !== ERROR_CHANNEL)
      return rest.length === 0 ? undefined : { kind: "data", bytes: rest };
    if (rest.length > 0) {
      const kept = rest.subarray(0, MAX_ERROR - this.#error.length);
      const joined = new Uint8Array(this.#error.length + kept.length);
      joined.set(this.#error);
      joined.set(kept, this.#error.length);
      this.#error = joined;
    }
    // An error is one message; the one that has only the port comes on every connection.
    return last && this.#error.length > 0
      ? { kind: "error", text: new TextDecoder().decode(this.#error).trim() }
      : undefined;
  }

  #skipPort(channel: number, bytes: Uint8Array): Uint8Array {
    let at = 0;
    let read = this.#portRead[channel] ?? 0;
    while (read < PORT_BYTES && at < bytes.length) {
      const value = (this.#portValue[channel] ?? 0) | ((bytes[at++] ?? 0) << (8 * read++));
      this.#portValue[channel] = value;
      if (read === PORT_BYTES && value !== this.#port)
        throw new WebSocketError(`port ${value} was forwarded, asked was ${this.#port}`);
    }
    this.#portRead[channel] = read;
    return bytes.subarray(at);
  }
}

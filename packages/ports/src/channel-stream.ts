/** A channel as a stream of Node, for what of Node works on streams. */
import { Duplex } from "node:stream";
import type { Channel } from "@inpod/session";

/** Of net.Socket it has what node:http asks a connection for. */
export class ChannelStream extends Duplex {
  readonly #channel: Channel;
  #idle: NodeJS.Timeout | undefined;
  /** Received, and not taken by the reader: its credit is given back when it is. */
  #unread = 0;
  #onDrain: (() => void) | undefined;

  constructor(channel: Channel) {
    // As http.Agent's own connections: one that its server has ended is not for the next request.
    super({ allowHalfOpen: false });
    this.#channel = channel;
    channel.onData = (bytes) => {
      this.#idle?.refresh();
      // A view: the tunnel has given the bytes away.
      const isTaken = this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      if (isTaken) channel.consumed(bytes.length);
      else this.#unread += bytes.length;
    };
    channel.onEnd = () => this.push(null);
    channel.onReset = (errno, detail) => {
      const error: NodeJS.ErrnoException = new Error(detail || errno);
      error.code = errno;
      this.destroy(error);
    };
    channel.onDrain = () => {
      const go = this.#onDrain;
      this.#onDrain = undefined;
      go?.();
    };
  }

  /** Emits "timeout" when nothing went either way for so long; 0: never. */
  setTimeout(ms: number): this {
    clearTimeout(this.#idle);
    this.#idle = ms > 0 ? setTimeout(() => this.emit("timeout"), ms).unref() : undefined;
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  override _read(): void {
    const bytes = this.#unread;
    this.#unread = 0;
    if (bytes > 0) this.#channel.consumed(bytes);
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#idle?.refresh();
    // Owned by the tunnel from here on, and what is written may be a part of somebody's buffer.
    if (this.#channel.write(Buffer.from(chunk))) done();
    else this.#onDrain = done;
  }

  override _final(done: () => void): void {
    this.#channel.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#idle);
    if (!this.readableEnded || !this.writableFinished) this.#channel.reset("ECONNRESET");
    done(error);
  }
}

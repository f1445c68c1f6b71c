/** All TCP connections of the mirrored ports, as their packets show them. Pure: whoever calls has the clock. */
import type { Endpoint } from "@inpod/protocol";
import { isClientHello } from "./client-hello.ts";
import { ACK, endsOf, FIN, type Packet, RST, SYN } from "./packet.ts";
import { Reassembly } from "./reassembly.ts";

/** Where the copy of one connection goes. After end() or reset() nothing follows. */
export interface Sink {
  data(bytes: Buffer): void;
  end(): void;
  reset(errno: string): void;
}

/** Why a connection has no copy, or none any more. */
export type MissedStream = "tls" | "began-before" | "hole" | "limit";

export interface StreamEnds {
  readonly client: Endpoint;
  readonly local: Endpoint;
}

export interface StreamHandlers {
  /** The first byte of a connection came. Undefined: nobody wants it. */
  open(client: Endpoint, local: Endpoint): Sink | undefined;
  missed(port: number, what: MissedStream, ends: StreamEnds): void;
  /** A connection was ended by its client, and no byte had come. */
  untouched?(port: number): void;
}

export interface StreamLimits {
  readonly streams: number;
  /** Bytes that wait behind a hole: of one connection, and of all. */
  readonly pendingBytes: number;
  readonly allPendingBytes: number;
  /** A hole that no retransmission has filled by then stays one. */
  readonly holeMs: number;
  /**
   * Packets were lost, nobody knows of which connections, and so long nothing has come of one that was open then: its
   * end may have been among them.
   */
  readonly silentMs: number;
  /** How long an ended connection is known: what its client repeats is no news. */
  readonly closedMs: number;
}

export const STREAM_LIMITS: StreamLimits = {
  streams: 4096,
  pendingBytes: 2 * 1024 * 1024,
  allPendingBytes: 16 * 1024 * 1024,
  // Linux repeats after 200 ms at least, then twice that, and so on: four losses of the same segment in a row.
  holeMs: 3000,
  silentMs: 60_000,
  closedMs: 30_000,
};

/** Connections from before that were told of. */
const MAX_STRANGERS = 4096;

interface Stream {
  readonly key: string;
  readonly port: number;
  readonly initial: number;
  readonly reassembly: Reassembly;
  /** `new`: no byte yet. `ignored`: it goes on without a copy. `closed`: by its client. */
  state: "new" | "open" | "ignored" | "closed";
  /** Bytes that may be the beginning of TLS. */
  head: Buffer;
  sink: Sink | undefined;
  seenMs: number;
  holeSinceMs: number | undefined;
  /** Packets were lost then, and what has come since does not show whether of this one. */
  lostAtMs: number | undefined;
}

export class Streams {
  readonly #handlers: StreamHandlers;
  readonly #limits: StreamLimits;
  readonly #streams = new Map<string, Stream>();
  readonly #strangers = new Set<string>();
  #pendingBytes = 0;

  constructor(handlers: StreamHandlers, limits = STREAM_LIMITS) {
    this.#handlers = handlers;
    this.#limits = limits;
  }

  get count(): number {
    return this.#streams.size;
  }

  /** Bytes that wait behind holes. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  packet(packet: Packet, nowMs: number): void {
    const known = this.#streams.get(packet.key);
    if (packet.flags & SYN) {
      // With ACK it is an answer to the target.
      if ((packet.flags & (ACK | RST)) === 0) this.#begin(packet, known, nowMs);
      return;
    }
    if (!known) this.#stranger(packet);
    else if (known.state !== "closed") this.#continue(known, packet, nowMs);
  }

  /** A segment of this connection came in fragments, and cannot be read: what is missing never comes. */
  fragment(key: string): void {
    const stream = this.#streams.get(key);
    if (stream?.state === "new" || stream?.state === "open") this.#lose(stream, "hole");
  }

  /** Ends what waits for too long; to be called every now and then. */
  sweep(nowMs: number): void {
    for (const stream of this.#streams.values()) {
      const { holeSinceMs = nowMs, seenMs, state } = stream;
      const { lostAtMs = nowMs } = stream;
      const isSilent = nowMs - lostAtMs >= this.#limits.silentMs;
      if (nowMs - holeSinceMs >= this.#limits.holeMs || isSilent) this.#lose(stream, "hole");
      if (state === "closed" && nowMs - seenMs >= this.#limits.closedMs) this.#forget(stream);
    }
  }

  /** Packets found no room: of any connection. */
  packetsLost(nowMs: number): void {
    for (const stream of this.#streams.values())
      if (stream.state === "new" || stream.state === "open") stream.lostAtMs = nowMs;
  }

  /** Of a port, or of all: copies are reset, and nothing of it is known any more. */
  forget(port?: number): void {
    for (const stream of this.#streams.values()) {
      if (port !== undefined && stream.port !== port) continue;
      this.#reset(stream, "ECONNABORTED");
      this.#forget(stream);
    }
    this.#strangers.clear();
  }

  #begin(packet: Packet, known: Stream | undefined, nowMs: number): void {
    // The same SYN again.
    if (known?.initial === packet.sequence && known.state !== "closed") return;
    if (known) {
      // Its client has begun anew: the target has ended the one before in a way that no packet to it shows.
      this.#reset(known, "ECONNRESET");
      this.#forget(known);
    }
    this.#strangers.delete(packet.key);
    if (this.#streams.size >= this.#limits.streams) this.#makeRoom();
    const stream: Stream = {
      key: packet.key,
      port: packet.port,
      initial: packet.sequence,
      reassembly: new Reassembly(packet.sequence, this.#limits),
      state: "new",
      head: Buffer.alloc(0),
      sink: undefined,
      seenMs: nowMs,
      holeSinceMs: undefined,
      lostAtMs: undefined,
    };
    this.#streams.set(packet.key, stream);
    // TCP Fast Open (RFC 7413): what came with SYN stands right behind it.
    if (packet.payload.length > 0) {
      const sequence = (packet.sequence + 1) >>> 0;
      this.#continue(stream, { ...packet, sequence, flags: packet.flags & ~SYN }, nowMs);
    }
  }

  #stranger({ key, port, payload }: Packet): void {
    if (payload.length === 0 || this.#strangers.has(key)) return;
    if (this.#strangers.size >= MAX_STRANGERS) this.#strangers.clear();
    this.#strangers.add(key);
    this.#handlers.missed(port, "began-before", endsOf(key));
  }

  #continue(stream: Stream, packet: Packet, nowMs: number): void {
    stream.seenMs = nowMs;
    const { reassembly } = stream;
    if (packet.flags & RST) {
      this.#reset(stream, "ECONNRESET");
      this.#close(stream);
      return;
    }
    const isFin = (packet.flags & FIN) !== 0;
    if (stream.state === "ignored") {
      if (isFin) this.#close(stream);
      return;
    }
    const before = reassembly.pendingBytes;
    const progress = reassembly.segment(packet.sequence, packet.payload, isFin);
    this.#pendingBytes += reassembly.pendingBytes - before;
    if (progress.kind === "full" || this.#pendingBytes > this.#limits.allPendingBytes) {
      this.#lose(stream, "hole");
      return;
    }
    // Nothing is missing between this and the one before.
    if (progress.pieces.length > 0) stream.lostAtMs = undefined;
    for (const piece of progress.pieces) this.#deliver(stream, piece);
    if (progress.isEnd) {
      if (stream.state === "new" && stream.head.length === 0)
        this.#handlers.untouched?.(stream.port);
      this.#decide(stream, false);
      stream.sink?.end();
      stream.sink = undefined;
      this.#close(stream);
    } else if (!reassembly.hasHole) stream.holeSinceMs = undefined;
    // Some of it may have been filled: what is missing now is another hole.
    else if (progress.pieces.length > 0) stream.holeSinceMs = nowMs;
    else stream.holeSinceMs ??= nowMs;
  }

  #deliver(stream: Stream, piece: Buffer): void {
    if (stream.state === "open") {
      stream.sink?.data(piece);
      return;
    }
    if (stream.state !== "new") return;
    stream.head = stream.head.length === 0 ? piece : Buffer.concat([stream.head, piece]);
    this.#decide(stream, isClientHello(stream.head));
    // It has to wait, and is a piece of a chunk that others are in, too.
    if (stream.state === "new") stream.head = Buffer.from(stream.head);
  }

  /** @param isTls undefined: not yet known */
  #decide(stream: Stream, isTls: boolean | undefined): void {
    if (stream.state !== "new" || stream.head.length === 0 || isTls === undefined) return;
    if (isTls) {
      this.#ignore(stream);
      this.#handlers.missed(stream.port, "tls", endsOf(stream.key));
      return;
    }
    const { client, local } = endsOf(stream.key);
    stream.sink = this.#handlers.open(client, local);
    stream.state = stream.sink ? "open" : "ignored";
    stream.sink?.data(stream.head);
    stream.head = Buffer.alloc(0);
  }

  #lose(stream: Stream, what: "hole" | "limit"): void {
    // Without a byte yet nobody has seen anything of it; it is missed all the same.
    this.#reset(stream, "ECONNABORTED");
    this.#ignore(stream);
    this.#handlers.missed(stream.port, what, endsOf(stream.key));
  }

  #reset(stream: Stream, errno: string): void {
    stream.sink?.reset(errno);
    stream.sink = undefined;
  }

  #ignore(stream: Stream): void {
    stream.state = "ignored";
    this.#drop(stream);
  }

  #close(stream: Stream): void {
    stream.state = "closed";
    this.#drop(stream);
  }

  #drop(stream: Stream): void {
    this.#pendingBytes -= stream.reassembly.pendingBytes;
    stream.reassembly.clear();
    stream.head = Buffer.alloc(0);
    stream.holeSinceMs = undefined;
    stream.lostAtMs = undefined;
  }

  #forget(stream: Stream): void {
    this.#drop(stream);
    this.#streams.delete(stream.key);
  }

  /** A quarter at once, so that a flood of SYNs does not sort them all for each: first what nobody would miss. */
  #makeRoom(): void {
    const worth = { closed: 0, new: 1, ignored: 2, open: 3 } as const;
    const all = [...this.#streams.values()].sort(
      (a, b) => worth[a.state] - worth[b.state] || a.seenMs - b.seenMs,
    );
    for (const stream of all.slice(0, Math.ceil(all.length / 4))) {
      if (stream.state === "open") this.#lose(stream, "limit");
      this.#forget(stream);
    }
  }
}

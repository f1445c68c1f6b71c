/**
 * A port of the target whose copies are looked at, not served: what comes is told as requests, or bytes. TCP is read as it
 * comes and paid back when whoever is told has taken it, so that a slow one slows the copies, not this process; what the
 * agent then drops, it counts.
 */
import {
  ConnectionReader,
  compileFilter,
  type FilterSpec,
  type Header,
  type ReadEvent,
  type RequestEnd,
  type SeenRequest,
  Subject,
  Unread,
} from "@inpod/http";
import type { Endpoint, PortProtocol } from "@inpod/protocol";
import type { Channel, OnConnection } from "@inpod/session";
import { Kept } from "./watched-kept.ts";

/** Connections and flows at once. */
const MAX_CONNECTIONS = 1024;
/** A client that stops inside what may become a request line is taken at its word. */
const DECIDE_MS = 2000;

/** A request that goes on without a byte for so long is told as far as it has come: some never end, or not to be seen. */
const QUIET_MS = 2000;

/** Whose bytes they are. */
export interface SeenConnection {
  /** Counted over all ports of a session. */
  readonly number: number;
  readonly protocol: PortProtocol;
  readonly client: Endpoint;
  /** Where they were sent to. */
  readonly local: Endpoint;
}

export interface SeenBody {
  /** The first bytes of it. */
  readonly bytes: Uint8Array;
  /** All that has come so far. */
  readonly length: number;
}

interface Told {
  readonly connection: SeenConnection;
  /** When the first of it came. */
  readonly time: Date;
}

export type SeenEnd = RequestEnd | "cut" | "open";

export type Seen =
  | (Told & {
      readonly kind: "request";
      readonly stream: number | undefined;
      readonly request: SeenRequest;
      readonly body: SeenBody;
      readonly trailers: readonly Header[];
      /** Told before its end, `cut`: since as much of it is kept as may be; `open`: since nothing came for a while. */
      readonly end: SeenEnd;
    })
  /** Of no request. `offset`: in what this connection has sent of these. `ofHead`: there can be a head in them. */
  | (Told & {
      readonly kind: "bytes";
      readonly offset: number;
      readonly bytes: Uint8Array;
      readonly length: number;
      readonly ofHead: boolean;
    })
  | (Told & { readonly kind: "note"; readonly why: string });

export interface WatchOptions {
  /** Of each body, and of bytes that come at once. */
  readonly maxBodyBytes: number;
  /** Undefined: all, and bytes that are of no request. One that asks for bodies finds none. */
  readonly filter: FilterSpec | undefined;
  show(seen: Seen): void;
  /** `done` is called when what was shown has been taken, perhaps at once. */
  whenTaken(done: () => void): void;
  /** Nothing more should be shown now. */
  isFull(): boolean;
  /** Datagrams were left out because of that, or connections because there are too many. */
  onLost(what: "datagrams" | "connections"): void;
}

type Wants = (request: SeenRequest) => boolean;

export class Watcher {
  readonly #options: WatchOptions;
  readonly #kept = new Kept();
  /** Undefined as the filter. */
  readonly #wants: Wants | undefined;
  readonly #ends = new Set<() => void>();
  #lastNumber = 0;

  constructor(options: WatchOptions) {
    this.#options = options;
    const filter = options.filter && compileFilter(options.filter);
    this.#wants = filter && ((request) => filter.matches(new Subject(request)) === true);
  }

  /** For Session.mirror(), of any number of ports. */
  readonly onConnection: OnConnection = (channel, { protocol = "tcp", client, local }) => {
    if (this.#ends.size >= MAX_CONNECTIONS) {
      this.#options.onLost("connections");
      channel.reset("EMFILE");
      return;
    }
    const number = ++this.#lastNumber;
    const connection: SeenConnection = { number, protocol, client, local };
    if (protocol === "udp") this.#flow(channel, connection);
    else this.#read(channel, connection);
  };

  /** Ends what is open; requests that have begun are shown as far as they have come. */
  close(): void {
    for (const end of [...this.#ends]) end();
  }

  #flow(channel: Channel, connection: SeenConnection): void {
    let offset = 0;
    const over = (): void => void this.#ends.delete(end);
    const end = (): void => {
      over();
      channel.reset("ECONNRESET");
    };
    this.#ends.add(end);
    channel.onReset = over;
    channel.onEnd = end;
    channel.onDatagram = (bytes) => {
      if (this.#wants !== undefined) return;
      if (this.#options.isFull()) this.#options.onLost("datagrams");
      else this.#bytes(connection, offset, bytes, false);
      offset += bytes.length;
    };
  }

  #read(channel: Channel, connection: SeenConnection): void {
    const reader = new ConnectionReader();
    const requests = new Requests(connection, this.#options, this.#wants, this.#kept);
    let offset = 0;
    let timer: NodeJS.Timeout | undefined;
    const take = (events: readonly ReadEvent[]): void => {
      for (const event of events) {
        if (event.kind !== "bytes") requests.take(event);
        else if (this.#wants === undefined) {
          this.#bytes(connection, offset, event.bytes, event.ofHead);
          offset += event.bytes.length;
        }
      }
      requests.settle();
    };
    const over = (): void => {
      clearTimeout(timer);
      this.#ends.delete(end);
      take(reader.end());
      requests.close();
    };
    const end = (): void => {
      over();
      channel.reset("ECONNRESET");
    };
    this.#ends.add(end);
    channel.onData = (bytes) => {
      take(reader.push(bytes));
      clearTimeout(timer);
      if (reader.isUndecided) timer = setTimeout(() => take(reader.decide()), DECIDE_MS).unref();
      this.#options.whenTaken(() => channel.consumed(bytes.length));
    };
    channel.onEnd = over;
    channel.onReset = over;
    // Our direction is over before it begins.
    channel.end();
  }

  #bytes(connection: SeenConnection, offset: number, all: Uint8Array, ofHead: boolean): void {
    const { length } = all;
    const bytes = all.slice(0, this.#options.maxBodyBytes);
    const told = { kind: "bytes", connection, time: new Date() } as const;
    this.#options.show({ ...told, offset, bytes, length, ofHead });
  }
}

interface Begun {
  readonly time: Date;
  /** Of the clock that only goes on: when the latest of it came. */
  latestMs: number;
  readonly stream: number | undefined;
  readonly request: SeenRequest;
  readonly body: Unread;
  keptBytes: number;
  length: number;
}

/** The requests of a connection that are not shown yet. */
class Requests {
  readonly #connection: SeenConnection;
  readonly #options: WatchOptions;
  readonly #wants: Wants | undefined;
  readonly #kept: Kept;
  readonly #begun = new Map<number, Begun>();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    connection: SeenConnection,
    options: WatchOptions,
    wants: Wants | undefined,
    kept: Kept,
  ) {
    this.#connection = connection;
    this.#options = options;
    this.#wants = wants;
    this.#kept = kept;
  }

  /** After what came at once was taken. */
  settle(): void {
    if (this.#begun.size > 0) this.#timer ??= setTimeout(() => this.#quiet(), QUIET_MS).unref();
  }

  /** When all were ended. */
  close(): void {
    clearTimeout(this.#timer);
  }

  #quiet(): void {
    this.#timer = undefined;
    const before = performance.now() - QUIET_MS;
    for (const [id, { latestMs }] of this.#begun)
      if (latestMs <= before) this.#show(id, "open", []);
    this.settle();
  }

  take(event: Exclude<ReadEvent, { kind: "bytes" }>): void {
    switch (event.kind) {
      case "request": {
        const { id, request, stream } = event;
        if (this.#wants?.(request) === false) return;
        const keptBytes = headBytes(request);
        this.#kept.add(keptBytes);
        this.#begun.set(id, {
          ...{ time: new Date(), latestMs: performance.now(), stream, request },
          ...{ body: new Unread(), keptBytes, length: 0 },
        });
        if (this.#kept.isFull) this.#show(id, "cut", []);
        return;
      }
      case "body": {
        const begun = this.#begun.get(event.id);
        if (begun !== undefined) this.#body(event.id, begun, event.bytes);
        return;
      }
      case "end":
        this.#show(event.id, event.how, event.trailers);
        return;
      default: {
        const { why } = event;
        if (this.#wants !== undefined) return;
        this.#options.show({
          ...{ kind: "note", connection: this.#connection, time: new Date(), why },
        });
      }
    }
  }

  #body(id: number, begun: Begun, bytes: Uint8Array): void {
    const before = begun.length;
    begun.latestMs = performance.now();
    begun.length += bytes.length;
    const room = this.#options.maxBodyBytes - before;
    const part = bytes.slice(0, Math.max(0, room));
    if (part.length > 0) begun.body.append(part);
    begun.keptBytes += part.length;
    this.#kept.add(part.length);
    if (bytes.length > room || this.#kept.isFull) this.#show(id, "cut", []);
  }

  #show(id: number, end: SeenEnd, trailers: readonly Header[]): void {
    const begun = this.#begun.get(id);
    if (begun === undefined) return;
    this.#begun.delete(id);
    const { time, stream, request, body, keptBytes, length } = begun;
    this.#kept.remove(keptBytes);
    this.#options.show({
      ...{ kind: "request", connection: this.#connection, time, stream, request },
      ...{ body: { bytes: body.consume(), length }, trailers, end },
    });
  }
}

const headBytes = ({ target, headers }: SeenRequest): number =>
  headers.reduce(
    (sum, { name, value }) => sum + name.length + value.length + 32,
    target.length + 256,
  );

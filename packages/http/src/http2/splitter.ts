/**
 * One client's HTTP/2 connection, split: each stream goes to the destination that `route` names when it is opened,
 * over one upstream connection for each destination. Events in, commands out; the edge has the sockets and the
 * clock. What a stream carries is passed on as it came: header fields in their order, secret ones as secret, DATA,
 * trailers, where they end, and the code of a reset; the client is paid back what the destination has taken.
 *
 * - Connections have ends of their own: SETTINGS, PING, windows and HPACK's tables are not passed on. The client is
 *   told what the *rest* allows, who gets what no filter takes: its connection is opened with the client's.
 * - If the rest says that it goes away, so is the client told, and its streams go on. Of another destination,
 *   streams that it has not served are refused (a client may send them again), and the next one finds a new
 *   connection.
 */
import { fromLatin1, Unread } from "../bytes.ts";
import type { RequestFacts } from "../filter/subject.ts";
import type { Header } from "../http1/head.ts";
import type { Command } from "../http1/split-contract.ts";
import { Http2Connection } from "./connection.ts";
import { CODE, ConnectionError, SETTING } from "./frames.ts";
import type { Field } from "./hpack.ts";
import { readRequest, wrongTrailers } from "./request.ts";
import { ResetBudget } from "./reset-budget.ts";
import { CONTINUE, failedGrpc, isGrpc, isInformational, statusOf, TOO_LARGE } from "./responses.ts";
import { MAX_WINDOW } from "./settings.ts";
import type { Stream } from "./stream.ts";

/** As for HTTP/1: mirrord's agent.max_body_buffer_size. */
const BODY_LIMIT = 65_535;
/** After that a body matches nothing. */
const BODY_MS = 1000;
/** Bytes of header fields: what the largest servers take by default is more, what most take is less. */
const MAX_HEADER_LIST = 256 * 1024;
/** Streams of one client at a time. */
const MAX_STREAMS = 1000;
/** Bytes of header fields on their way to one destination that does not take them. */
const MAX_WAITING_FIELDS = 1024 * 1024;
/** Answers and window updates that an end does not take. */
const MAX_WAITING_ANSWERS = 1024 * 1024;
/** What our PING says by which we know that the client has read our GOAWAY. */
const DRAIN_PING = fromLatin1("inpod-go");

export interface Http2SplitterOptions<D> {
  /** Who gets what no filter takes. */
  rest(): D;
  /** `needs-body`: only routeWithBody can tell. */
  route(request: RequestFacts): D | "needs-body";
  /** @param body undefined: it is too long, or did not come in time */
  routeWithBody(request: RequestFacts, body: Uint8Array | undefined): D;
  /** Milliseconds, of any clock that does not go back. */
  now(): number;
  /** A header that each response of `to` gets. */
  fieldOf?(to: D): Header | undefined;
  /** To whom upstream 1 is open already; nothing was said there yet. */
  readonly opened?: D;
}

interface Upstream<D> {
  readonly id: number;
  readonly to: D;
  readonly connection: Http2Connection<Exchange<D>>;
  /** Has had a stream. */
  hasCarried: boolean;
  /** No new streams. */
  isLeaving: boolean;
}

/** A stream of the client's, and whose it became. */
interface Exchange<D> {
  readonly down: Stream<Exchange<D>>;
  readonly facts: RequestFacts;
  up: { readonly upstream: Upstream<D>; readonly stream: Stream<Exchange<D>> } | undefined;
  /** Until its body has come. */
  held: Held | undefined;
  /** The response's header fields have come, other than informational ones. */
  hasResponse: boolean;
  /** We have said it already. */
  dropsContinue: boolean;
}

interface Held {
  readonly fields: readonly Field[];
  readonly body: Unread;
  readonly since: number;
  readonly isExtendedConnect: boolean;
}

export class Http2Splitter<D> {
  readonly #options: Http2SplitterOptions<D>;
  readonly #client: Http2Connection<Exchange<D>>;
  readonly #upstreams = new Map<number, Upstream<D>>();
  /** Whose next stream goes where. */
  readonly #current = new Map<D, Upstream<D>>();
  readonly #held = new Set<Exchange<D>>();
  readonly #resets: ResetBudget;
  #nextId = 1;
  #announced: { maxConcurrentStreams: number; enableConnectProtocol: boolean } | undefined;
  /** GOAWAY was said: "soon", that no stream is refused yet; "now", the last one is known. */
  #leaving: "no" | "soon" | "now" = "no";
  #isOver = false;
  #commands: Command<D>[] = [];

  /** The edge reads no more while the client does not take what is for it: it may be answers to what it sends. */
  readonly isAnswering = true;

  constructor(options: Http2SplitterOptions<D>) {
    this.#options = options;
    this.#resets = new ResetBudget(options.now());
    this.#client = new Http2Connection<Exchange<D>>({
      role: "acceptor",
      maxHeaderListBytes: MAX_HEADER_LIST,
      maxConcurrentStreams: () => MAX_STREAMS,
      handlers: {
        onHeaders: (stream, fields, isEnd, isTooLarge) => {
          if (stream.owner === undefined) this.#onRequest(stream, fields, isEnd, isTooLarge);
          else this.#onTrailers(stream.owner, fields, isEnd, isTooLarge);
        },
        onData: (stream, bytes, isEnd) => this.#onBody(stream, bytes, isEnd),
        onReset: (stream, code) => this.#onClientReset(stream.owner, code),
        onSent: ({ owner }, bytes) =>
          owner?.up?.upstream.connection.consume(owner.up.stream, bytes),
        onSettings: () => undefined,
        onGoaway: () => undefined,
        onPong: () => this.#onPong(),
      },
    });
    if (options.opened !== undefined) this.#add(options.opened);
  }

  readonly wantsClientBytes = true;

  /** The edge has a deadline for how long this may last; then it calls bodyDeadline(). */
  get isWaitingForBody(): boolean {
    return !this.#isOver && (this.#announced === undefined || this.#held.size > 0);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** @param bytes the splitter's from now on: not to be written to again */
  clientBytes(bytes: Uint8Array): Command<D>[] {
    if (this.#isOver) return [];
    this.#client.push(bytes);
    if (this.#announced === undefined) this.#upstreamFor(this.#options.rest());
    return this.#settle();
  }

  /** Its FIN. Nothing can be sent to the end on a connection without its window updates. */
  clientEnd(): Command<D>[] {
    if (!this.#isOver) this.#finish("end");
    return this.#settle();
  }

  clientReset(): Command<D>[] {
    if (!this.#isOver) this.#finish("reset");
    return this.#settle();
  }

  /** The body of a request, or the rest's SETTINGS, have not come in time. */
  bodyDeadline(): Command<D>[] {
    if (this.#isOver) return [];
    this.#announce();
    const due = this.#options.now() - BODY_MS;
    for (const exchange of [...this.#held]) {
      if ((exchange.held as Held).since <= due) this.#decide(exchange, undefined, false);
    }
    return this.#settle();
  }

  upstreamBytes(id: number, bytes: Uint8Array): Command<D>[] {
    this.#upstreams.get(id)?.connection.push(bytes);
    return this.#settle();
  }

  /** Its FIN. */
  upstreamEnd(id: number): Command<D>[] {
    const upstream = this.#upstreams.get(id);
    if (upstream !== undefined) this.#lose(upstream, "end");
    return this.#settle();
  }

  /** It was reset, or could not be opened. */
  upstreamReset(id: number): Command<D>[] {
    const upstream = this.#upstreams.get(id);
    if (upstream !== undefined) this.#lose(upstream, undefined);
    return this.#settle();
  }

  /** It takes nothing more: the others go on. */
  upstreamFull(id: number): void {
    const upstream = this.#upstreams.get(id);
    if (upstream !== undefined) upstream.connection.isBlocked = true;
  }

  upstreamDrained(id: number): Command<D>[] {
    const upstream = this.#upstreams.get(id);
    if (upstream !== undefined) upstream.connection.isBlocked = false;
    return this.#settle();
  }

  /** Something that went to `to` has not had all of its answer. */
  isAsking(to: D): boolean {
    const all = this.#isOver ? [] : [...this.#upstreams.values()];
    return all.some((each) => each.to === to && !each.connection.isIdle);
  }

  /** The client should make a new connection. What it opens on this one meanwhile is served all the same. */
  drain(): Command<D>[] {
    if (!this.#isOver) this.#leave();
    return this.#settle();
  }

  #onRequest(
    down: Stream<Exchange<D>>,
    fields: readonly Field[],
    isEnd: boolean,
    isTooLarge: boolean,
  ): void {
    const request = readRequest(fields);
    if (isTooLarge) {
      this.#client.headers(down, TOO_LARGE, true);
      if (!isEnd) this.#client.resetAfter(down, CODE.none);
      return;
    }
    if (request.kind === "malformed") {
      this.#client.reset(down, CODE.protocol);
      return;
    }
    const { facts, isExtendedConnect } = request;
    const exchange: Exchange<D> = {
      down,
      facts,
      up: undefined,
      held: undefined,
      hasResponse: false,
      dropsContinue: false,
    };
    down.owner = exchange;
    let to = this.#options.route(facts);
    if (to === "needs-body") {
      if (!isEnd) {
        const body = new Unread();
        exchange.held = { fields, body, since: this.#options.now(), isExtendedConnect };
        this.#held.add(exchange);
        // Who expects it sends no body before.
        const expects = facts.headers.find(({ name }) => name === "expect")?.value;
        if (expects?.toLowerCase() === "100-continue") {
          exchange.dropsContinue = true;
          this.#client.headers(down, CONTINUE, false);
        }
        return;
      }
      to = this.#options.routeWithBody(facts, new Uint8Array(0));
    }
    this.#send(exchange, to as D, fields, isEnd, isExtendedConnect);
  }

  #onBody(down: Stream<Exchange<D>>, bytes: Uint8Array, isEnd: boolean): void {
    const exchange = down.owner;
    if (exchange?.held !== undefined) {
      const { body } = exchange.held;
      body.append(bytes);
      if (body.length > BODY_LIMIT) this.#decide(exchange, undefined, isEnd);
      else if (isEnd) this.#decide(exchange, body.view(), true);
    } else if (exchange?.up === undefined) this.#client.consume(down, bytes.length);
    else exchange.up.upstream.connection.data(exchange.up.stream, bytes, isEnd);
  }

  #onTrailers(
    exchange: Exchange<D>,
    fields: readonly Field[],
    isEnd: boolean,
    isTooLarge: boolean,
  ): void {
    if (!isEnd || isTooLarge || wrongTrailers(fields) !== undefined) {
      this.#client.reset(exchange.down, CODE.protocol);
      this.#abandon(exchange, CODE.cancel);
      return;
    }
    if (exchange.held !== undefined) this.#decide(exchange, exchange.held.body.view(), false);
    exchange.up?.upstream.connection.headers(exchange.up.stream, fields, true);
  }

  /** @param isEnd of the stream: what was held is all */
  #decide(exchange: Exchange<D>, body: Uint8Array | undefined, isEnd: boolean): void {
    const held = exchange.held as Held;
    exchange.held = undefined;
    this.#held.delete(exchange);
    const to = this.#options.routeWithBody(exchange.facts, body);
    const bytes = held.body.view();
    const isWhole = isEnd && bytes.length === 0;
    this.#send(exchange, to, held.fields, isWhole, held.isExtendedConnect);
    if (exchange.up !== undefined && (bytes.length > 0 || isEnd) && !isWhole) {
      exchange.up.upstream.connection.data(exchange.up.stream, bytes, isEnd);
    }
  }

  #send(
    exchange: Exchange<D>,
    to: D,
    fields: readonly Field[],
    isEnd: boolean,
    isExtendedConnect: boolean,
  ): void {
    const upstream = this.#upstreamFor(to);
    const { connection } = upstream;
    if (connection.waitingHeaderBytes > MAX_WAITING_FIELDS) {
      this.#client.reset(exchange.down, CODE.refused);
      return;
    }
    upstream.hasCarried = true;
    if (isExtendedConnect) connection.opensAfterSettings = true;
    const stream = connection.open();
    stream.owner = exchange;
    exchange.up = { upstream, stream };
    connection.headers(stream, fields, isEnd);
  }

  #onClientReset(exchange: Exchange<D> | undefined, code: number): void {
    if (exchange === undefined) return;
    this.#abandon(exchange, code);
    if (exchange.hasResponse || this.#resets.take(this.#options.now())) return;
    this.#client.fail(new ConnectionError(CODE.calm, "too many streams are reset"));
  }

  /** The client will hear nothing of it. */
  #abandon(exchange: Exchange<D>, code: number): void {
    this.#held.delete(exchange);
    exchange.held = undefined;
    exchange.up?.upstream.connection.reset(exchange.up.stream, code);
  }

  #onResponse(
    { connection, to }: Upstream<D>,
    stream: Stream<Exchange<D>>,
    fields: readonly Field[],
    isEnd: boolean,
    isTooLarge: boolean,
  ): void {
    const exchange = stream.owner;
    if (exchange === undefined) return;
    const status = exchange.hasResponse ? undefined : statusOf(fields);
    const isWrong = exchange.hasResponse ? !isEnd : status === undefined;
    if (isWrong || isTooLarge) {
      connection.reset(stream, CODE.protocol);
      this.#fail(exchange, CODE.internal);
      return;
    }
    if (status !== undefined && isInformational(status) && !isEnd) {
      if (exchange.dropsContinue && status === "100") {
        exchange.dropsContinue = false;
        return;
      }
      this.#client.headers(exchange.down, fields, false);
      return;
    }
    const more = exchange.hasResponse ? undefined : this.#options.fieldOf?.(to);
    exchange.hasResponse = true;
    const all: readonly Field[] = more ? [...fields, { ...more, indexing: "yes" }] : fields;
    this.#client.headers(exchange.down, all, isEnd);
  }

  #onUpstreamReset(stream: Stream<Exchange<D>>, code: number): void {
    const down = stream.owner?.down;
    if (down === undefined) return;
    // After a whole response it says that the rest of the request is not wanted.
    if (stream.isRemoteEnded) this.#client.resetAfter(down, code);
    else this.#client.reset(down, code);
  }

  #onUpstreamGoaway(upstream: Upstream<D>, last: number, code: number, debug: Uint8Array): void {
    const { connection, to } = upstream;
    upstream.isLeaving = true;
    if (this.#current.get(to) === upstream) this.#current.delete(to);
    for (const stream of connection.all()) {
      if (stream.id !== 0 && stream.id <= last) continue;
      connection.reset(stream, CODE.cancel);
      if (stream.owner !== undefined) this.#client.reset(stream.owner.down, CODE.refused);
    }
    if (to !== this.#options.rest() || !upstream.hasCarried) return;
    if (code === CODE.none) this.#leave();
    else {
      this.#leaving = "now";
      this.#client.goaway(this.#client.lastStreamId, code, debug);
    }
  }

  /** @param answer of ours to its end */
  #lose(upstream: Upstream<D>, answer: "end" | undefined): void {
    const { id, to, connection } = upstream;
    this.#upstreams.delete(id);
    if (this.#current.get(to) === upstream) this.#current.delete(to);
    for (const stream of connection.all()) {
      const { owner } = stream;
      if (owner === undefined) continue;
      if (!stream.isRemoteEnded) this.#fail(owner, stream.id === 0 ? CODE.refused : CODE.internal);
      else this.#client.resetAfter(owner.down, CODE.none);
      connection.reset(stream, CODE.cancel);
    }
    if (answer !== undefined) this.#commands.push({ kind: "end", upstream: id });
    if (this.#announced === undefined && to === this.#options.rest()) this.#announce();
  }

  /** Its destination will not answer. */
  #fail(exchange: Exchange<D>, code: number): void {
    const { down, facts, hasResponse } = exchange;
    if (code === CODE.internal && isGrpc(facts)) {
      this.#client.headers(down, failedGrpc(hasResponse), true);
      if (!down.isRemoteEnded) this.#client.resetAfter(down, CODE.none);
    } else this.#client.reset(down, code);
  }

  #leave(): void {
    if (this.#leaving !== "no") return;
    this.#leaving = "soon";
    this.#client.goaway(MAX_WINDOW, CODE.none);
    this.#client.ping(DRAIN_PING);
  }

  #onPong(): void {
    if (this.#leaving !== "soon") return;
    this.#leaving = "now";
    this.#client.goaway(this.#client.lastStreamId, CODE.none);
  }

  #upstreamFor(to: D): Upstream<D> {
    const current = this.#current.get(to);
    if (current?.connection.canOpen) return current;
    if (current !== undefined) current.isLeaving = true;
    const upstream = this.#add(to);
    this.#commands.push({ kind: "open", upstream: upstream.id, to });
    return upstream;
  }

  #add(to: D): Upstream<D> {
    const connection = new Http2Connection<Exchange<D>>({
      role: "opener",
      maxHeaderListBytes: MAX_HEADER_LIST,
      maxConcurrentStreams: () => 0,
      handlers: {
        onHeaders: (stream, fields, isEnd, isTooLarge) =>
          this.#onResponse(upstream, stream, fields, isEnd, isTooLarge),
        onData: (stream, bytes, isEnd) => {
          if (stream.owner?.hasResponse) this.#client.data(stream.owner.down, bytes, isEnd);
          else {
            connection.consume(stream, bytes.length);
            connection.reset(stream, CODE.protocol);
            if (stream.owner !== undefined) this.#fail(stream.owner, CODE.internal);
          }
        },
        onReset: (stream, code) => this.#onUpstreamReset(stream, code),
        onSent: ({ owner }, bytes) => {
          if (owner !== undefined) this.#client.consume(owner.down, bytes);
        },
        onSettings: () => {
          if (to === this.#options.rest()) this.#announce(connection);
        },
        onGoaway: (last, code, debug) => this.#onUpstreamGoaway(upstream, last, code, debug),
        onPong: () => undefined,
      },
    });
    const upstream: Upstream<D> = {
      id: this.#nextId++,
      to,
      connection,
      hasCarried: false,
      isLeaving: false,
    };
    this.#upstreams.set(upstream.id, upstream);
    this.#current.set(to, upstream);
    const list = Math.min(this.#client.peer.maxHeaderListSize, MAX_HEADER_LIST);
    connection.start([
      [SETTING.enablePush, 0],
      [SETTING.maxHeaderListSize, list],
    ]);
    return upstream;
  }

  /** To the client, what the rest allows; at first, or again if that has changed. */
  #announce(rest?: Http2Connection<Exchange<D>>): void {
    const before = this.#announced;
    const peer = rest?.peer;
    const maxConcurrentStreams = Math.min(peer?.maxConcurrentStreams ?? MAX_STREAMS, MAX_STREAMS);
    const enableConnectProtocol =
      (peer?.enableConnectProtocol ?? false) || (before?.enableConnectProtocol ?? false);
    const changed: [number, number][] = [];
    if (maxConcurrentStreams !== before?.maxConcurrentStreams) {
      changed.push([SETTING.maxConcurrentStreams, maxConcurrentStreams]);
    }
    if (enableConnectProtocol && !before?.enableConnectProtocol) {
      changed.push([SETTING.enableConnectProtocol, 1]);
    }
    if (before === undefined) {
      const list = Math.min(peer?.maxHeaderListSize ?? MAX_HEADER_LIST, MAX_HEADER_LIST);
      this.#client.start([...changed, [SETTING.maxHeaderListSize, list]]);
    } else if (rest !== undefined && changed.length > 0) this.#client.settings(changed);
    else return;
    this.#announced = { maxConcurrentStreams, enableConnectProtocol };
  }

  /** @returns all commands, when nothing more moves by itself */
  #settle(): Command<D>[] {
    for (let isMoving = !this.#isOver; isMoving; ) {
      isMoving = false;
      for (const upstream of [...this.#upstreams.values()]) {
        isMoving = this.#takeFrom(upstream) || isMoving;
      }
      const client = this.#client;
      if (this.#announced === undefined) {
        const { hasSomethingToSay, error, waitingBytes } = client;
        if (hasSomethingToSay || error !== undefined || waitingBytes > MAX_WAITING_ANSWERS) {
          this.#announce();
        }
      }
      for (const bytes of client.take()) {
        isMoving = true;
        this.#commands.push({ kind: "reply", bytes });
      }
      const isDone = this.#leaving === "now" && client.isIdle && this.#held.size === 0;
      if (client.error !== undefined || isDone) {
        this.#commands.push({ kind: "end-client" });
        this.#finish("end");
        break;
      }
    }
    const commands = this.#commands;
    this.#commands = [];
    return commands;
  }

  /** @returns whether there was anything */
  #takeFrom(upstream: Upstream<D>): boolean {
    const { id, connection, isLeaving } = upstream;
    if (connection.waitingBytes > MAX_WAITING_ANSWERS) {
      connection.isBlocked = false;
      connection.fail(new ConnectionError(CODE.calm, "answers are not taken"));
    }
    const chunks = connection.take();
    for (const bytes of chunks) this.#commands.push({ kind: "send", upstream: id, bytes });
    if (connection.error !== undefined) this.#lose(upstream, "end");
    else if (isLeaving && connection.isIdle) {
      this.#upstreams.delete(id);
      this.#commands.push({ kind: "end", upstream: id });
    } else return chunks.length > 0;
    return true;
  }

  #finish(how: "end" | "reset"): void {
    this.#isOver = true;
    this.#held.clear();
    for (const { id, connection } of this.#upstreams.values()) {
      if (how === "end") {
        for (const stream of connection.all()) connection.reset(stream, CODE.cancel);
        connection.goaway(0, CODE.none);
        for (const bytes of connection.take())
          this.#commands.push({ kind: "send", upstream: id, bytes });
      }
      this.#commands.push({ kind: how, upstream: id });
    }
    this.#upstreams.clear();
  }
}

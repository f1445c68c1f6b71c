/**
 * One client's HTTP/1 connection, split: each request goes to the destination that `route` names, and the
 * responses come back in the order of the requests. No byte is changed, added or left out (but see
 * `CONTINUE` and edit-head.ts). Events in, commands out; the edge has the sockets and the clock.
 *
 * - Each destination has one upstream connection, opened with its first request. A request for another
 *   destination than that of the request before waits until everything before it is answered: so responses
 *   need no buffer, and what a client sent in order takes effect in order.
 * - What cannot be read goes, from there on and with all that follows, to the *fallback*, the pod: the
 *   connection is *raw*. After an upgrade or CONNECT it is raw, too, to whoever agreed.
 * - If a response says that it is the last, or cannot be read, the client's connection ends with it.
 * - `drain()` ends it, too, but lets nobody wait in vain: what has begun is answered, and the answer says that it is
 *   the last.
 */
import { fromLatin1, Unread } from "../bytes.ts";
import { BodyReader } from "./body.ts";
import { editedHead } from "./edit-head.ts";
import { MAX_HEAD, type RequestHead } from "./head.ts";
import { Requests } from "./requests.ts";
import { type ResponseEvent, Responses } from "./responses.ts";
import type { Command, SplitterOptions } from "./split-contract.ts";
import type { Deciding, Phase, Routed, Sending, Upstream } from "./split-phases.ts";

/** mirrord's agent.max_body_buffer_size. */
const BODY_LIMIT = 65535;
/** Requests to one destination without an answer; the next one waits. */
const MAX_PIPELINED = 64;
/** Bytes of requests that wait, before the edge stops reading. */
const MAX_WAITING = MAX_HEAD;

/**
 * Who expects it sends no body before, and without the body nobody knows where the request goes: then it is
 * ours. The destination's own is left out, so that the client reads it once.
 */
const CONTINUE = fromLatin1("HTTP/1.1 100 Continue\r\n\r\n");

const LAST = { kind: "last", endsAtInput: false } as const;

export class Splitter<D> {
  readonly #options: SplitterOptions<D>;
  readonly #requests = new Requests();
  readonly #unread = this.#requests.unread;
  readonly #upstreams = new Map<number, Upstream<D>>();
  #phase: Phase<D> = { kind: "head" };
  /** To whom the latest request went. */
  #current: Upstream<D> | undefined;
  #nextId = 1;
  #hasClientEnd = false;
  #isOver = false;
  #isDraining = false;
  /** The response that is under way says that it is the last, because of #isDraining. */
  #isClosing = false;
  #commands: Command<D>[] = [];

  constructor(options: SplitterOptions<D>) {
    this.#options = options;
    if (options.opened !== undefined) this.#add(options.opened);
  }

  /** false: the edge should stop reading from the client. */
  get wantsClientBytes(): boolean {
    const { kind } = this.#phase;
    const mayWait = kind === "waiting" || kind === "upgrading" || this.#isDraining;
    return !mayWait || this.#unread.length < MAX_WAITING;
  }

  /** The edge has a deadline for how long this may last; then it calls bodyDeadline(). */
  get isWaitingForBody(): boolean {
    return this.#phase.kind === "deciding";
  }

  /** The client's connection is at its end, as far as the splitter is concerned: no command follows. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Something that went to `to` has not had all of its answer. Of one that is raw nobody knows. */
  isAsking(to: D): boolean {
    const { kind } = this.#phase;
    if (this.#isOver || kind === "raw" || kind === "last") return false;
    return this.#openCurrent()?.to === to && (kind === "body" || this.#outstanding() > 0);
  }

  /** `to` goes away: its end is not the client's, unless something is asked of it. */
  leave(to: D): Command<D>[] {
    const { kind } = this.#phase;
    if (this.#isOver || this.isAsking(to) || (kind !== "head" && kind !== "deciding")) return [];
    for (const upstream of [...this.#upstreams.values()])
      if (upstream.to === to) this.#forget(upstream);
    return this.#advance();
  }

  /** @param bytes the splitter's from now on: not to be written to again */
  clientBytes(bytes: Uint8Array): Command<D>[] {
    const phase = this.#phase;
    if (this.#isOver || bytes.length === 0) return [];
    if (phase.kind === "raw") return [{ kind: "send", upstream: phase.upstream.id, bytes }];
    if (phase.kind === "last") {
      if (phase.endsAtInput) this.#endClient();
      return this.#take();
    }
    this.#unread.append(bytes);
    return this.#advance();
  }

  /**
   * The client should come with a new connection: this one ends at once if nothing is asked on it, else with the answer
   * to what is. One that is raw lives on: nobody knows where its messages end.
   */
  drain(): Command<D>[] {
    if (this.#isOver || this.#phase.kind === "raw") return [];
    this.#isDraining = true;
    return this.#advance();
  }

  /** Its FIN. */
  clientEnd(): Command<D>[] {
    this.#hasClientEnd = true;
    return this.#advance();
  }

  clientReset(): Command<D>[] {
    if (!this.#isOver) this.#finish();
    return this.#take();
  }

  bodyDeadline(): Command<D>[] {
    if (this.#phase.kind === "deciding") this.#decide(this.#phase, undefined);
    return this.#advance();
  }

  upstreamBytes(id: number, bytes: Uint8Array): Command<D>[] {
    const upstream = this.#upstreams.get(id);
    if (this.#isOver || upstream === undefined) return [];
    if (this.#isRawWith(upstream)) return [{ kind: "reply", bytes }];
    upstream.responses.push(bytes);
    while (this.#upstreams.has(id) && !this.#isRawWith(upstream)) {
      const event = upstream.responses.next();
      if (event === undefined) break;
      this.#onResponse(upstream, event);
    }
    return this.#advance();
  }

  /** Its FIN. */
  upstreamEnd(id: number): Command<D>[] {
    const upstream = this.#upstreams.get(id);
    if (this.#isOver || upstream === undefined) return [];
    if (this.#isRawWith(upstream)) {
      this.#commands.push({ kind: "end-client" });
      return this.#take();
    }
    const isIdle = upstream.responses.outstanding === 0;
    const isClients = this.#isClients(upstream);
    this.#end(upstream);
    this.#upstreams.delete(id);
    if (!isIdle || isClients) {
      // A response may last until now; one that is cut is the client's to see.
      this.#reply(upstream.responses.rest());
      this.#endClient();
    }
    return this.#advance();
  }

  /** It was reset, or could not be opened. */
  upstreamReset(id: number): Command<D>[] {
    const upstream = this.#upstreams.get(id);
    if (this.#isOver || upstream === undefined) return [];
    const isIdle = !this.#isRawWith(upstream) && upstream.responses.outstanding === 0;
    if (isIdle && !this.#isClients(upstream)) this.#forget(upstream);
    else this.#resetClient();
    return this.#advance();
  }

  #isRawWith(upstream: Upstream<D>): boolean {
    return this.#phase.kind === "raw" && this.#phase.upstream === upstream;
  }

  /** Nothing is asked of it, but its end is to be the client's: as it would be without us. */
  #isClients(upstream: Upstream<D>): boolean {
    const phase = this.#phase;
    if (phase.kind === "body") return phase.upstream === upstream;
    if (upstream !== this.#current) return this.#hasClientEnd && this.#upstreams.size === 1;
    return phase.kind === "last" || (phase.kind === "head" && this.#unread.length === 0);
  }

  #advance(): Command<D>[] {
    this.#run();
    if (this.#hasClientEnd && this.#phase.kind === "head" && this.#unread.length > 0) {
      if (!this.#isOver) this.#goRaw("the client ended inside a head");
    }
    // What has not been sent yet comes before the end.
    const isBehind = this.#phase.kind === "waiting" || this.#unread.length > 0;
    if (this.#hasClientEnd && !isBehind && !this.#isOver) {
      for (const upstream of this.#upstreams.values()) this.#end(upstream);
      if (this.#upstreams.size === 0) this.#endClient();
    }
    if (this.#isDraining && !this.#isOver && this.#isIdle()) this.#endClient();
    return this.#take();
  }

  #isIdle(): boolean {
    return this.#phase.kind === "head" && this.#unread.length === 0 && this.#outstanding() === 0;
  }

  #take(): Command<D>[] {
    const commands = this.#commands;
    this.#commands = [];
    return commands;
  }

  #run(): void {
    while (!this.#isOver && this.#step());
  }

  /** @returns whether there may be more to do */
  #step(): boolean {
    const phase = this.#phase;
    switch (phase.kind) {
      case "head":
        return this.#readHead();
      case "deciding":
        return this.#readDecidingBody(phase);
      case "waiting":
        if (this.#mustWait(phase.next.kind === "raw" ? this.#options.fallback : phase.next.to)) {
          return false;
        }
        if (phase.next.kind === "raw") this.#goRaw(phase.next.why);
        else this.#send(phase.next);
        return true;
      case "body":
        return this.#unread.length > 0 && this.#sendBody(phase);
      case "last":
        if (phase.endsAtInput && this.#unread.length > 0) this.#endClient();
        this.#unread.consume();
        return false;
      default:
        return false;
    }
  }

  #readHead(): boolean {
    // What was pipelined behind the last one is for the next connection: nobody has seen it.
    if (this.#isClosing || (this.#isDraining && this.#outstanding() > 0)) return false;
    const event = this.#requests.next();
    if (event === undefined) return false;
    if (event.kind === "malformed") this.#goRaw(event.why);
    else if (event.kind === "empty-line") {
      // It belongs to whoever got the body before it.
      const upstream = this.#openCurrent();
      if (upstream !== undefined) this.#sendTo(upstream, event.bytes);
    } else {
      const { request, length: headLength } = event;
      const to = this.#options.route(request);
      if (to === "needs-body") this.#beginDeciding(request, headLength);
      else this.#send({ kind: "request", to, request, headLength, hasContinued: false });
    }
    return true;
  }

  #beginDeciding(request: RequestHead, headLength: number): void {
    const payload = new Unread();
    const reader = new BodyReader(request.body, (bytes, from, end) =>
      payload.append(bytes.subarray(from, end)),
    );
    this.#phase = {
      kind: "deciding",
      request,
      headLength,
      reader,
      payload,
      looked: headLength,
      isContinueDue: request.expectsContinue && !reader.isDone,
      hasContinued: false,
    };
  }

  #readDecidingBody(phase: Deciding): boolean {
    const { reader, headLength } = phase;
    phase.looked = reader.read(this.#unread.view(), phase.looked);
    const isTooLong = phase.looked - headLength > (this.#options.bodyLimitBytes ?? BODY_LIMIT);
    if (reader.malformed !== undefined) this.#goRaw(reader.malformed);
    else if (reader.isDone) this.#decide(phase, phase.payload.view());
    else if (isTooLong || this.#hasClientEnd) this.#decide(phase, undefined);
    else {
      // Who has sent a part of the body does not wait; and it may not come into the middle of a response.
      if (phase.looked > headLength) phase.isContinueDue = false;
      if (phase.isContinueDue && this.#outstanding() === 0) {
        phase.isContinueDue = false;
        phase.hasContinued = true;
        this.#reply(CONTINUE);
      }
      return false;
    }
    return true;
  }

  #decide({ request, headLength, hasContinued }: Deciding, body: Uint8Array | undefined): void {
    const to = this.#options.routeWithBody(request, body);
    this.#send({ kind: "request", to, request, headLength, hasContinued });
  }

  #send(routed: Routed<D>): void {
    const { to, request, headLength, hasContinued } = routed;
    if (this.#mustWait(to)) {
      this.#phase = { kind: "waiting", next: routed };
      return;
    }
    // Most have no body, and need no reader.
    const reader = request.body.kind === "none" ? undefined : new BodyReader(request.body);
    const end = reader?.read(this.#unread.view(), headLength) ?? headLength;
    if (reader?.malformed !== undefined) {
      this.#goRaw(reader.malformed);
      return;
    }
    const upstream = this.#open(to);
    this.#current = upstream;
    upstream.responses.expect({ request, hasContinued });
    this.#sendTo(upstream, this.#unread.consume(end));
    if (reader === undefined || reader.isDone) this.#afterBody(request, upstream, false);
    else this.#phase = { kind: "body", request, upstream, reader, isLast: false };
  }

  #sendBody({ request, upstream, reader, isLast }: Sending<D>): boolean {
    const end = reader.read(this.#unread.view(), 0);
    this.#sendTo(upstream, this.#unread.consume(end));
    if (reader.malformed !== undefined) {
      // A part of it is there already, and what follows may be somebody else's.
      if (upstream.to === this.#options.fallback) this.#goRawWith(upstream, reader.malformed);
      else this.#resetClient();
    } else if (reader.isDone) this.#afterBody(request, upstream, isLast);
    else return false;
    return true;
  }

  #afterBody(request: RequestHead, { responses }: Upstream<D>, isLast: boolean): void {
    if (isLast) {
      this.#phase = LAST;
      if (this.#isClosing && responses.outstanding === 0) this.#endClient();
    } else if (request.mayLeaveHttp && responses.outstanding > 0) {
      this.#phase = { kind: "upgrading", request };
    } else this.#phase = request.isPersistent ? { kind: "head" } : LAST;
  }

  #onResponse(upstream: Upstream<D>, event: ResponseEvent): void {
    const phase = this.#phase;
    switch (event.kind) {
      case "bytes":
        this.#reply(event.bytes);
        return;
      case "complete":
        if (event.closes) this.#last(false);
        else if (this.#isClosing && phase.kind !== "body") this.#endClient();
        else if (this.#isClosing) this.#last(false);
        else if (phase.kind === "upgrading" && upstream.responses.outstanding === 0) {
          this.#phase = phase.request.isPersistent ? { kind: "head" } : LAST;
        }
        return;
      case "left-http":
        this.#goRawWith(upstream, "HTTP was left");
        return;
      case "unsolicited":
        if (upstream !== this.#current) {
          this.#upstreams.delete(upstream.id);
          this.#commands.push({ kind: "reset", upstream: upstream.id });
          return;
        }
        break;
      default:
        break;
    }
    // Where it ends is not known: it is the last.
    this.#reply(event.bytes);
    if (phase.kind === "last") return;
    if (upstream.to === this.#options.fallback) this.#goRawWith(upstream, event.why);
    else this.#last(true);
  }

  /** Nobody will answer another request. */
  #last(endsAtInput: boolean): void {
    if (this.#phase.kind === "body" && !endsAtInput) this.#phase.isLast = true;
    else this.#phase = { kind: "last", endsAtInput };
  }

  #goRaw(why: string): void {
    const { fallback } = this.#options;
    if (this.#mustWait(fallback)) this.#phase = { kind: "waiting", next: { kind: "raw", why } };
    else this.#goRawWith(this.#open(fallback), why);
  }

  #goRawWith(upstream: Upstream<D>, why: string): void {
    this.#phase = { kind: "raw", upstream };
    this.#commands.push({ kind: "raw", to: upstream.to, why });
    for (const other of this.#upstreams.values()) if (other !== upstream) this.#forget(other);
    this.#sendTo(upstream, this.#unread.consume());
    this.#reply(upstream.responses.rest());
  }

  /** Only the current one can owe a response. */
  #outstanding(): number {
    return this.#openCurrent()?.responses.outstanding ?? 0;
  }

  #openCurrent(): Upstream<D> | undefined {
    return this.#current && this.#upstreams.get(this.#current.id);
  }

  #mustWait(to: D): boolean {
    return this.#outstanding() >= (this.#current?.to === to ? MAX_PIPELINED : 1);
  }

  #open(to: D): Upstream<D> {
    const current = this.#openCurrent();
    if (current?.to === to) return current;
    for (const upstream of this.#upstreams.values()) if (upstream.to === to) return upstream;
    const upstream = this.#add(to);
    this.#commands.push({ kind: "open", upstream: upstream.id, to });
    return upstream;
  }

  #add(to: D): Upstream<D> {
    const responses = new Responses((bytes, length, closes) =>
      this.#editedHead(to, bytes, length, closes),
    );
    const upstream = { id: this.#nextId++, to, responses, hasEnd: false };
    this.#upstreams.set(upstream.id, upstream);
    return upstream;
  }

  #editedHead(to: D, bytes: Uint8Array, length: number, isLast: boolean): Uint8Array | undefined {
    const { kind } = this.#phase;
    const isBehind = kind === "waiting" || kind === "deciding" || this.#outstanding() > 1;
    const closes = this.#isDraining && !isLast && !isBehind;
    if (closes) this.#isClosing = true;
    const field = this.#options.fieldOf?.(to);
    if (!closes && field === undefined) return undefined;
    return editedHead(bytes.subarray(0, length), { closes, field });
  }

  #sendTo(upstream: Upstream<D>, bytes: Uint8Array): void {
    if (bytes.length > 0) this.#commands.push({ kind: "send", upstream: upstream.id, bytes });
  }

  #reply(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#commands.push({ kind: "reply", bytes });
  }

  #end(upstream: Upstream<D>): void {
    if (!upstream.hasEnd) this.#commands.push({ kind: "end", upstream: upstream.id });
    upstream.hasEnd = true;
  }

  #forget(upstream: Upstream<D>): void {
    this.#upstreams.delete(upstream.id);
    if (upstream.responses.outstanding === 0) this.#end(upstream);
    else this.#commands.push({ kind: "reset", upstream: upstream.id });
  }

  #endClient(): void {
    this.#commands.push({ kind: "end-client" });
    this.#finish();
  }

  #resetClient(): void {
    this.#commands.push({ kind: "reset-client" });
    this.#finish();
  }

  #finish(): void {
    for (const upstream of this.#upstreams.values()) this.#forget(upstream);
    this.#isOver = true;
  }
}

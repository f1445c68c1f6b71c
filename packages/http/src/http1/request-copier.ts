/**
 * One client's HTTP/1 connection of which only the client's bytes are seen, as in copies of its packets: tells who wants
 * each request, and gives its bytes as they came. What nobody wants is left out.
 *
 * Without the answers one thing is not known: whether the target has changed the protocol after an Upgrade. If what
 * follows begins with a request line, it has not, and each request is for itself again; else all that follows belongs
 * to whom the request belongs. WebSocket's frames, TLS and HTTP/2's preface are no request lines. What follows CONNECT
 * can be HTTP that is meant for somebody else: it always belongs to CONNECT's.
 */
import { Unread } from "../bytes.ts";
import { BodyReader } from "./body.ts";
import type { RequestHead } from "./head.ts";
import { RequestLineScanner } from "./request-line.ts";
import { Requests } from "./requests.ts";

/** Bytes of a body that a filter looks at: the same as of what is stolen. */
const BODY_LIMIT = 65535;

export interface CopierOptions<D> {
  /** Who wants it, each once. `needs-body`: of at least one only wantsWithBody can tell. */
  wants(request: RequestHead): readonly D[] | "needs-body";
  /** @param body without chunk sizes; undefined: it is too long, or its client has ended before its end */
  wantsWithBody(request: RequestHead, body: Uint8Array | undefined): readonly D[];
  /** Bytes of a body that is waited for, chunk sizes included. */
  readonly bodyLimitBytes?: number;
}

export type CopierEvent<D> =
  /** `isStart`: they begin with a request's first byte, and all before belongs to requests that are complete. */
  | {
      readonly kind: "copy";
      readonly to: readonly D[];
      readonly bytes: Uint8Array;
      readonly isStart: boolean;
    }
  /** What follows cannot be read, and is nobody's. `inside`: who has the beginning of a request, and no end. */
  | { readonly kind: "stopped"; readonly why: string; readonly inside: readonly D[] };

interface Deciding {
  readonly kind: "deciding";
  readonly request: RequestHead;
  readonly headLength: number;
  readonly reader: BodyReader;
  readonly payload: Unread;
  /** Bytes of the request that were looked at. */
  looked: number;
}

type Phase<D> =
  | { readonly kind: "head" }
  | Deciding
  | {
      readonly kind: "body";
      readonly to: readonly D[];
      readonly reader: BodyReader;
      readonly request: RequestHead;
    }
  | {
      readonly kind: "upgrade";
      readonly to: readonly D[];
      readonly line: RequestLineScanner;
      looked: number;
    }
  /** No request any more: all bytes are theirs. */
  | { readonly kind: "rest"; readonly to: readonly D[] };

const HEAD = { kind: "head" } as const;
const NOBODYS = { kind: "rest", to: [] } as const;

export class RequestCopier<D> {
  readonly #options: CopierOptions<D>;
  readonly #requests = new Requests();
  readonly #unread = this.#requests.unread;
  #phase: Phase<D> = HEAD;
  #events: CopierEvent<D>[] = [];

  constructor(options: CopierOptions<D>) {
    this.#options = options;
  }

  /** Bytes that wait because it is not known yet whose they are. */
  get waitingBytes(): number {
    const { length } = this.#unread;
    return this.#phase.kind === "deciding" ? length + this.#phase.payload.length : length;
  }

  /** @param bytes the copier's from now on, until what is made of them was taken: nothing of them is kept longer */
  bytes(bytes: Uint8Array): CopierEvent<D>[] {
    if (this.#phase.kind === "rest") {
      this.#copy(this.#phase.to, bytes, false);
      return this.#take();
    }
    const before = this.#unread.length;
    this.#unread.append(bytes);
    while (this.#unread.length > 0 && this.#step());
    // What waits is not to hold the chunk that it came in; what was joined before already does not.
    const { length } = this.#unread;
    if (length > 0 && (before === 0 || length < before + bytes.length)) {
      this.#unread.append(this.#unread.consume().slice());
    }
    return this.#take();
  }

  /** The client's FIN: what waits is decided by what there is. */
  end(): CopierEvent<D>[] {
    const phase = this.#phase;
    if (phase.kind === "deciding") {
      this.#begin(phase, this.#options.wantsWithBody(phase.request, undefined));
      while (this.#unread.length > 0 && this.#step());
    }
    if (this.#phase.kind === "upgrade") this.#leaveHttp(this.#phase.to);
    return this.#take();
  }

  #take(): CopierEvent<D>[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** @returns whether there may be more to do */
  #step(): boolean {
    const phase = this.#phase;
    switch (phase.kind) {
      case "head":
        return this.#readHead();
      case "deciding":
        return this.#readDecidingBody(phase);
      case "body":
        return this.#readBody(phase);
      case "upgrade":
        return this.#readAfterUpgrade(phase);
      default:
        this.#copy(phase.to, this.#unread.consume(), false);
        return false;
    }
  }

  #readHead(): boolean {
    const event = this.#requests.next();
    if (event === undefined) return false;
    // An empty line between two requests is neither's.
    if (event.kind === "empty-line") return true;
    if (event.kind === "malformed") {
      this.#stop(event.why);
      return false;
    }
    const { request, length: headLength } = event;
    const to = this.#options.wants(request);
    const payload = new Unread();
    const reader = new BodyReader(request.body, (bytes, from, end) => {
      if (to === "needs-body") payload.append(bytes.slice(from, end));
    });
    const deciding: Deciding = {
      ...{ kind: "deciding", request, headLength, reader, payload, looked: headLength },
    };
    if (to === "needs-body") this.#phase = deciding;
    else this.#begin(deciding, to);
    return true;
  }

  #readDecidingBody(phase: Deciding): boolean {
    const { reader, headLength, request } = phase;
    const limit = headLength + (this.#options.bodyLimitBytes ?? BODY_LIMIT);
    // No further than needed to know that it is too long: what follows must not count, however it arrives.
    phase.looked = reader.read(this.#unread.view().subarray(0, limit + 1), phase.looked);
    const isTooLong = phase.looked > limit;
    if (reader.malformed !== undefined && !isTooLong) this.#stop(reader.malformed);
    else if (reader.isDone || isTooLong) {
      const body = isTooLong ? undefined : phase.payload.view();
      this.#begin(phase, this.#options.wantsWithBody(request, body));
      return true;
    }
    return false;
  }

  /** The head, and as much of the body as was looked at. */
  #begin({ request, reader, looked }: Deciding, to: readonly D[]): void {
    this.#copy(to, this.#unread.consume(looked), true);
    if (reader.isDone) this.#afterBody(request, to);
    else this.#phase = { kind: "body", to, reader, request };
  }

  #readBody({ to, reader, request }: Extract<Phase<D>, { kind: "body" }>): boolean {
    const end = reader.read(this.#unread.view(), 0);
    this.#copy(to, this.#unread.consume(end), false);
    if (reader.malformed !== undefined) this.#stop(reader.malformed, to);
    else if (reader.isDone) this.#afterBody(request, to);
    else return false;
    return true;
  }

  #afterBody({ method, mayLeaveHttp, isPersistent }: RequestHead, to: readonly D[]): void {
    if (method === "CONNECT") this.#phase = { kind: "rest", to };
    else if (mayLeaveHttp)
      this.#phase = { kind: "upgrade", to, line: new RequestLineScanner(), looked: 0 };
    // What its client sends behind its last request, the target does not read.
    else this.#phase = isPersistent ? HEAD : NOBODYS;
  }

  #readAfterUpgrade(phase: Extract<Phase<D>, { kind: "upgrade" }>): boolean {
    const bytes = this.#unread.view();
    const line = phase.line.push(bytes.subarray(phase.looked));
    phase.looked = bytes.length;
    if (line.kind === "undecided") return false;
    if (line.kind === "complete") this.#phase = HEAD;
    else this.#leaveHttp(phase.to);
    return true;
  }

  #leaveHttp(to: readonly D[]): void {
    this.#phase = { kind: "rest", to };
    this.#copy(to, this.#unread.consume(), false);
  }

  #copy(to: readonly D[], bytes: Uint8Array, isStart: boolean): void {
    if (to.length > 0 && bytes.length > 0) this.#events.push({ kind: "copy", to, bytes, isStart });
  }

  #stop(why: string, inside: readonly D[] = []): void {
    this.#unread.consume();
    this.#phase = NOBODYS;
    this.#events.push({ kind: "stopped", why, inside });
  }
}

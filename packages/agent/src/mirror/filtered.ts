/**
 * The copy of one connection for those who want some of its requests: its first bytes tell what it speaks, and from
 * there on each request goes to whom it matches, of HTTP/1 and of HTTP/2. Of what is no HTTP nobody has a copy.
 */
import { Detector, type Filter, type RequestFacts, Subject } from "@inpod/http";
import type { MirrorMissed } from "@inpod/protocol";
import type { OutgoingChannel } from "@inpod/tunnel";
import type { PortProbes } from "../incoming/probes.ts";
import type { CopyBudget } from "./copies.ts";
import { Http1Copies } from "./http1-copies.ts";
import { Http2Copies } from "./http2-copies.ts";
import type { Sink } from "./streams.ts";

export interface FilteredParts<W> {
  /** A stream to the watcher; undefined: it cannot have one now. `needsAnswers`: what the program says comes back here. */
  open(watcher: W, needsAnswers: boolean): OutgoingChannel | undefined;
  /** Undefined: it gets the kubelet's, too, or the port has none. */
  probes(watcher: W): PortProbes | undefined;
  /** One of its requests begins. */
  request(watcher: W): void;
  missed(watcher: W, what: MirrorMissed["what"]): void;
  readonly budget: CopyBudget;
}

/** Some requests of one connection, each for whom it matches. */
export interface RequestCopies<W> extends Sink {
  /** Its copies are reset, and it gets no more. */
  leave(watcher: W, errno: string): void;
}

/** Who of one connection's watchers wants which request. */
export class Wishes<W> {
  readonly filters: Map<W, Filter>;

  readonly #isProbe: (watcher: W, request: RequestFacts) => boolean;

  /** @param isProbe it is the kubelet's business with the pod, and not the watcher's, whatever its filter says */
  constructor(
    filters: Iterable<readonly [W, Filter]>,
    isProbe: (watcher: W, request: RequestFacts) => boolean,
  ) {
    this.filters = new Map(filters);
    this.#isProbe = isProbe;
  }

  wants(request: RequestFacts): readonly W[] | "needs-body" {
    const subject = new Subject(request);
    const found: W[] = [];
    for (const [watcher, filter] of this.filters) {
      const answer = filter.matches(subject);
      if (answer === false || this.#isProbe(watcher, request)) continue;
      if (answer === "needs-body") return answer;
      found.push(watcher);
    }
    return found;
  }

  wantsWithBody(request: RequestFacts, body: Uint8Array | undefined): readonly W[] {
    const subject = new Subject(request, body);
    return [...this.filters].flatMap(([watcher, filter]) =>
      filter.matchesWithBody(subject) && !this.#isProbe(watcher, request) ? [watcher] : [],
    );
  }
}

export class FilteredCopies<W> implements RequestCopies<W> {
  readonly #wishes: Wishes<W>;
  readonly #parts: FilteredParts<W>;
  #detector: Detector | undefined = new Detector();
  #early: Uint8Array[] = [];
  /** Undefined: not yet known, or there is none. */
  #copies: RequestCopies<W> | undefined;

  constructor(filters: Iterable<readonly [W, Filter]>, parts: FilteredParts<W>) {
    this.#wishes = new Wishes(
      filters,
      (watcher, request) => parts.probes(watcher)?.isRequest?.(request) === true,
    );
    this.#parts = parts;
  }

  data(bytes: Buffer): void {
    if (this.#copies !== undefined) this.#copies.data(bytes);
    else if (this.#detector !== undefined) this.#detect(this.#detector, bytes);
  }

  end(): void {
    this.#detector = undefined;
    this.#copies?.end();
  }

  reset(errno: string): void {
    this.#detector = undefined;
    this.#copies?.reset(errno);
  }

  leave(watcher: W, errno: string): void {
    this.#wishes.filters.delete(watcher);
    this.#copies?.leave(watcher, errno);
  }

  #detect(detector: Detector, bytes: Buffer): void {
    const { kind } = detector.push(bytes);
    if (kind === "undecided") {
      // Of a limited length: the detector ends it.
      this.#early.push(Uint8Array.from(bytes));
      return;
    }
    this.#detector = undefined;
    const all = this.#early.length === 0 ? bytes : Buffer.concat([...this.#early, bytes]);
    this.#early = [];
    if (kind === "http1") this.#copies = new Http1Copies(this.#wishes, this.#parts);
    else if (kind === "http2") this.#copies = new Http2Copies(this.#wishes, this.#parts);
    else {
      const what = kind === "tls" ? "tls" : "not-http";
      for (const watcher of this.#wishes.filters.keys()) this.#parts.missed(watcher, what);
      return;
    }
    this.#copies.data(all);
  }
}

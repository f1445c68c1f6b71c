/**
 * One client's connection as somebody sees it who gets copies of the client's bytes: requests of HTTP/1 and HTTP/2, and
 * bytes where it is something else. What cannot be read is told with the reason, and its bytes follow as they are.
 */
import { Unread } from "../bytes.ts";
import { Detector } from "../detect.ts";
import { HTTP2_PREFACE } from "../preface.ts";
import type { ReadEvent } from "./events.ts";
import { Http1Reader } from "./http1-reader.ts";
import { Http2Reader } from "./http2-reader.ts";

type Phase =
  /** Bytes are held, at most as many as a request line has. */
  | { readonly kind: "detecting"; readonly detector: Detector; readonly held: Unread }
  | { readonly kind: "http1"; readonly reader: Http1Reader }
  | { readonly kind: "http2"; readonly reader: Http2Reader; prefaceLeft: number }
  | { readonly kind: "bytes"; readonly ofHead: boolean }
  | { readonly kind: "nothing" };

const detecting = (): Phase => ({
  kind: "detecting",
  detector: new Detector(),
  held: new Unread(),
});

export class ConnectionReader {
  #phase: Phase = detecting();
  #events: ReadEvent[] = [];
  #lastId = 0;
  readonly #nextId = (): number => ++this.#lastId;
  readonly #emit = (event: ReadEvent): void => void this.#events.push(event);

  /** Bytes wait for what would tell what they are: after a deadline the edge calls decide(). */
  get isUndecided(): boolean {
    return this.#phase.kind === "detecting" && this.#phase.held.length > 0;
  }

  /** @param bytes not to be written to until what is made of them was taken; nothing of them is kept longer */
  push(bytes: Uint8Array): ReadEvent[] {
    this.#push(bytes);
    return this.#take();
  }

  /** What is held is no HTTP. */
  decide(): ReadEvent[] {
    if (this.#phase.kind === "detecting") {
      const { held } = this.#phase;
      this.#phase = { kind: "bytes", ofHead: false };
      this.#push(held.consume());
    }
    return this.#take();
  }

  /** No more comes. */
  end(): ReadEvent[] {
    const phase = this.#phase;
    this.#phase = { kind: "nothing" };
    if (phase.kind === "detecting") this.#bytes(phase.held.consume(), false);
    else if (phase.kind === "http1") this.#bytes(phase.reader.end(), true);
    else if (phase.kind === "http2") phase.reader.end();
    return this.#take();
  }

  #push(bytes: Uint8Array): void {
    const phase = this.#phase;
    switch (phase.kind) {
      case "detecting":
        phase.held.append(bytes.slice());
        this.#detected(phase.detector.push(bytes), phase.held);
        return;
      case "http1": {
        const after = phase.reader.push(bytes);
        if (after === undefined) return;
        if (after.kind === "nothing") this.#phase = { kind: "nothing" };
        else if (after.kind === "anything") this.#phase = detecting();
        else this.#leave(after.why);
        if (after.kind !== "nothing" && after.bytes.length > 0) this.#push(after.bytes);
        return;
      }
      case "http2": {
        const ofPreface = Math.min(phase.prefaceLeft, bytes.length);
        phase.prefaceLeft -= ofPreface;
        const why = phase.reader.push(bytes.subarray(ofPreface));
        if (why === undefined) return;
        // Its compression has a state: nothing that follows could be read by anybody.
        phase.reader.end();
        this.#phase = { kind: "nothing" };
        this.#emit({ kind: "note", why: `nothing more of this connection can be read: ${why}` });
        return;
      }
      case "bytes":
        this.#bytes(bytes, phase.ofHead);
        return;
      default:
    }
  }

  #detected({ kind }: ReturnType<Detector["push"]>, held: Unread): void {
    switch (kind) {
      case "undecided":
        return;
      case "http1":
        this.#phase = { kind, reader: new Http1Reader(this.#emit, this.#nextId) };
        break;
      case "http2":
        this.#phase = {
          kind,
          reader: new Http2Reader(this.#emit, this.#nextId),
          prefaceLeft: HTTP2_PREFACE.length,
        };
        break;
      case "tls":
        this.#phase = { kind: "nothing" };
        this.#emit({ kind: "note", why: "TLS: only whom it is meant for can read it" });
        return;
      default:
        this.#phase = { kind: "bytes", ofHead: false };
    }
    this.#push(held.consume());
  }

  #leave(why: string): void {
    this.#phase = { kind: "bytes", ofHead: true };
    this.#emit({ kind: "note", why: `what follows is not read as HTTP: ${why}` });
  }

  #bytes(bytes: Uint8Array, ofHead: boolean): void {
    if (bytes.length > 0) this.#emit({ kind: "bytes", bytes, ofHead });
  }

  #take(): ReadEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}

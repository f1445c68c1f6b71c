/**
 * The requests of one HTTP/2 connection, each copied to whom it matches. HPACK has a state for the whole connection, so
 * that frames cannot be copied one by one: node:http2 reads the client's half, as a server whose answers go nowhere,
 * and speaks with the program as a client of its own (http2-program.ts).
 */
import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { Duplex } from "node:stream";
import { FrameCutter, type RequestFacts, RequestFrames, requestOfHttp2 } from "@inpod/http";
import { Share } from "./copies.ts";
import type { FilteredParts, RequestCopies, Wishes } from "./filtered.ts";
import { Http2Program, type Http2Request } from "./http2-program.ts";

/** Bytes of a body that a filter looks at: the same as of HTTP/1. */
const BODY_LIMIT = 65535;
/** Requests that are open. Of those that the target has ended early nothing more may come: the one silent for longest goes first. */
const MAX_OPEN = 2048;
const GOAWAY = 7;
const MAX_WINDOW = 2 ** 31 - 1;

/** The target's own limits are not known: none may be narrower here. */
const READING = {
  settings: {
    headerTableSize: 1024 * 1024,
    initialWindowSize: MAX_WINDOW,
    maxFrameSize: 2 ** 24 - 1,
    maxHeaderListSize: 1024 * 1024,
    enableConnectProtocol: true,
  },
  maxHeaderListPairs: 2000,
  maxSessionMemory: 64,
  // Who cancels many requests does so to the target, not to us.
  streamResetBurst: 1_000_000,
  streamResetRate: 1_000_000,
};

/** After the client's FIN, what was begun and has no end never gets one; what is whole has been read long before. */
const LAST_MS = 1000;

interface Reading<W> {
  readonly facts: RequestFacts;
  readonly headers: readonly string[];
  readonly hasBody: boolean;
  /** Of whom it is; undefined: its body decides. */
  to: Map<W, Http2Request> | undefined;
  /** That decides; it waits. */
  body: Buffer[];
  bodyBytes: number;
  trailers: IncomingHttpHeaders | undefined;
  isWhole: boolean;
}

export class Http2Copies<W> implements RequestCopies<W> {
  readonly #wishes: Wishes<W>;
  readonly #parts: FilteredParts<W>;
  readonly #frames = new RequestFrames();
  readonly #wire: Duplex;
  readonly #session: ServerHttp2Session;
  /** Those that take requests. */
  readonly #programs = new Map<W, Http2Program>();
  /** The one that was silent for longest is the first. */
  readonly #open = new Map<ServerHttp2Stream, Reading<W>>();
  readonly #share: Share;
  #waitingBytes = 0;
  /** The client has sent its FIN; all before it is read, and the session is told to end. */
  #hasEnd = false;
  #isClosing = false;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(wishes: Wishes<W>, parts: FilteredParts<W>) {
    this.#wishes = wishes;
    this.#parts = parts;
    const said = new FrameCutter();
    this.#wire = new Duplex({
      read() {},
      write: (bytes: Buffer, _encoding, done) => {
        said.push(bytes, ({ type }) => {
          // What cannot be read is answered so, and with nothing else.
          if (type === GOAWAY && !this.#isClosing) setImmediate(() => this.#fail("malformed"));
          return false;
        });
        done();
      },
      final: (done) => {
        done();
        // As a client does that is told to go; what nobody has read keeps it open else.
        setImmediate(() => this.#wire.destroy());
      },
    });
    this.#share = new Share(parts.budget, () => this.#waitingBytes + this.#wire.readableLength);
    this.#session = performServerHandshake(this.#wire, READING);
    this.#session.setLocalWindowSize(MAX_WINDOW);
    const onStream = (
      stream: ServerHttp2Stream,
      _headers: IncomingHttpHeaders,
      flags: number,
      raw: string[],
    ): void => this.#begin(stream, flags, raw);
    this.#session.on("stream", onStream);
    this.#session.on("error", () => this.#fail("malformed"));
    this.#session.once("close", () => this.#over());
  }

  data(bytes: Buffer): void {
    if (this.#isOver) return;
    // A copy: it is read later, and the chunk it came in is large.
    for (const piece of this.#frames.push(bytes)) this.#wire.push(Buffer.from(piece));
    if (this.#frames.malformed !== undefined) this.#fail("malformed");
    else if (!this.#share.hasRoom()) this.#fail("limit");
  }

  end(): void {
    if (this.#isOver || this.#hasEnd) return;
    this.#hasEnd = true;
    this.#timer = setTimeout(() => this.#over(), LAST_MS);
    const close = (): void => {
      if (this.#isOver) return;
      // What was pushed is read first, and its streams are told of in the next turn.
      if (this.#wire.readableLength > 0 && !this.#wire.destroyed && !this.#session.destroyed) {
        setImmediate(close);
        return;
      }
      // Of requests that are whole, the program finishes its answers.
      for (const [stream, { isWhole }] of [...this.#open]) if (isWhole) this.#forget(stream);
      this.#isClosing = true;
      this.#session.close();
    };
    setImmediate(() => setImmediate(close));
  }

  reset(errno: string): void {
    this.#finish((program) => program.reset(errno));
  }

  leave(watcher: W, errno: string): void {
    this.#programs.get(watcher)?.reset(errno);
    this.#programs.delete(watcher);
  }

  #begin(stream: ServerHttp2Stream, flags: number, headers: readonly string[]): void {
    // It is an error of its own if it is cut, which "close" tells.
    stream.on("error", () => undefined);
    if (this.#isOver) return;
    this.#makeRoom();
    const facts = requestOfHttp2(pairsOf(headers));
    const hasBody = (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0;
    const reading: Reading<W> = {
      ...{ facts, headers, hasBody, to: undefined, body: [], bodyBytes: 0 },
      ...{ trailers: undefined, isWhole: false },
    };
    this.#open.set(stream, reading);
    const to = this.#wishes.wants(facts);
    if (to !== "needs-body") this.#send(reading, to);
    stream.on("data", (bytes: Buffer) => this.#read(stream, reading, bytes));
    stream.on("trailers", (trailers) => {
      reading.trailers = trailers;
    });
    stream.on("end", () => {
      if (!stream.aborted && stream.rstCode === constants.NGHTTP2_NO_ERROR)
        this.#end(stream, reading);
    });
    stream.on("close", () => {
      // Who waits for a body that does not come any more is nobody's.
      this.#close(stream, (request) => request.cancel(stream.rstCode));
    });
  }

  /** It is whole. Until it is answered its client may cancel it, which the program is to see. */
  #end(stream: ServerHttp2Stream, reading: Reading<W>): void {
    if (reading.to === undefined) this.#decide(reading, Buffer.concat(reading.body));
    const requests = [...(reading.to?.values() ?? [])];
    let unanswered = requests.length;
    for (const request of requests) {
      request.onAnswered(() => {
        unanswered--;
        if (unanswered === 0) this.#forget(stream);
      });
      request.end(reading.trailers);
    }
    reading.isWhole = true;
    if (unanswered === 0 || this.#hasEnd) this.#forget(stream);
  }

  /** What it was copied to goes on. */
  #forget(stream: ServerHttp2Stream): void {
    this.#close(stream, () => undefined);
    if (!stream.destroyed) stream.close();
  }

  #read(stream: ServerHttp2Stream, reading: Reading<W>, bytes: Buffer): void {
    this.#open.delete(stream);
    this.#open.set(stream, reading);
    if (reading.to !== undefined) {
      for (const request of reading.to.values()) request.data(bytes);
      return;
    }
    reading.body.push(bytes);
    reading.bodyBytes += bytes.length;
    this.#waitingBytes += bytes.length;
    if (reading.bodyBytes > BODY_LIMIT) this.#decide(reading, undefined);
    else if (!this.#share.hasRoom()) this.#fail("limit");
  }

  #decide(reading: Reading<W>, body: Buffer | undefined): void {
    this.#send(reading, this.#wishes.wantsWithBody(reading.facts, body));
    for (const request of reading.to?.values() ?? [])
      for (const bytes of reading.body) request.data(bytes);
    this.#drop(reading);
  }

  #drop(reading: Reading<W>): void {
    this.#waitingBytes -= reading.bodyBytes;
    reading.body = [];
    reading.bodyBytes = 0;
  }

  #send(reading: Reading<W>, to: readonly W[]): void {
    reading.to = new Map();
    for (const watcher of to) {
      this.#parts.request(watcher);
      const request = this.#programOf(watcher)?.request(reading.headers, reading.hasBody);
      if (request !== undefined) reading.to.set(watcher, request);
    }
  }

  #programOf(watcher: W): Http2Program | undefined {
    const known = this.#programs.get(watcher);
    if (known?.isOpen) return known;
    known?.end();
    this.#programs.delete(watcher);
    const channel = this.#parts.open(watcher, true);
    if (channel === undefined) return undefined;
    const program = new Http2Program(channel, this.#parts.budget, (what) =>
      this.#parts.missed(watcher, what),
    );
    this.#programs.set(watcher, program);
    return program;
  }

  #close(stream: ServerHttp2Stream, each: (request: Http2Request) => void): void {
    const reading = this.#open.get(stream);
    if (reading === undefined) return;
    this.#open.delete(stream);
    for (const request of reading.to?.values() ?? []) each(request);
    this.#drop(reading);
  }

  #makeRoom(): void {
    const [[stream, { isWhole }] = [undefined, { isWhole: false }]] = this.#open;
    if (this.#open.size < MAX_OPEN || stream === undefined) return;
    if (isWhole) this.#forget(stream);
    else stream.close(constants.NGHTTP2_CANCEL);
  }

  #over(): void {
    if (this.#hasEnd) this.#finish((program) => program.end());
    else this.#fail("malformed");
  }

  #fail(what: "malformed" | "limit"): void {
    if (this.#isOver) return;
    this.reset(what === "limit" ? "ENOBUFS" : "ECONNABORTED");
    for (const watcher of this.#wishes.filters.keys()) this.#parts.missed(watcher, what);
  }

  #finish(each: (program: Http2Program) => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#share.giveBack();
    for (const stream of [...this.#open.keys()]) {
      this.#close(stream, (request) => request.cancel(constants.NGHTTP2_CANCEL));
    }
    for (const program of this.#programs.values()) each(program);
    this.#programs.clear();
    this.#session.destroy();
    this.#wire.destroy();
  }
}

function* pairsOf(headers: readonly string[]): Iterable<readonly [string, string]> {
  for (let at = 0; at + 1 < headers.length; at += 2)
    yield [headers[at] as string, headers[at + 1] as string];
}

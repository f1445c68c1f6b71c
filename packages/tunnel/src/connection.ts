/** The core on a byte stream: batches its writes, feeds what arrives, keeps time. */

import { performance } from "node:perf_hooks";
import type { Duplex } from "node:stream";
import type {
  AgentHello,
  AgentMethod,
  AgentMethods,
  AgentNotice,
  SessionHello,
  StreamHeader,
  StreamOpened,
  WireError,
} from "@inpod/protocol";
import { Mux, ProtocolError, parseResult } from "@inpod/protocol";
import type { OutgoingChannel, Tunnel, TunnelHandlers } from "./api.ts";
import { TunnelFailure } from "./failure.ts";
import type { AgentCredentials, SessionCredentials } from "./hello.ts";
import { greetAgent, greetSession } from "./hello.ts";

const PING_MS = 10_000;
/** The first answers tune the windows: they should not wait for ten seconds. */
const FIRST_PINGS_MS = [0, 200, 1000] as const;
const DEAD_MS = 25_000;
const CALL_TIMEOUT_MS = 30_000;
/** Bytes handed to the link at once. */
const BATCH_BYTES = 256 * 1024;
/** Up to so many busy streams a write goes out in the same tick; beyond, gathering saves system calls. */
const FEW_STREAMS = 8;
/** Requests that an agent's end works on at once; the next ones fail with EAGAIN. */
const MAX_REQUESTS = 1024;

/** The session's end. @throws TunnelFailure, see greetAgent */
export async function connectTunnel(
  stream: Duplex,
  options: SessionCredentials & { readonly handlers: TunnelHandlers },
): Promise<Tunnel> {
  try {
    const agent = await greetAgent(stream, options);
    return new Connection("session", stream, agent, options.handlers);
  } catch (error) {
    stream.destroy();
    throw asFailure(error);
  }
}

/** The agent's end. @throws TunnelFailure, see greetSession */
export async function acceptTunnel(
  stream: Duplex,
  options: AgentCredentials & { readonly handlers: (hello: SessionHello) => TunnelHandlers },
): Promise<Tunnel> {
  try {
    const hello = await greetSession(stream, options);
    return new Connection("agent", stream, hello, options.handlers(hello));
  } catch (error) {
    // What was written to tell the peer why still goes out; a peer that does not listen does not hold us.
    if (!stream.writableEnded) stream.destroy();
    else setTimeout(() => stream.destroy(), 1000).unref();
    throw asFailure(error);
  }
}

const asFailure = (error: unknown): TunnelFailure =>
  error instanceof TunnelFailure
    ? error
    : new TunnelFailure("EPROTO", error instanceof Error ? error.message : String(error));

interface PendingCall {
  readonly method: AgentMethod;
  readonly resolve: (result: never) => void;
  readonly reject: (error: TunnelFailure) => void;
  readonly timer: NodeJS.Timeout;
}

class Connection implements Tunnel {
  readonly peer: AgentHello | SessionHello;
  readonly closed: Tunnel["closed"];
  readonly #mux: Mux;
  readonly #stream: Duplex;
  readonly #handlers: TunnelHandlers;
  readonly #calls = new Map<number, PendingCall>();
  #nextCall = 1;
  #runningRequests = 0;
  #isScheduled = false;
  #lastReceivedMs = performance.now();
  #goaway: WireError | undefined;
  #isClosed = false;
  readonly #timers: NodeJS.Timeout[] = [];
  #resolveClosed: (end: Awaited<Tunnel["closed"]>) => void = () => {};

  constructor(
    side: "session" | "agent",
    stream: Duplex,
    peer: AgentHello | SessionHello,
    handlers: TunnelHandlers,
  ) {
    this.peer = peer;
    this.#stream = stream;
    this.#handlers = handlers;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#mux = new Mux({
      side,
      now: () => performance.now(),
      handlers: {
        wantsFlush: () => this.#schedule(),
        onStream: (stream) => this.#handlers.onStream(stream),
        onRequest: (id, request) => void this.#serve(id, request.method, request.params),
        onResponse: (id, response) => this.#answered(id, response),
        onNotice: (notice) => this.#handlers.onNotice?.(notice),
        onGoaway: (why) => {
          this.#goaway = why;
        },
      },
    });
    stream.on("data", (chunk: Buffer) => this.#received(chunk));
    stream.on("drain", () => {
      this.#mux.isCongested = false;
      this.#flush();
    });
    stream.on("end", () => this.#end("the other end has closed the tunnel"));
    stream.on("close", () => this.#end("the connection was lost"));
    stream.on("error", (error) => this.#end(error.message));
    for (const delay of FIRST_PINGS_MS)
      this.#timers.push(setTimeout(() => this.#mux.ping(), delay));
    this.#timers.push(setInterval(() => this.#tick(), PING_MS));
    for (const timer of this.#timers) timer.unref();
  }

  open(header: StreamHeader): OutgoingChannel {
    if (this.#isClosed) throw new TunnelFailure("ECONNRESET", "the tunnel is closed");
    const stream = this.#mux.open(header);
    const opened = new Promise<StreamOpened>((resolve, reject) => {
      stream.onOpened = resolve;
      stream.onRefused = (errno, detail) => reject(new TunnelFailure(errno, detail));
    });
    opened.catch(() => {}); // whoever does not look at it sees onReset
    return Object.assign(stream, { opened });
  }

  call<M extends AgentMethod>(
    method: M,
    params: AgentMethods[M]["params"],
    { timeoutMs = CALL_TIMEOUT_MS }: { timeoutMs?: number } = {},
  ): Promise<AgentMethods[M]["result"]> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) {
        reject(new TunnelFailure("ECONNRESET", "the tunnel is closed"));
        return;
      }
      const id = this.#nextCall++ % 0xffff_ffff;
      const timer = setTimeout(() => {
        this.#calls.delete(id);
        reject(new TunnelFailure("ETIMEDOUT", `no answer to ${method} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#calls.set(id, { method, resolve: resolve as PendingCall["resolve"], reject, timer });
      this.#mux.request(id, method, params);
    });
  }

  notify(notice: AgentNotice): void {
    if (!this.#isClosed) this.#mux.notify(notice);
  }

  rttMs(): number | undefined {
    return this.#mux.rttMs;
  }

  close(reason: string): void {
    if (this.#isClosed) return;
    this.#mux.goaway({ errno: "ECANCELED", detail: reason });
    this.#flush();
    this.#stream.end();
    this.#finish(true, reason);
    setTimeout(() => this.#stream.destroy(), 1000).unref();
  }

  #received(chunk: Buffer): void {
    this.#lastReceivedMs = performance.now();
    if (this.#isClosed) return;
    try {
      this.#mux.receive(chunk);
    } catch (error) {
      const what = error instanceof ProtocolError ? error.message : String(error);
      this.#end(`the other end broke the protocol: ${what}`);
      if (!(error instanceof ProtocolError)) throw error;
    }
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isClosed || this.#mux.isCongested) return;
    this.#isScheduled = true;
    const flush = (): void => {
      this.#isScheduled = false;
      this.#flush();
    };
    if (this.#mux.readyCount > FEW_STREAMS) setImmediate(flush);
    else process.nextTick(flush);
  }

  #flush(): void {
    if (this.#isClosed || this.#mux.isCongested) return;
    const { chunks, drained } = this.#mux.take(BATCH_BYTES);
    if (chunks.length > 0) {
      this.#stream.cork();
      for (const chunk of chunks) this.#stream.write(chunk);
      this.#stream.uncork();
      this.#mux.isCongested = this.#stream.writableNeedDrain;
    }
    for (const stream of drained) stream.onDrain?.();
    if (this.#mux.hasMore) this.#schedule();
  }

  #tick(): void {
    if (performance.now() - this.#lastReceivedMs > DEAD_MS) this.#end("nothing was heard for 25 s");
    else this.#mux.ping();
  }

  async #serve(id: number, method: AgentMethod, params: unknown): Promise<void> {
    let response: Parameters<Mux["respond"]>[1];
    if (this.#runningRequests >= MAX_REQUESTS || !this.#handlers.onRequest) {
      response = { error: { errno: "EAGAIN", detail: "too many requests at once" } };
    } else {
      this.#runningRequests++;
      try {
        response = { result: await this.#handlers.onRequest(method, params) };
      } catch (error) {
        const errno = error instanceof TunnelFailure ? error.errno : "EIO";
        const detail = error instanceof Error ? error.message : "failed";
        response = { error: { errno, detail: detail.slice(0, 1000) } };
      }
      this.#runningRequests--;
    }
    if (!this.#isClosed) this.#mux.respond(id, response);
  }

  #answered(
    id: number,
    response: { result: unknown } | { error: { errno: string; detail: string } },
  ): void {
    const call = this.#calls.get(id);
    if (!call) return; // timed out meanwhile
    this.#calls.delete(id);
    clearTimeout(call.timer);
    if ("error" in response) {
      call.reject(new TunnelFailure(response.error.errno, response.error.detail));
    } else {
      call.resolve(parseResult(call.method, response.result) as never);
    }
  }

  #end(why: string): void {
    if (this.#isClosed) return;
    this.#stream.destroy();
    if (this.#goaway) this.#finish(true, this.#goaway.detail, this.#goaway.errno);
    else this.#finish(false, why);
  }

  #finish(clean: boolean, why: string, errno?: string): void {
    this.#isClosed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const { reject, timer } of this.#calls.values()) {
      clearTimeout(timer);
      reject(new TunnelFailure("ECONNRESET", why));
    }
    this.#calls.clear();
    this.#mux.abort("ECONNRESET", why);
    this.#resolveClosed({ clean, why, ...(errno === undefined ? {} : { errno }) });
  }
}

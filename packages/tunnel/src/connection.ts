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
import { AGENT_TIMEOUT_MS, greetAgent, greetSession } from "./hello.ts";

const TICK_MS = 5000;
const TICKS_PER_PING = 2;
/**
 * 25 s. Counted in ticks and not by the clock: after a stopped process is continued (Ctrl-Z, a closed laptop) its timers
 * run before it reads what has arrived meanwhile.
 */
const DEAD_AFTER_TICKS = 5;
/** The first answers tune the windows: they should not wait for ten seconds. */
const FIRST_PINGS_MS = [200, 1000] as const;
/** How long a peer may take to read why the tunnel is closed. */
const LINGER_MS = 2000;
const CALL_TIMEOUT_MS = 30_000;
/** Bytes handed to the link at once: what lies there is in front of every frame that comes later. */
const BATCH_BYTES = 128 * 1024;
/** Up to so many streams a write goes out in the same tick; beyond, gathering saves system calls. */
const FEW_STREAMS = 8;
/** Requests that an agent's end works on at once; the next ones fail with EAGAIN. */
const MAX_REQUESTS = 1024;

/**
 * The session's end, once the agent has accepted the session's key.
 * @throws TunnelFailure EACCES for a key that it does not know, and see greetAgent
 */
export async function connectTunnel(
  stream: Duplex,
  options: SessionCredentials & { readonly handlers: TunnelHandlers },
): Promise<Tunnel> {
  try {
    const agent = await greetAgent(stream, options);
    const connection = new Connection("session", stream, agent, options.handlers);
    await connection.accepted();
    return connection;
  } catch (error) {
    stream.destroy();
    throw asFailure(error);
  }
}

/** The agent's end. @throws TunnelFailure, see greetSession */
export async function acceptTunnel(
  stream: Duplex,
  options: AgentCredentials & {
    readonly handlers: (hello: SessionHello) => TunnelHandlers;
    /** Of what waits here in each direction; undefined: the usual. */
    readonly bufferBudgetBytes?: number | undefined;
  },
): Promise<Tunnel> {
  try {
    const hello = await greetSession(stream, options);
    const { bufferBudgetBytes } = options;
    return new Connection("agent", stream, hello, options.handlers(hello), bufferBudgetBytes);
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

/** The errno of a GOAWAY that nothing was wrong with. */
const CLEAN = "ECANCELED";

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
  #ticks = 0;
  #silentTicks = 0;
  #goaway: WireError | undefined;
  #isClosed = false;
  readonly #timers: NodeJS.Timeout[] = [];
  #resolveClosed: (why: Awaited<Tunnel["closed"]>) => void = () => {};
  #resolveAnswered: () => void = () => {};
  readonly #answeredPing: Promise<void>;

  constructor(
    side: "session" | "agent",
    stream: Duplex,
    peer: AgentHello | SessionHello,
    handlers: TunnelHandlers,
    bufferBudgetBytes?: number,
  ) {
    this.peer = peer;
    this.#stream = stream;
    this.#handlers = handlers;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#answeredPing = new Promise((resolve) => {
      this.#resolveAnswered = resolve;
    });
    this.#mux = new Mux({
      side,
      bufferBudgetBytes,
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
        onPong: () => this.#resolveAnswered(),
        // Not from inside a call of the session's or the agent's.
        onOverrun: () =>
          setImmediate(() => this.#end("the other end does not read what it asks for")),
      },
    });
    stream.on("data", (chunk: Buffer) => this.#received(chunk));
    stream.resume(); // also one that its owner had paused
    stream.on("drain", () => {
      this.#mux.isCongested = false;
      this.#flush();
    });
    stream.on("end", () => this.#end("the other end has closed the tunnel"));
    stream.on("close", () => this.#end("the connection was lost"));
    stream.on("error", (error) => this.#end(error.message));
    for (const delay of FIRST_PINGS_MS)
      this.#timers.push(setTimeout(() => this.#mux.ping(), delay));
    this.#timers.push(setInterval(() => this.#tick(), TICK_MS));
    for (const timer of this.#timers) timer.unref();
    this.#mux.ping();
    // What ended while the greeting was checked tells nobody any more.
    if (stream.destroyed) this.#end("the connection was lost");
  }

  /** Resolves with the first answer of the agent. @throws TunnelFailure why it has refused the session */
  async accepted(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, AGENT_TIMEOUT_MS);
    });
    const end = await Promise.race([this.#answeredPing, this.closed, late]);
    clearTimeout(timer);
    if (end) throw new TunnelFailure(this.#goaway?.errno ?? "ECONNRESET", end.why);
    if (this.#mux.rttMs !== undefined) return;
    const why = `the agent has not answered within ${AGENT_TIMEOUT_MS / 1000} s`;
    this.#end(why);
    throw new TunnelFailure("ETIMEDOUT", why);
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
      try {
        this.#mux.request(id, method, params);
      } catch (error) {
        clearTimeout(timer);
        this.#calls.delete(id);
        reject(new TunnelFailure("EMSGSIZE", String(error)));
      }
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
    this.#leave({ errno: CLEAN, detail: reason });
    this.#finish(true, reason);
  }

  /** Hands the link all that may still be sent, and why there is no more. */
  #leave(why: WireError): void {
    this.#mux.goaway(why);
    while (this.#mux.hasMore) {
      for (const chunk of this.#mux.take(BATCH_BYTES).chunks) this.#stream.write(chunk);
    }
    this.#stream.end();
    setTimeout(() => this.#stream.destroy(), LINGER_MS).unref();
  }

  #received(chunk: Buffer): void {
    this.#silentTicks = 0;
    if (this.#isClosed) return;
    try {
      this.#mux.receive(chunk);
    } catch (error) {
      if (!(error instanceof ProtocolError)) {
        this.#end("a failure of our own");
        throw error;
      }
      const why = `the other end broke the protocol: ${error.message}`;
      if (this.#isClosed) return;
      this.#leave({ errno: "EPROTO", detail: why });
      this.#finish(false, why);
    }
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isClosed || this.#mux.isCongested) return;
    this.#isScheduled = true;
    const flush = (): void => {
      this.#isScheduled = false;
      this.#flush();
    };
    if (this.#mux.streamCount > FEW_STREAMS) setImmediate(flush);
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
    this.#ticks++;
    this.#silentTicks++;
    if (this.#silentTicks > DEAD_AFTER_TICKS) this.#end("nothing was heard for 25 s");
    else if (this.#ticks % TICKS_PER_PING === 0) this.#mux.ping();
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
    if (this.#isClosed) return;
    try {
      this.#mux.respond(id, response);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#mux.respond(id, { error: { errno: "EMSGSIZE", detail: "the answer is too long" } });
    }
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
      let result: unknown;
      try {
        result = parseResult(call.method, response.result);
      } catch (error) {
        call.reject(new TunnelFailure("EPROTO", `not an answer to ${call.method}`));
        throw error;
      }
      call.resolve(result as never);
    }
  }

  #end(why: string): void {
    if (this.#isClosed) return;
    this.#stream.destroy();
    this.#finish(this.#goaway?.errno === CLEAN, this.#goaway?.detail ?? why);
  }

  #finish(clean: boolean, why: string): void {
    this.#isClosed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const { reject, timer } of this.#calls.values()) {
      clearTimeout(timer);
      reject(new TunnelFailure("ECONNRESET", why));
    }
    this.#calls.clear();
    this.#mux.abort("ECONNRESET", why);
    const errno = this.#goaway?.errno;
    this.#resolveClosed({ clean, why, ...(clean || errno === undefined ? {} : { errno }) });
  }
}

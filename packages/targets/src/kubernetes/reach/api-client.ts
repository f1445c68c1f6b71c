/**
 * The few requests that a session makes of the API server. Not @kubernetes/client-node's: it opens
 * a new TLS connection for every request, and cannot follow a signal. Types and login are its own.
 */
import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
} from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { UserError } from "@inpod/protocol";
import { type ApiCall, ApiError, notKubernetes, unreachable } from "./api-errors.ts";
import type { Access, Credentials } from "./kubeconfig.ts";
import { proxyAgent, proxyName, proxyRefused } from "./proxy.ts";
import { isWorthRetrying, type Retry, retryDelayMs } from "./retry.ts";
import type { Purpose } from "./roles.ts";

/** Until the head of an answer has come, TLS included. */
const ANSWER_TIMEOUT_MS = 10_000;
const WATCH_KEEPALIVE_MS = 30_000;
/** A list of some thousand names; a Status is 1 KB. */
const MAX_BODY = 16 * 1024 * 1024;
/** One object: etcd takes 1.5 MiB. */
const MAX_WATCH_LINE = 4 * 1024 * 1024;

const METHODS: Readonly<Record<ApiCall["verb"], string>> = {
  get: "GET",
  list: "GET",
  watch: "GET",
  create: "POST",
  update: "PUT",
  patch: "PATCH",
  delete: "DELETE",
};

export interface RequestExtras {
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Of the body; undefined: JSON, and a JSON Merge Patch (RFC 7386) where the verb is patch. */
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal | undefined;
}

export interface WatchEvent<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: T;
}

/** Bytes that belong to an upgraded connection, and what came with its answer. */
export interface Upgraded {
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly headers: IncomingMessage["headers"];
  readonly isEncrypted: boolean;
}

export class ApiClient {
  readonly #access: Access;
  readonly #purposes: readonly Purpose[];
  readonly #retry: () => Retry | undefined;
  /** Kept open between requests: a TLS handshake is two round trips and the server's signature. */
  readonly #agent: HttpAgent;

  /** The API server's clock less ours, milliseconds, as its last answer had it (RFC 9110, Date: to the second). */
  #clockAheadMs = 0;

  /**
   * @param purposes what it is used for: a refusal names all the rights for it
   * @param retry asked when a request has failed; undefined: it is not tried again
   */
  constructor(
    access: Access,
    purposes: readonly Purpose[] = [],
    retry: () => Retry | undefined = () => undefined,
  ) {
    this.#access = access;
    this.#purposes = purposes;
    this.#retry = retry;
    this.#agent = access.proxy
      ? proxyAgent(access.proxy)
      : access.server.protocol === "https:"
        ? new HttpsAgent({ keepAlive: true })
        : new HttpAgent({ keepAlive: true });
  }

  /** Milliseconds since the epoch, by the API server's clock once it has answered: the cluster's times are its own. */
  nowMs(): number {
    return Date.now() + this.#clockAheadMs;
  }

  /** Closes idle connections; what is under way ends by its own signal. */
  close(): void {
    this.#agent.destroy();
  }

  /** @throws ApiError, UserError when there is no answer (after the tries of `retry`), the signal's reason */
  async request<T>(call: ApiCall, extras: RequestExtras = {}): Promise<T> {
    return this.#parsed<T>(await this.requestText(call, extras));
  }

  /** What answers for the API server (a login page, a proxy) need not speak JSON. */
  #parsed<T>(text: string): T {
    try {
      return JSON.parse(text) as T;
    } catch (error) {
      const { server, contextName } = this.#access;
      throw notKubernetes(server, contextName, text, error);
    }
  }

  /** The body as it is: a log. */
  async requestText(call: ApiCall, extras: RequestExtras = {}): Promise<string> {
    for (let failed = 1; ; failed++) {
      try {
        return await this.#guard(extras.signal, async (attempt) => {
          const response = await this.#send(call, extras, attempt);
          return (await readBody(response)).toString();
        });
      } catch (error) {
        const retry = this.#retry();
        const delayMs = retry && retryDelayMs(retry, failed);
        if (delayMs === undefined || !isWorthRetrying(error, call.verb)) throw error;
        await pause(delayMs, undefined, { signal: extras.signal }).catch(() => {});
        extras.signal?.throwIfAborted();
      }
    }
  }

  /** @param path a URL that is no resource, as RBAC calls it: "/version" */
  async nonResource(path: string, signal?: AbortSignal): Promise<string> {
    const call: ApiCall = { verb: "get", group: "", resource: path };
    return this.#guard(signal, async (attempt) => {
      const response = await this.#send(call, {}, attempt, path);
      return (await readBody(response)).toString();
    });
  }

  /**
   * What is there now, then each change, until the server ends it (it does after some minutes) or
   * the signal is aborted. An ERROR event (410 Gone) is thrown as ApiError.
   */
  async *watch<T>(
    call: ApiCall & { verb: "watch" },
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>> {
    const response = await this.#guard(signal, (attempt) =>
      this.#send(call, { query: { ...query, watch: "1" } }, attempt),
    );
    const stop = () => response.destroy();
    signal.addEventListener("abort", stop);
    // A watch says nothing for minutes, and a machine that slept hears of no end.
    response.socket?.setKeepAlive(true, WATCH_KEEPALIVE_MS);
    try {
      let rest = "";
      response.setEncoding("utf8");
      for await (const chunk of response as AsyncIterable<string>) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        if (rest.length > MAX_WATCH_LINE) throw new Error("a watch event is too long");
        for (const line of lines) {
          if (line === "") continue;
          const event = this.#parsed<WatchEvent<T>>(line);
          if (event.type === "ERROR") {
            const { code = 500, message = "" } = event.object as StatusBody;
            throw new ApiError(call, code, message);
          }
          yield event;
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      signal.removeEventListener("abort", stop);
      response.destroy();
    }
  }

  /** @throws as request() does; an answer without an upgrade is an ApiError */
  async upgrade(
    call: ApiCall,
    query: Readonly<Record<string, string>>,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Upgraded> {
    return this.#guard(signal, (attempt) => {
      const request = this.#open(call, pathOf(call), { query }, headers, attempt);
      return new Promise<Upgraded>((resolve, reject) => {
        request.on("error", (error) => reject(this.#unanswered(error, attempt.signal)));
        request.on("response", (response) =>
          failure(call, response, this.#purposes).then(reject, reject),
        );
        request.on("upgrade", (response, socket, head) =>
          resolve({
            socket,
            head,
            headers: response.headers,
            isEncrypted: this.#access.server.protocol === "https:",
          }),
        );
        request.end();
      });
    });
  }

  /** Logs in and runs `work`; once more where the API server wants another login and there is one. */
  async #guard<T>(
    signal: AbortSignal | undefined,
    work: (attempt: Attempt) => Promise<T>,
  ): Promise<T> {
    // Without a deadline of ours: a login program may ask its user, and has its own.
    const credentials = await this.#access.credentials(signal);
    try {
      return await this.#inTime(signal, (guarded) => work({ credentials, signal: guarded }));
    } catch (error) {
      // A token can be taken back before the time that it was given for.
      const isRefused = error instanceof ApiError && error.status === 401;
      if (!isRefused || !this.#access.forgetLogin()) throw error;
    }
    const renewed = await this.#access.credentials(signal);
    return this.#inTime(signal, (guarded) => work({ credentials: renewed, signal: guarded }));
  }

  /** Runs `work` with a signal that also fires when the answer is too late. */
  async #inTime<T>(
    signal: AbortSignal | undefined,
    work: (guarded: AbortSignal) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    const guarded = new AbortController();
    const stop = () => guarded.abort(signal?.reason);
    signal?.addEventListener("abort", stop);
    const timer = setTimeout(
      () => guarded.abort(new AnswerTimeout(`no answer within ${ANSWER_TIMEOUT_MS / 1000} s`)),
      ANSWER_TIMEOUT_MS,
    );
    try {
      return await work(guarded.signal);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  async #send(
    call: ApiCall,
    extras: RequestExtras,
    attempt: Attempt,
    path = pathOf(call),
  ): Promise<IncomingMessage> {
    const text = extras.body === undefined ? undefined : JSON.stringify(extras.body);
    const request = this.#open(
      call,
      path,
      extras,
      {
        Accept: extras.accept ?? "application/json",
        ...(text === undefined
          ? {}
          : {
              "Content-Type":
                extras.contentType ??
                (call.verb === "patch" ? "application/merge-patch+json" : "application/json"),
              "Content-Length": String(Buffer.byteLength(text)),
            }),
      },
      attempt,
    );
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.on("error", (error) => reject(this.#unanswered(error, attempt.signal)));
      request.on("response", resolve);
      request.end(text);
    });
    const dateMs = Date.parse(response.headers.date ?? "");
    if (!Number.isNaN(dateMs)) this.#clockAheadMs = dateMs - Date.now();
    if ((response.statusCode ?? 0) >= 300) throw await failure(call, response, this.#purposes);
    return response;
  }

  #open(
    call: ApiCall,
    path: string,
    extras: RequestExtras,
    headers: Readonly<Record<string, string>>,
    { credentials, signal }: Attempt,
  ): ClientRequest {
    const { server, proxy } = this.#access;
    const url = new URL(server.href);
    url.pathname = server.pathname.replace(/\/$/, "") + path;
    url.search = new URLSearchParams(extras.query).toString();
    const send = server.protocol === "https:" ? httpsRequest : httpRequest;
    const request = send(url, {
      ...credentials.tls,
      method: METHODS[call.verb],
      agent: this.#agent,
      headers: { "User-Agent": "inpod", ...credentials.headers, ...headers },
      signal,
    });
    // What a proxy answers in place of a connection would look like the API server's answer.
    request.once("proxyConnect", ({ statusCode, statusText }: ProxyAnswer) => {
      if (proxy !== undefined && statusCode !== 200)
        request.destroy(proxyRefused(proxy, server, statusCode, statusText));
    });
    return request;
  }

  #unanswered(error: unknown, signal: AbortSignal): unknown {
    if (error instanceof UserError) return error;
    const why = signal.aborted ? signal.reason : error;
    if (signal.aborted && !(why instanceof AnswerTimeout)) return why;
    const { server, contextName, proxy } = this.#access;
    return unreachable(server, contextName, why, proxy && proxyName(proxy));
  }
}

class AnswerTimeout extends Error {}

/** One try of a request. */
interface Attempt {
  readonly credentials: Credentials;
  readonly signal: AbortSignal;
}

/** of https-proxy-agent's event */
interface ProxyAnswer {
  readonly statusCode: number;
  readonly statusText: string;
}

interface StatusBody {
  readonly code?: number;
  readonly message?: string;
}

function pathOf(call: ApiCall): string {
  const { group, version = "v1", resource, subresource, namespace, name } = call;
  const parts = group === "" ? ["api", version] : ["apis", group, version];
  if (namespace !== undefined) parts.push("namespaces", namespace);
  parts.push(resource);
  if (name !== undefined) parts.push(name);
  if (subresource !== undefined) parts.push(subresource);
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

async function readBody(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY) throw new Error(`an answer of more than ${MAX_BODY} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The Status of an answer, or what a proxy in between wrote in its place. */
async function failure(
  call: ApiCall,
  response: IncomingMessage,
  purposes: readonly Purpose[],
): Promise<ApiError> {
  const text = (await readBody(response)).toString();
  let message: string | undefined;
  try {
    message = (JSON.parse(text) as StatusBody).message;
  } catch {
    // Not a Status: the text itself says most.
  }
  const status = response.statusCode ?? 0;
  const words = message || text.slice(0, 500).trim() || `HTTP ${status}`;
  return new ApiError(call, status, words, purposes);
}

/** Commands the process in the client's network namespace (client/client.js) over JSON lines. */
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";

export interface ClientAddress {
  readonly address: string;
  readonly port: number;
}

export interface ClientRequest {
  /** IP literal; default: the pod's address. The client has no name server. */
  readonly host?: string;
  readonly port?: number;
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Requests with the same name go over one kept-alive connection, one after another; without a name: a new one. */
  readonly connection?: string;
  readonly timeoutMs?: number;
}

export interface ClientResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** The client's own end of the connection: what the answering side should see as its peer. */
  readonly local: ClientAddress;
  /** The request went over a connection that had served another before. */
  readonly isReused: boolean;
}

/** An open TCP connection of the client. Text is latin1: one char a byte. */
export interface ClientConnection {
  readonly local: ClientAddress;
  send(text: string): Promise<void>;
  /** Exactly `bytes` bytes, fewer only where the stream ended; without: all until its end. */
  receive(bytes?: number): Promise<string>;
  /** FIN; receiving goes on. */
  end(): Promise<void>;
  /** Closes it; `isReset`: by a RST. */
  close(isReset?: boolean): Promise<void>;
}

/** What failed in the client: `code` is the errno's name, ETIMEDOUT also for our own deadlines. */
export class ClientError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const DEFAULT_TIMEOUT_MS = 30_000;
/** On top of the client's own deadline, for a client that has died or hangs. */
const ANSWER_SLACK_MS = 10_000;

type Parameters = { readonly timeoutMs: number; readonly [name: string]: unknown };
type Pending = {
  /** Whose call it was: what comes back later has no stack of its own. */
  readonly asked: Error;
  resolve(result: unknown): void;
  reject(error: Error): void;
};

export class ClientControl {
  readonly #stream: Duplex;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  constructor(stream: Duplex) {
    this.#stream = stream;
    createInterface(stream).on("line", (line) => this.#onLine(line));
    const onGone = (): void => {
      for (const { reject } of this.#pending.values()) {
        reject(new ClientError("EPIPE", "the sandbox has ended"));
      }
      this.#pending.clear();
    };
    stream.on("error", onGone);
    stream.on("close", onGone);
  }

  request(request: ClientRequest, host: string, port: number): Promise<ClientResponse> {
    const timeoutMs = request.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const parameters = { host, port, path: "/", method: "GET", ...request, timeoutMs };
    return this.#command<ClientResponse>("request", parameters);
  }

  async connect(
    host: string,
    port: number,
    timeoutMs = DEFAULT_TIMEOUT_MS,
  ): Promise<ClientConnection> {
    type Opened = { connection: number; local: ClientAddress };
    const { connection, local } = await this.#command<Opened>("open", { host, port, timeoutMs });
    const command = <T>(kind: string, parameters: object): Promise<T> =>
      this.#command<T>(kind, { connection, timeoutMs, ...parameters });
    return {
      local,
      send: async (text) => command("send", { text }),
      receive: async (bytes) => (await command<{ text: string }>("receive", { bytes })).text,
      end: async () => command("end", {}),
      close: async (isReset = false) => command("close", { isReset }),
    };
  }

  #command<T>(kind: string, parameters: Parameters): Promise<T> {
    this.#lastId += 1;
    const id = this.#lastId;
    const asked = new Error(kind);
    return new Promise<T>((resolve, reject) => {
      const late = (): void => {
        this.#pending.delete(id);
        reject(new ClientError("ETIMEDOUT", `the sandbox's client did not answer "${kind}"`));
      };
      const deadline = setTimeout(late, parameters.timeoutMs + ANSWER_SLACK_MS);
      this.#pending.set(id, {
        asked,
        resolve: (result) => {
          clearTimeout(deadline);
          resolve(result as T);
        },
        reject: (error) => {
          clearTimeout(deadline);
          reject(error);
        },
      });
      this.#stream.write(`${JSON.stringify({ id, kind, ...parameters })}\n`);
    });
  }

  #onLine(line: string): void {
    const answer = JSON.parse(line) as {
      readonly id: number;
      readonly result?: unknown;
      readonly error?: { readonly code: string; readonly message: string };
    };
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if (answer.error === undefined) pending?.resolve(answer.result);
    else {
      const error = new ClientError(answer.error.code, answer.error.message);
      error.stack = `${error.stack}\nasked for: ${pending?.asked.stack}`;
      pending?.reject(error);
    }
  }
}

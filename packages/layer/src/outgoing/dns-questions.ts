/** The program's questions to the pod's name servers, where a filter says that some names are this machine's. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { Endpoint } from "@inpod/protocol";
import { questionIn, type Session } from "@inpod/session";
import type { Decision } from "../config.ts";
import { isSameAddress, parseAddress } from "../rules/addresses.ts";
import type { DnsDecision } from "../rules/dns.ts";
import { answerLocally, answerNotFound } from "./dns-local.ts";

const DNS_PORT = 53;
/** Being answered here at once; more are not, and are asked again. */
const MAX_OPEN = 256;
/** Of one connection: questions that are not on their way, and answers that are not taken. Then it is not read further. */
const MAX_HELD = 64;
/** RFC 7766 has it up to the server; glibc ends the connection itself. */
const STREAM_IDLE_MS = 10_000;

export interface DnsQuestionsParts {
  readonly session: Session;
  readonly nameservers: readonly string[];
  readonly decide: (name: string) => DnsDecision;
  /** Told of each question. */
  readonly decided: (decision: Decision) => void;
}

export class DnsQuestions {
  readonly #parts: DnsQuestionsParts;
  #open = 0;
  /** By the address for which each stands; as many as the pod has name servers. */
  readonly #servers = new Map<string, Promise<Server>>();

  constructor(parts: DnsQuestionsParts) {
    this.#parts = parts;
  }

  isNameServer({ address, port }: Endpoint): boolean {
    const asked = parseAddress(address);
    return (
      port === DNS_PORT &&
      asked !== undefined &&
      this.#parts.nameservers.some((server) => {
        const known = parseAddress(server);
        return known !== undefined && isSameAddress(known, asked);
      })
    );
  }

  /** "remote": it is for the pod's server. Else what answers it here; undefined: nothing does. */
  take(message: Buffer): "remote" | Promise<Buffer | undefined> {
    const question = questionIn(message);
    if (question === undefined || question.isAnswer) return "remote";
    const { verdict, why, key } = this.#parts.decide(question.name);
    this.#parts.decided({ call: "dns", subject: question.name, verdict, why, key });
    if (verdict === "remote") return "remote";
    if (verdict === "not-found") return Promise.resolve(answerNotFound(message));
    if (this.#open >= MAX_OPEN) return Promise.resolve(undefined);
    this.#open++;
    return answerLocally(message).finally(() => this.#open--);
  }

  /** Of a server on loopback that stands for the pod's, over TCP. */
  async portFor(to: Endpoint): Promise<number> {
    let server = this.#servers.get(to.address);
    if (!server) {
      server = this.#serve(to);
      this.#servers.set(to.address, server);
    }
    return ((await server).address() as AddressInfo).port;
  }

  close(): void {
    for (const server of this.#servers.values())
      server.then(
        (one) => one.close(),
        () => {},
      );
  }

  async #serve(to: Endpoint): Promise<Server> {
    const server = createServer((socket) => this.#stream(socket, to));
    server.unref();
    server.listen({ host: "127.0.0.1", port: 0 });
    await once(server, "listening");
    return server;
  }

  /** RFC 1035, 4.2.2: each message has its length before it. */
  #stream(socket: Socket, to: Endpoint): void {
    let pending = Buffer.alloc(0);
    let upstream: ReturnType<Session["connectTcp"]> | undefined;
    /** What the tunnel has no room for. */
    const waiting: (() => void)[] = [];
    socket.setTimeout(STREAM_IDLE_MS, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    socket.on("close", () =>
      upstream?.then(
        ({ channel }) => channel.end(),
        () => {},
      ),
    );
    let held = 0;
    const done = (): void => {
      if (--held < MAX_HELD) socket.resume();
    };
    const forward = (framed: Buffer): void => {
      upstream ??= this.#upstream(socket, to, () => {
        for (const each of waiting.splice(0)) each();
      });
      upstream.then(
        ({ channel }) => {
          if (channel.write(framed)) done();
          else waiting.push(done);
        },
        () => socket.destroy(),
      );
    };
    socket.on("data", (bytes: Buffer) => {
      pending = Buffer.concat([pending, bytes]);
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
        const end = 2 + pending.readUInt16BE(0);
        const framed = pending.subarray(0, end);
        pending = pending.subarray(end);
        const taken = this.take(framed.subarray(2));
        if (++held >= MAX_HELD) socket.pause();
        if (taken === "remote") forward(framed);
        else
          void taken.then((reply) => {
            if (reply === undefined || !socket.writable) {
              done();
              return;
            }
            const length = Buffer.alloc(2);
            length.writeUInt16BE(reply.length);
            socket.write(Buffer.concat([length, reply]), done);
          });
      }
    });
  }

  async #upstream(
    socket: Socket,
    to: Endpoint,
    onDrain: () => void,
  ): ReturnType<Session["connectTcp"]> {
    const connected = await this.#parts.session.connectTcp(to.address, to.port);
    const { channel } = connected;
    // The answer to one question is small; the sender's credit is its limit.
    channel.onData = (bytes) => socket.write(bytes, () => channel.consumed(bytes.length));
    channel.onDrain = onDrain;
    channel.onEnd = () => socket.end();
    channel.onReset = () => socket.destroy();
    return connected;
  }
}

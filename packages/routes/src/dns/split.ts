/** The name server that this machine has while it is connected: the cluster's names from the cluster, all others as before. */
import type { Socket } from "node:net";
import { addressesIn, type DnsQuestion, query, questionIn, resetSocket } from "@inpod/session";
import type { Subnet } from "../plan/subnets.ts";
import { MessageCutter, type NameServers, withLength } from "./ask.ts";
import { type ClusterNames, whose } from "./decide.ts";
import { answerTo, RCODE } from "./messages.ts";

export interface SplitParts {
  readonly names: ClusterNames;
  readonly cluster: NameServers;
  readonly former: NameServers;
  readonly routes: readonly Subnet[];
}

const MAX_TCP_BYTES = 0xffff;
const IDLE_MS = 30_000;
/** Of one client's connection: questions whose answers it has not taken. More of them wait in its own socket. */
const MAX_ASKED = 32;
/** Connections at once; a program has one for a question whose answer is too long for a datagram. */
const MAX_CLIENTS = 256;
/** Of all: each holds a socket for as long as three servers say nothing. */
const MAX_UNDER_WAY = 1024;

export class SplitDns {
  readonly #parts: SplitParts;
  #underWay = 0;
  #clients = 0;

  constructor(parts: SplitParts) {
    this.#parts = parts;
  }

  /** Undefined: it was no question. */
  async answer(message: Uint8Array, isTcp: boolean): Promise<Uint8Array | undefined> {
    const question = questionIn(message);
    if (question === undefined || question.isAnswer) return undefined;
    if (this.#underWay >= MAX_UNDER_WAY) return answerTo(message, RCODE.servfail);
    this.#underWay++;
    try {
      return await this.#ask(message, question, isTcp);
    } finally {
      this.#underWay--;
    }
  }

  async #ask(
    message: Uint8Array,
    question: DnsQuestion,
    isTcp: boolean,
  ): Promise<Uint8Array | undefined> {
    const { names, routes, cluster, former } = this.#parts;
    const verdict = whose(question.name, names, routes);
    switch (verdict.kind) {
      case "cluster":
        return (await cluster.ask(message, isTcp)) ?? answerTo(message, RCODE.servfail);
      case "short":
        return this.#short(message, verdict.full, question.type, isTcp);
      case "former":
        return (await former.ask(message, isTcp)) ?? answerTo(message, RCODE.servfail);
      case "former-then-short": {
        const reply = await former.ask(message, isTcp);
        const rcode = reply && questionIn(reply)?.rcode;
        if (reply !== undefined && rcode !== RCODE.nxdomain) return reply;
        const short = await this.#short(message, verdict.full, question.type, isTcp);
        // Where the cluster does not know it either, what was said before counts.
        const isKnown = short !== undefined && questionIn(short)?.rcode === RCODE.ok;
        return isKnown ? short : (reply ?? answerTo(message, RCODE.servfail));
      }
    }
  }

  /** Only addresses: records of other types have names in them that would have to be rewritten. */
  async #short(
    message: Uint8Array,
    full: string,
    type: number,
    isTcp: boolean,
  ): Promise<Uint8Array | undefined> {
    const id = ((message[0] ?? 0) << 8) | (message[1] ?? 0);
    let asked: Uint8Array;
    try {
      asked = query(id, full, type);
    } catch {
      return answerTo(message, RCODE.nxdomain); // too long
    }
    const reply = await this.#parts.cluster.ask(asked, isTcp);
    const rcode = (reply && questionIn(reply)?.rcode) ?? RCODE.servfail;
    const records = reply === undefined ? [] : addressesIn(reply);
    return isTcp
      ? answerTo(message, rcode, records, MAX_TCP_BYTES)
      : answerTo(message, rcode, records);
  }

  /**
   * DNS over TCP (RFC 7766): several questions on one connection, answered as they come. Who does not take the answers is
   * not asked for further questions, and ends when nothing has moved for half a minute.
   */
  serve(socket: Socket): void {
    socket.on("error", () => {});
    if (this.#clients >= MAX_CLIENTS) {
      resetSocket(socket);
      return;
    }
    this.#clients++;
    socket.once("close", () => {
      this.#clients--;
    });
    const cutter = new MessageCutter();
    const waiting: Uint8Array[] = [];
    let asked = 0;
    let hasEnded = false;
    const taken = (): void => {
      asked--;
      next();
    };
    const next = (): void => {
      while (asked < MAX_ASKED && !socket.destroyed) {
        const message = waiting.shift();
        if (message === undefined) break;
        asked++;
        void this.answer(message, true).then((reply) => {
          if (reply !== undefined && socket.writable) socket.write(withLength(reply), taken);
          else taken();
        });
      }
      if (waiting.length > 0) socket.pause();
      else if (hasEnded && asked === 0) socket.end();
      else socket.resume();
    };
    socket.setTimeout(IDLE_MS, () => resetSocket(socket));
    socket.on("data", (bytes: Buffer) => {
      waiting.push(...cutter.take(bytes));
      next();
    });
    socket.on("end", () => {
      hasEnded = true; // what came before it is answered
      next();
    });
    socket.resume();
  }
}

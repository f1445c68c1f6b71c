/** Our end of the control socket: what Node asks of its privileged parent. */

import { isIPv4 } from "node:net";
import type { Duplex } from "node:stream";
import type { Endpoint, TargetDescription } from "@inpod/protocol";
import { Exchange } from "../exchange.ts";
import { errnoName, Failure } from "../failure.ts";
import type { Flushed, FlushRules } from "../incoming/take-over.ts";
import type { Capture } from "../mirror/mirror.ts";
import type { UdpCapture } from "../mirror/udp.ts";
import {
  type EnterEvent,
  encodeContainerRequest,
  encodeOtherEndRequest,
  encodePassRequest,
  encodeRequest,
  type Operation,
  type Passing,
  parseAnswer,
  parseDescription,
  parseEvent,
  parseFlushed,
  parseOtherEnd,
  type Tracked,
  UDP,
} from "./messages.ts";

/** enter gives nft 5 s per batch, and the first steal may take three. */
const TIMEOUT_MS = 20_000;

/** What stealing needs of enter. Each rejects with a Failure; afterwards the rules are those from before. */
export interface Rules extends FlushRules {
  /** New connections to `port` go to `relayPort`, on which we listen. */
  steal(port: number, relayPort: number): Promise<void>;
  /** New connections reach the pod; open ones live on until drained(). Idempotent. */
  release(port: number): Promise<void>;
  /** Before we connect to a stolen port for a client; EOPNOTSUPP: not with the client's address here. */
  pass(passing: Passing): Promise<void>;
  /** After that connection stands, or has failed. */
  passed(passing: Passing): Promise<void>;
  /**
   * By what the client has sent: whom it reaches. By what the socket that accepted it knows: whom it was for.
   * ENOENT: the kernel does not track it, so nobody has redirected it. ENODATA: nor any other here.
   */
  otherEnd(tracked: Tracked): Promise<Endpoint>;
  /** No stolen connection is open any more. EBUSY while a port is stolen. */
  drained(): Promise<void>;
}

/** The same for UDP ports, where each datagram follows the rules of its moment. */
export interface UdpRules {
  stealUdp(port: number, relayPort: number): Promise<void>;
  releaseUdp(port: number): Promise<void>;
  drained(): Promise<void>;
}

export class Enter implements Rules, UdpRules, Capture, UdpCapture {
  readonly #exchange: Exchange;
  onEvent: ((event: EnterEvent) => void) | undefined;

  constructor(socket: Duplex) {
    this.#exchange = new Exchange(socket, "enter", 1024);
    this.#exchange.onEvent = (message) => {
      const event = parseEvent(message);
      if (event) this.onEvent?.(event);
    };
  }

  async describe(): Promise<TargetDescription> {
    return parseDescription(await this.#ask("describe"));
  }

  async steal(port: number, relayPort: number): Promise<void> {
    await this.#ask("steal", port, relayPort);
  }

  async release(port: number): Promise<void> {
    await this.#ask("release", port);
  }

  async stealUdp(port: number, relayPort: number): Promise<void> {
    await this.#ask("stealUdp", port, relayPort);
  }

  async releaseUdp(port: number): Promise<void> {
    await this.#ask("releaseUdp", port);
  }

  async pass(passing: Passing): Promise<void> {
    await this.#send("pass", (id) => encodePassRequest("pass", id, passing));
  }

  async passed(passing: Passing): Promise<void> {
    await this.#send("passed", (id) => encodePassRequest("passed", id, passing));
  }

  async flush(port: number, which: "idle" | "all"): Promise<Flushed> {
    return parseFlushed(await this.#ask("flush", port, which === "all" ? 1 : 0));
  }

  async otherEnd(tracked: Tracked): Promise<Endpoint> {
    const payload = await this.#send("otherEnd", (id) => encodeOtherEndRequest(id, tracked));
    return parseOtherEnd(payload, isIPv4(tracked.client.address));
  }

  async drained(): Promise<void> {
    await this.#ask("drained");
  }

  async mirror(port: number): Promise<void> {
    await this.#ask("mirror", port);
  }

  async unmirror(port: number): Promise<void> {
    await this.#ask("unmirror", port);
  }

  async mirrorUdp(port: number): Promise<void> {
    await this.#send("mirror", (id) => encodeRequest("mirror", id, port, 0, UDP));
  }

  async unmirrorUdp(port: number): Promise<void> {
    await this.#send("unmirror", (id) => encodeRequest("unmirror", id, port, 0, UDP));
  }

  /**
   * The target's container was started again, as this one. Idempotent.
   *
   * ESRCH: there is no process of it (yet); EBUSY: the one before still runs; ESTALE: it is not in the network
   * that was joined; EPERM: a target without a pod has no other life.
   */
  async container(id: string): Promise<void> {
    await this.#send("container", (requestId) => encodeContainerRequest(requestId, id));
  }

  #ask(operation: Operation, port?: number, relayPort?: number): Promise<Buffer> {
    return this.#send(operation, (id) => encodeRequest(operation, id, port, relayPort));
  }

  async #send(operation: Operation, encode: (id: number) => Buffer): Promise<Buffer> {
    const message = await this.#exchange.ask(encode, TIMEOUT_MS);
    const { errno, payload } = parseAnswer(message);
    if (errno === 0) return payload;
    throw new Failure(errnoName(errno), payload.toString("latin1") || `${operation} failed`);
  }
}

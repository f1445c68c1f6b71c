/**
 * Taking a port in our own pod: whoever leads traffic here (a Service's selector) is the redirection, so there are no
 * rules and no rights are needed. What nobody takes goes to an origin, if there is one.
 */
import type { Socket } from "node:net";
import type { Rules } from "../control/enter.ts";
import { Failure } from "../failure.ts";
import { established } from "./established.ts";

/** Through the cluster's network. */
const TIMEOUT_MS = 10_000;

export class OwnPorts implements Rules {
  readonly #origin: string | undefined;

  /** @param origin leads to who serves the same ports; undefined: nobody does */
  constructor(origin?: string) {
    this.#origin = origin;
  }

  /** Half-open allowed. Rejects with a Failure or connect(2)'s error. */
  connect(port: number): Promise<Socket> {
    if (this.#origin === undefined)
      return Promise.reject(new Failure("ECONNREFUSED", "nobody serves this port"));
    return established({ host: this.#origin, port }, TIMEOUT_MS, "the origin does not answer");
  }

  async steal(): Promise<void> {}
  async release(): Promise<void> {}
  async pass(): Promise<void> {}
  async passed(): Promise<void> {}
  async drained(): Promise<void> {}

  async otherEnd(): Promise<never> {
    throw new Failure("ENOENT", "nothing is redirected here");
  }

  async flush(): Promise<never> {
    throw new Failure("EOPNOTSUPP", "nothing was connected before");
  }
}

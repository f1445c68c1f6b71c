/**
 * After the first ports are had: does what is sent to the pod's Service arrive? A connection through it tells, or the
 * cluster says why it cannot. Beside the program, within 3 s, and once; nothing depends on it.
 */
import { randomBytes } from "node:crypto";
import type { CanaryResult, PodPort } from "@inpod/protocol";
import type { Session } from "@inpod/session";
import type { Front, TargetServices } from "@inpod/targets";
import { canaryWords, frontWords } from "../text/canary.ts";

/** A program that listens on several ports opens them at once. */
const GATHER_MS = 300;
/** From then on: answers of the cluster, and the connections. */
const CLUSTER_MS = 1200;
const CONNECT_MS = 1200;
/** For what is asked after a failure. */
const POLICIES_MS = 300;
const LEAST_ATTEMPTS = 3;
/** For each pod that may answer in the place of the target. */
const ATTEMPTS_EACH = 6;
const MAX_ATTEMPTS = 48;

export type CanarySession = Pick<Session, "canary">;
type Way = "steal" | "mirror";

export interface CanaryParts {
  /** Undefined: nothing is to be tried. */
  readonly services: TargetServices | undefined;
  /** The pod's probes of ports that are taken are the pod's. */
  readonly keepsProbes: boolean;
  /** One line. */
  readonly say: (line: string) => void;
  /** One that only --verbose wants. */
  readonly detail: (line: string) => void;
}

export class Canary {
  readonly #parts: CanaryParts;
  readonly #ports: number[] = [];
  readonly #over = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #hasRun = false;

  constructor(parts: CanaryParts) {
    this.#parts = parts;
  }

  /** The session has this port from now on. */
  took({ port, protocol }: PodPort, way: Way, session: () => CanarySession | undefined): void {
    const { services } = this.#parts;
    if (services === undefined || this.#hasRun || protocol === "udp") return;
    this.#ports.push(port);
    this.#timer ??= setTimeout(() => {
      this.#hasRun = true;
      void this.#run(services, way, session);
    }, GATHER_MS);
  }

  /** Nothing is said any more. */
  end(): void {
    clearTimeout(this.#timer);
    this.#hasRun = true;
    this.#over.abort();
  }

  async #run(
    services: TargetServices,
    way: Way,
    session: () => CanarySession | undefined,
  ): Promise<void> {
    const say = (line: string): void => {
      if (!this.#over.signal.aborted) this.#parts.say(line);
    };
    const within = (ms: number): AbortSignal =>
      AbortSignal.any([this.#over.signal, AbortSignal.timeout(ms)]);
    try {
      const front = await services.front(this.#ports, within(CLUSTER_MS));
      if (front.kind === "none") this.#parts.detail(front.why);
      else if (front.kind !== "service") say(frontWords(front, this.#parts.keepsProbes));
      else {
        const result = await this.#try(front, way, session());
        if (result === undefined) return;
        const policies =
          result.isProved || result.errno === undefined
            ? []
            : await services.networkPolicies(within(POLICIES_MS)).catch(() => []);
        say(canaryWords(front, result, way, policies));
      }
    } catch (error) {
      if (this.#over.signal.aborted) return;
      const why = error instanceof Error ? error.message : String(error);
      say(`not tried whether the pod's Services lead here: ${why}`);
    }
  }

  async #try(
    front: Extract<Front, { kind: "service" }>,
    way: Way,
    session: CanarySession | undefined,
  ): Promise<CanaryResult | undefined> {
    const { address: host, servicePort, podPort: port, endpoints } = front;
    const nonce = randomBytes(16).toString("hex");
    const attempts = Math.min(Math.max(LEAST_ATTEMPTS, endpoints * ATTEMPTS_EACH), MAX_ATTEMPTS);
    return session?.canary({
      port,
      way,
      host,
      servicePort,
      attempts,
      nonce,
      timeoutMs: CONNECT_MS,
    });
  }
}

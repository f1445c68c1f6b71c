/** Connections that come to nothing: told once for each peer and reason, and when the peer answers again. */
import type { TunnelFailure } from "@inpod/session";

/** Of a lost tunnel the session tells by itself, once for all; a connection's own end is nobody's failure. */
const TOLD_BY_SESSION = new Set(["ECONNRESET", "ECANCELED"]);
/** Peers that are remembered; of those that were told longest ago it is told again. */
const MAX_PEERS = 256;

export class TellFailures {
  readonly #say: (line: string) => void;
  /** By the peer's name: the reason that was told last. */
  readonly #told = new Map<string, string>();

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  failed(name: string, error: TunnelFailure): void {
    const { errno } = error;
    if (this.#told.get(name) === errno || TOLD_BY_SESSION.has(errno)) return;
    // The map's order is that of the telling.
    this.#told.delete(name);
    this.#told.set(name, errno);
    const [oldest] = this.#told.keys();
    if (this.#told.size > MAX_PEERS && oldest !== undefined) this.#told.delete(oldest);
    this.#say(failureLine(name, error));
  }

  /** @returns whether that was told */
  succeeded(name: string): boolean {
    const isNews = this.#told.delete(name);
    if (isNews) this.#say(`${name} answers now`);
    return isNews;
  }
}

function failureLine(name: string, { errno, message }: TunnelFailure): string {
  switch (errno) {
    case "ENOENT":
    case "EAGAIN":
      return `the target does not know ${name}: ${message}`;
    case "ECONNREFUSED":
      return `${name} refuses (${errno}): nobody listens there`;
    case "ETIMEDOUT":
      return `${name} does not answer (${errno})`;
    default:
      return `the target cannot connect to ${name}: ${errno}${message === "" || message === errno ? "" : ` (${message})`}`;
  }
}

/** Connections that come to nothing: the first is told, and when it is another reason, or over. */
import type { TunnelFailure } from "@inpod/session";

/** Of a lost tunnel the session tells by itself, once for all. */
const TOLD_BY_SESSION = new Set(["ECONNRESET", "ECANCELED"]);

export class TellFailures {
  readonly #say: (line: string) => void;
  readonly #name: string;
  #last: string | undefined;

  constructor(say: (line: string) => void, name: string) {
    this.#say = say;
    this.#name = name;
  }

  readonly failed = (error: TunnelFailure): void => {
    if (error.errno === this.#last || TOLD_BY_SESSION.has(error.errno)) return;
    this.#last = error.errno;
    this.#say(failureLine(this.#name, error));
  };

  readonly succeeded = (): void => {
    if (this.#last === undefined) return;
    this.#last = undefined;
    this.#say(`${this.#name} answers now`);
  };
}

export function failureLine(name: string, { errno, message }: TunnelFailure): string {
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

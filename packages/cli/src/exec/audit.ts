/** What others see of a session in the cluster: when it began, what it took, when it ended. */
import type { PodPort } from "@inpod/protocol";
import type { Target } from "@inpod/targets";

/** A program that listens on several ports opens them at once: one note for all. */
const GATHER_MS = 300;
/** Of the last note: the session's end does not wait longer for it. */
const LAST_MS = 2_000;

export class SessionAudit {
  readonly #tell: ReturnType<NonNullable<Target["audit"]>> | undefined;
  readonly #sinceMs = performance.now();
  #taken: PodPort[] = [];
  #copied: PodPort[] = [];
  #timer: NodeJS.Timeout | undefined;
  #last: Promise<void> | undefined;

  /** @param say one line, at most once: nobody will see it */
  constructor(target: Pick<Target, "audit">, sessionId: string, say: (line: string) => void) {
    this.#tell = target.audit?.(sessionId, (why) =>
      say(`inpod: the target's events do not tell of this session: ${why}`),
    );
  }

  /** @param note continues the user's name */
  started(note: string): void {
    this.#note("InpodSessionStarted", note);
  }

  took(port: PodPort): void {
    this.#add(this.#taken, port);
  }

  copies(port: PodPort): void {
    this.#add(this.#copied, port);
  }

  #add(ports: PodPort[], port: PodPort): void {
    ports.push(port);
    this.#timer ??= setTimeout(() => this.#notePorts(), GATHER_MS);
  }

  /** Waits for the cluster, for 2 s at most. */
  async ended(): Promise<void> {
    this.#notePorts();
    const seconds = Math.round((performance.now() - this.#sinceMs) / 1000);
    this.#note("InpodSessionEnded", `ended the session after ${seconds} s`);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LAST_MS);
    });
    await Promise.race([this.#last, late]);
    clearTimeout(timer);
  }

  #notePorts(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const taken = portWords(this.#taken.splice(0));
    const copied = portWords(this.#copied.splice(0));
    if (taken) this.#note("InpodTrafficTaken", `takes the traffic of ${taken}, without a filter`);
    if (copied) this.#note("InpodTrafficCopied", `gets copies of what clients send to ${copied}`);
  }

  #note(...note: Parameters<ReturnType<NonNullable<Target["audit"]>>>): void {
    this.#last = this.#tell?.(...note);
  }
}

function portWords(all: readonly PodPort[]): string | undefined {
  const inOrder = [...all].sort((a, b) => a.port - b.port);
  const ports = [
    ...new Set(inOrder.map(({ port, protocol }) => (protocol === "udp" ? `${port}/udp` : port))),
  ];
  if (ports.length === 0) return undefined;
  return `port${ports.length === 1 ? "" : "s"} ${ports.join(", ")}`;
}

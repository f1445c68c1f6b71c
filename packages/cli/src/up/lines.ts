/** What several programs write at the same time, as whole lines, each with its writer's name. */
import pc from "picocolors";
import type { Sink } from "../io.ts";

/** Bytes. A line that is longer is written in pieces, each with the name. */
const MAX_LINE = 64 * 1024;
const LINE_FEED = 0x0a;
const COLORS = ["cyan", "yellow", "green", "magenta", "blue"] as const;

/** @param at of the writer among all; it decides the colour */
export function linePrefix(name: string, width: number, at: number, hasColor: boolean): string {
  const paint = pc.createColors(hasColor)[COLORS[at % COLORS.length] ?? "cyan"];
  return `${paint(`${name.padEnd(width)} |`)} `;
}

export class Lines {
  readonly #sink: Pick<Sink, "write">;
  readonly #prefix: Buffer;
  #rest: Buffer = Buffer.alloc(0);

  constructor(sink: Pick<Sink, "write">, prefix: string) {
    this.#sink = sink;
    this.#prefix = Buffer.from(prefix);
  }

  write(bytes: Buffer): void {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let from = 0;
    const out: Buffer[] = [];
    for (;;) {
      const at = this.#rest.indexOf(LINE_FEED, from);
      const isLong = at < 0 && this.#rest.length - from >= MAX_LINE;
      if (at < 0 && !isLong) break;
      const end = isLong ? from + MAX_LINE : at + 1;
      out.push(this.#prefix, this.#rest.subarray(from, end));
      if (isLong) out.push(Buffer.of(LINE_FEED));
      from = end;
    }
    if (out.length > 0) this.#sink.write(Buffer.concat(out));
    this.#rest = this.#rest.subarray(from);
  }

  /** A last line without its end gets one. */
  end(): void {
    if (this.#rest.length > 0) this.write(Buffer.of(LINE_FEED));
  }
}

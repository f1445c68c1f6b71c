/** Questions and answers. An argument of the command, so that tests can answer. */
import { createInterface, type Interface } from "node:readline";
import type { ReadStream, WriteStream } from "node:tty";

export type Answer =
  | { readonly kind: "line"; readonly text: string }
  /** Ctrl-D, or the terminal has gone. */
  | { readonly kind: "end" }
  | { readonly kind: "interrupt" };

export interface Dialogue {
  /** One line of the user's; the question stands before it. One question at a time. */
  ask(question: string): Promise<Answer>;
  close(): void;
}

/** @returns undefined where nobody would see the question or could answer */
export const terminalDialogue = (input: ReadStream, output: WriteStream): Dialogue | undefined =>
  input.isTTY && output.isTTY ? new TerminalDialogue(input, output) : undefined;

class TerminalDialogue implements Dialogue {
  readonly #input: ReadStream;
  readonly #output: WriteStream;
  #lines: Interface | undefined;
  /** What was typed before it was asked for. */
  readonly #early: Answer[] = [];
  #waiting: ((answer: Answer) => void) | undefined;

  constructor(input: ReadStream, output: WriteStream) {
    this.#input = input;
    this.#output = output;
  }

  ask(question: string): Promise<Answer> {
    this.#lines ??= this.#open();
    this.#lines.setPrompt(question);
    this.#lines.prompt();
    const early = this.#early.shift();
    if (early !== undefined) return Promise.resolve(early);
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  close(): void {
    this.#lines?.close();
  }

  #open(): Interface {
    const lines = createInterface({ input: this.#input, output: this.#output });
    lines.on("line", (text) => this.#arrived({ kind: "line", text }));
    lines.on("SIGINT", () => this.#arrived({ kind: "interrupt" }));
    lines.on("close", () => this.#arrived({ kind: "end" }));
    return lines;
  }

  #arrived(answer: Answer): void {
    if (this.#waiting === undefined) this.#early.push(answer);
    this.#waiting?.(answer);
    this.#waiting = undefined;
  }
}

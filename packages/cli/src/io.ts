/** Where the CLI talks: stderr for talk, stdout for results. An argument, so that tests can listen. */
export interface Sink {
  /** @param taken called when whoever reads it has room for more, or with an error */
  write(text: string | Uint8Array, taken?: (error?: Error | null) => void): unknown;
  on?(event: "error", listener: (error: Error) => void): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface Io {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly env: NodeJS.ProcessEnv;
  readonly directory: string;
}

/** https://no-color.org: set and not empty. */
export const hasColor = (sink: Sink, env: NodeJS.ProcessEnv): boolean =>
  sink.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb";

/** Names and messages from elsewhere must not steer the terminal. */
export const printable = (text: string): string => text.replace(/[^\P{Cc}\n\t]/gu, "\ufffd");

/** One decision of the agent. Fields hold names, numbers and reasons; never a body or a variable's value. */
export type Log = (
  event: string,
  fields?: Readonly<Record<string, string | number | boolean>>,
) => void;

export const LOG_LEVELS = ["off", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** How much an event matters; one that is not here is "info". */
const LEVELS: Readonly<Record<string, LogLevel>> = {
  "accept-failed": "error",
  "capture-lost": "error",
  "drain-failed": "error",
  "metrics-failed": "error",
  "release-failed": "error",
  "rules-lost": "error",
  "suspend-failed": "error",
  "connections-kept": "warn",
  refused: "warn",
  "mirror-lost": "warn",
  "packets-lost": "warn",
  "steal-lost": "warn",
  "target-gone": "warn",
  "worker-gone": "warn",
  stream: "debug",
};

export interface LogOptions {
  /** That, and everything that matters more. */
  readonly level: LogLevel;
  /** `TIME LEVEL event name=value …` for people; else JSON lines. */
  readonly isPlain: boolean;
  readonly write: (line: string) => unknown;
}

export function createLog({ level, isPlain, write }: LogOptions): Log {
  const limit = LOG_LEVELS.indexOf(level);
  return (event, fields = {}) => {
    const own = LEVELS[event] ?? "info";
    if (LOG_LEVELS.indexOf(own) > limit) return;
    const time = new Date().toISOString();
    if (!isPlain) {
      write(`${JSON.stringify({ time, level: own, event, ...fields })}\n`);
      return;
    }
    const words = Object.entries(fields).map(([name, value]) => ` ${name}=${quoted(value)}`);
    write(`${time} ${own.toUpperCase()} ${event}${words.join("")}\n`);
  };
}

/** A value is one word, whatever is in it: lines and fields stay what they are. */
const quoted = (value: string | number | boolean): string =>
  /^[\w.:/[\]@+-]+$/.test(String(value)) ? String(value) : JSON.stringify(String(value));

/** JSON lines on stderr, which is what `kubectl logs` shows. */
export const logToStderr: Log = createLog({
  level: "info",
  isPlain: false,
  write: (line) => process.stderr.write(line),
});

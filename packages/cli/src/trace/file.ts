/**
 * A trace while it is written: in batches, beside what the session does. Its owner alone may read it. However the CLI ends,
 * what was written is whole lines but for the last one.
 */
import { closeSync, constants, fstatSync, openSync, write, writeSync } from "node:fs";
import { basename } from "node:path";
import type { TracedCall, TraceSink } from "@inpod/layer";
import { UserError } from "@inpod/protocol";
import { ABSENT, Absent } from "./absent.ts";
import { callText, quoter, type TraceBegin, type TraceEnd } from "./format.ts";

/** Bytes of a file. Some half a million calls. */
const DEFAULT_LIMIT = 256 * 1024 * 1024;
/** Left for the last line. */
const END_BYTES = 4096;
const FLUSH_MS = 200;
/** Bytes that are written at once, and that wait while a write is under way. */
const BATCH = 64 * 1024;
const MAX_WAITING = 16 * 1024 * 1024;
/** Processes whose programs are known. */
const MAX_PROGRAMS = 16_384;

export interface TraceFileOptions {
  /** Absolute. */
  readonly path: string;
  readonly begin: TraceBegin;
  readonly limitBytes?: number;
  /** Tells the user, once each. */
  readonly say: (text: string) => void;
}

export class TraceFile implements TraceSink {
  readonly #fd: number;
  readonly #options: TraceFileOptions;
  readonly #limit: number;
  readonly #since = performance.now();
  readonly #quote = quoter();
  readonly #programs = new Map<number, string>();
  readonly #timer: NodeJS.Timeout;
  #waiting: string[] = [];
  #waitingBytes = 0;
  /** Bytes that the file has, or is about to have. */
  #size = 0;
  #isWriting = false;
  #isBroken = false;
  #isClosed = false;
  #calls = 0;
  #dropped = 0;
  #beyond = 0;

  /** @throws UserError TRACE_FILE: it is there already, or cannot be made */
  constructor(options: TraceFileOptions) {
    this.#options = options;
    this.#limit = options.limitBytes ?? DEFAULT_LIMIT;
    this.#fd = create(options.path);
    this.#push(`${JSON.stringify(options.begin)}\n`);
    try {
      writeAll(this.#fd, this.#take());
    } catch (error) {
      closeSync(this.#fd);
      throw cannotTrace(options.path, error);
    }
    this.#timer = setInterval(() => this.#flush(), FLUSH_MS).unref();
  }

  get path(): string {
    return this.#options.path;
  }

  program(pid: number, executable: string): void {
    if (this.#programs.size >= MAX_PROGRAMS) this.#programs.clear();
    this.#programs.set(pid, basename(executable));
  }

  untold(calls: number): void {
    this.#dropped += calls;
  }

  call(call: TracedCall): void {
    this.#write(call);
    const { does, verdict, result, key } = call;
    // What the kernel answers is not seen: a name that this machine has not is worth knowing.
    const isOurs = verdict === "local" && result === undefined && does !== undefined;
    if (isOurs && (does !== "write" || key === "feature.fs.fallback")) this.#absent.look(call);
  }

  #write(call: TracedCall): void {
    if (this.#isClosed || this.#isBroken) return;
    if (this.#waitingBytes > MAX_WAITING) {
      this.#dropped++;
      return;
    }
    const ms = performance.now() - this.#since;
    const line = callText(call, ms, this.#programs.get(call.pid), this.#quote);
    // A string has no more bytes than that; what it has exactly is not worth a look at each.
    if (this.#beyond > 0 || this.#size + line.length * 3 > this.#limit - END_BYTES) {
      if (this.#beyond++ === 0)
        this.#options.say(
          `the trace has reached ${this.#limit} bytes: ${this.path} ends here, later calls are only counted`,
        );
      return;
    }
    this.#calls++;
    this.#push(line);
    if (this.#waitingBytes >= BATCH) this.#flush();
  }

  #push(line: string): void {
    const bytes = Buffer.byteLength(line);
    this.#waiting.push(line);
    this.#waitingBytes += bytes;
    this.#size += bytes;
  }

  #take(): Buffer {
    const bytes = Buffer.from(this.#waiting.join(""), "utf8");
    this.#waiting = [];
    this.#waitingBytes = 0;
    return bytes;
  }

  #flush(): void {
    if (this.#isWriting || this.#isBroken || this.#isClosed || this.#waiting.length === 0) return;
    this.#isWriting = true;
    const bytes = this.#take();
    const rest = (from: number): void => {
      write(this.#fd, bytes, from, bytes.length - from, null, (error, written) => {
        if (error) this.#broke(error);
        else if (from + written < bytes.length) return rest(from + written);
        this.#isWriting = false;
        this.#onWritten();
      });
    };
    rest(0);
  }

  #onWritten: () => void = () => {};
  readonly #absent = new Absent((call) =>
    this.#write({ ...call, call: ABSENT, result: "ENOENT", tookMs: undefined }),
  );

  #broke(error: Error): void {
    this.#isBroken = true;
    this.#waiting = [];
    this.#options.say(`the trace ends here, ${this.path} cannot be written to: ${error.message}`);
  }

  /** Once; the last line is written when it returns. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    clearInterval(this.#timer);
    if (this.#isWriting)
      await new Promise<void>((resolve) => {
        this.#onWritten = resolve;
      });
    this.#isClosed = true;
    const end: TraceEnd = {
      ...{ kind: "end", ms: Math.round(performance.now() - this.#since), calls: this.#calls },
      ...{ dropped: this.#dropped, beyondLimit: this.#beyond, limitBytes: this.#limit },
    };
    try {
      this.#push(`${JSON.stringify(end)}\n`);
      if (!this.#isBroken) writeAll(this.#fd, this.#take());
    } catch (error) {
      this.#broke(error as Error);
    }
    closeSync(this.#fd);
  }
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

/** A new file; or what is none, as a pipe. No link is followed: the directory may be everybody's. */
function create(path: string): number {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  try {
    return openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw cannotTrace(path, error);
  }
  let fd: number;
  try {
    fd = openSync(path, O_WRONLY);
  } catch (error) {
    throw cannotTrace(path, error);
  }
  if (!fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new UserError("TRACE_FILE", `there is a file ${path} already`, {
    hints: ["nothing is written over: name another one, or remove it"],
  });
}

const cannotTrace = (path: string, cause: unknown): UserError =>
  new UserError("TRACE_FILE", `the trace cannot be written to ${path}`, { cause });

/** A trace file's lines, one at a time: nothing of it is believed before it has been looked at. */
import { createReadStream } from "node:fs";
import { UserError } from "@inpod/protocol";
import {
  FORMAT,
  FORMAT_VERSION,
  type TraceBegin,
  type TraceConfig,
  type TraceEnd,
  type TraceLine,
} from "./format.ts";

/** Bytes; a path has at most 4095, each up to six in JSON, and a command's name is short. */
const MAX_LINE = 256 * 1024;
/** Characters of a string, and entries of a list. */
const MAX_TEXT = 16 * 1024;
const MAX_LIST = 4096;

export type Read =
  | TraceBegin
  | TraceLine
  | TraceEnd
  /** Of a later version; it is passed over. */
  | { readonly kind: "unknown" }
  | { readonly kind: "malformed" };

const MALFORMED = { kind: "malformed" } as const;

/** @throws UserError TRACE_FILE when it cannot be read; TRACE_FORMAT when it is no trace, before anything is yielded */
export async function* readTrace(path: string): AsyncGenerator<Read, void, void> {
  let isFirst = true;
  for await (const line of linesOf(path)) {
    const read = line === undefined ? MALFORMED : parseLine(line);
    if (isFirst && read.kind !== "begin") throw noTrace(path, line);
    if (isFirst || read.kind !== "begin") yield read;
    else yield MALFORMED; // two traces in one file
    isFirst = false;
  }
  if (isFirst) throw noTrace(path, "");
}

/** Undefined: one that is too long. The last one, which may be cut short, is yielded only if it is whole JSON. */
async function* linesOf(path: string): AsyncGenerator<string | undefined, void, void> {
  let kept: Buffer[] = [];
  let length = 0;
  const whole = (): string | undefined =>
    length > MAX_LINE ? undefined : Buffer.concat(kept).toString("utf8");
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      let from = 0;
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
        keep(chunk.subarray(from, at));
        yield whole();
        kept = [];
        length = 0;
        from = at + 1;
      }
      keep(chunk.subarray(from));
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw new UserError("TRACE_FILE", `the trace ${path} cannot be read`, { cause: error });
  }
  if (length > 0) yield whole();

  function keep(part: Buffer): void {
    length += part.length;
    // Of a line that is too long no more is kept than what shows that it is.
    if (length <= MAX_LINE && part.length > 0) kept.push(part);
    else if (length > MAX_LINE) kept = [];
  }
}

export function parseLine(line: string): Read {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return MALFORMED;
  }
  if (!isRecord(value)) return MALFORMED;
  switch (value.kind) {
    case "begin":
      return beginFrom(value) ?? MALFORMED;
    case "call":
      return isCall(value) ? value : MALFORMED;
    case "end":
      return isEnd(value) ? value : MALFORMED;
    default:
      return typeof value.kind === "string" ? { kind: "unknown" } : MALFORMED;
  }
}

type Fields = Record<string, unknown>;

const isRecord = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string =>
  typeof value === "string" && value.length <= MAX_TEXT;
const isNumber = (value: unknown): value is number =>
  typeof value === "number" && Number.isFinite(value) && value >= 0;
const isListOf = <Item>(value: unknown, isItem: (item: unknown) => item is Item): value is Item[] =>
  Array.isArray(value) && value.length <= MAX_LIST && value.every(isItem);
const isOptional = <Value>(value: unknown, is: (value: unknown) => value is Value): boolean =>
  value === undefined || is(value);
const isTexts = (value: unknown): value is string[] => isListOf(value, isText);

function beginFrom(value: Fields): TraceBegin | undefined {
  const { format, formatVersion, version, began, target, command, configDigest, config } = value;
  if (format !== FORMAT || !isNumber(formatVersion)) return undefined;
  if (formatVersion > FORMAT_VERSION)
    throw new UserError(
      "TRACE_FORMAT",
      `the trace was written by a newer inpod (${isText(version) ? version : "?"})`,
      {
        hints: ["read it with that one"],
      },
    );
  const texts = [version, began, target, command, configDigest];
  if (!texts.every(isText) || !isRecord(config) || !isConfig(config)) return undefined;
  return value as unknown as TraceBegin;
}

function isConfig(config: Fields): config is Fields & TraceConfig {
  const { outgoingRemote, outgoingLocal, dnsRemote, dnsLocal } = config;
  const { ports, envInclude, ignorePorts } = config;
  const lists = [
    ...[config.readOnly, config.readWrite, config.local, config.envExclude],
    ...[config.localCredentials, config.skipProcesses, config.skipExtraBuildTools],
  ];
  return (
    isText(config.fsMode) &&
    isText(config.incomingMode) &&
    lists.every(isTexts) &&
    [outgoingRemote, outgoingLocal, dnsRemote, dnsLocal].every((list) =>
      isOptional(list, isTexts),
    ) &&
    (envInclude === null || isTexts(envInclude)) &&
    isListOf(ignorePorts, isNumber) &&
    (ports === undefined || isListOf(ports, isNumber))
  );
}

const isCall = (value: Fields): value is Fields & TraceLine =>
  [value.ms, value.pid].every(isNumber) &&
  [value.call, value.subject, value.verdict, value.why].every(isText) &&
  [value.program, value.does, value.key, value.result, value.peer].every((each) =>
    isOptional(each, isText),
  ) &&
  isOptional(value.tookMs, isNumber) &&
  isOptional(value.addresses, isTexts);

const isEnd = (value: Fields): value is Fields & TraceEnd =>
  [value.ms, value.calls, value.dropped, value.beyondLimit, value.limitBytes].every(isNumber);

const noTrace = (path: string, line: string | undefined): UserError =>
  new UserError("TRACE_FORMAT", `${path} is no trace of inpod`, {
    cause: line === "" ? "it is empty" : "its first line does not begin one",
    hints: ["one is made by: inpod exec --trace FILE -- COMMAND"],
  });

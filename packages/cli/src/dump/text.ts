/** What was seen, for people. Pure. */
import type { Seen } from "@inpod/ports";
import { printable } from "../io.ts";
import { hexdump } from "./hexdump.ts";
import {
  bytesOf,
  codingOf,
  endpoint,
  headerOf,
  headersOf,
  type SeenBytes,
  type SeenRequest,
  type Shown,
  targetOf,
  textOf,
  versionOf,
} from "./shape.ts";

/** @returns lines, and an empty one behind them */
export function asText(seen: Seen, shown: Shown): string {
  return `${heading(seen)}${content(seen, shown)}\n`;
}

function content(seen: Seen, shown: Shown): string {
  switch (seen.kind) {
    case "request":
      return request(seen, shown);
    case "bytes":
      return raw(seen, shown);
    default:
      return `(${line(seen.why)})\n`;
  }
}

/** `10:02:11.042 10.1.0.9:41234 -> 10.1.0.4:8080 #3 stream 5` */
function heading(seen: Seen): string {
  const { number, protocol, client, local } = seen.connection;
  const stream =
    seen.kind === "request" && seen.stream !== undefined ? ` stream ${seen.stream}` : "";
  const udp = protocol === "udp" ? " udp" : "";
  return `${clock(seen.time)} ${endpoint(client)} -> ${endpoint(local)}${udp} #${number}${stream}\n`;
}

const two = (number: number, digits = 2): string => String(number).padStart(digits, "0");

/** Of this machine, as the user's own clock. */
const clock = (time: Date): string =>
  `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${two(time.getMilliseconds(), 3)}`;

/** Nothing in it ends a line, or steers the terminal. */
const line = (text: string): string => printable(text).replace(/[\n\t]/g, "\ufffd");

function request(seen: SeenRequest, shown: Shown): string {
  const { method } = seen.request;
  const all = (headers: SeenRequest["trailers"]): string =>
    headersOf(headers, shown)
      .map(({ name, value }) => `${line(name)}: ${line(value)}\n`)
      .join("");
  const start = `${line(method)} ${line(targetOf(seen))} ${versionOf(seen)}\n`;
  return `${start}${all(seen.request.headers)}${body(seen)}${all(seen.trailers)}${ending(seen)}`;
}

function body(seen: SeenRequest): string {
  const { bytes, length } = seen.body;
  if (length === 0) return "";
  const coding = codingOf(seen);
  const isCut = bytes.length < length || seen.end !== "whole";
  const text = coding === undefined ? textOf(bytes, isCut) : undefined;
  if (text !== undefined)
    return `\n${printable(text.replaceAll("\r\n", "\n"))}${text.endsWith("\n") || text === "" ? "" : "\n"}`;
  const what = coding === undefined ? "" : `${line(coding)}, not decoded: `;
  const size =
    seen.end === "whole" ? `${what}${count(length)}` : `${what}the first ${count(bytes.length)}`;
  return `\n(${size})\n${hexdump(bytes)}`;
}

function ending(seen: SeenRequest): string {
  switch (seen.end) {
    case "whole":
      return "";
    case "reset":
      return "(given up by its client)\n";
    case "open":
      return "(it goes on: of the rest nothing is shown)\n";
    case "unfinished":
      return "(no more of it was seen)\n";
    default: {
      const all = headerOf(seen, "content-length");
      const size = all !== undefined && /^\d{1,15}$/.test(all) ? ` of ${count(Number(all))}` : "";
      return `(no more than ${count(seen.body.bytes.length)}${size} are shown: --max-body)\n`;
    }
  }
}

function raw(seen: SeenBytes, shown: Shown): string {
  const bytes = bytesOf(seen, shown);
  const { offset, length } = seen;
  if (bytes === undefined) return `(${count(length)}, in which secrets can be: --show-secrets)\n`;
  const more = length - bytes.length;
  return `${hexdump(bytes, offset)}${more > 0 ? `(${count(more)} more: --max-body)\n` : ""}`;
}

const count = (bytes: number): string => `${bytes} byte${bytes === 1 ? "" : "s"}`;

/** What `inpod forward` is told of its ports: `-L`, `-R` and the operands. Pure. */
import { isIP } from "node:net";
import { UserError } from "@inpod/protocol";
import { kindOf } from "@inpod/targets/path";
import type { ExposeWish } from "../services/expose.ts";

type Protocol = "tcp" | "udp";

/** A port of this machine, and what the target connects to for it. */
export interface LocalForward {
  /** As the user wrote it. */
  readonly text: string;
  /** An IP literal; undefined: this machine's loopback. */
  readonly address: string | undefined;
  /** 0: a free one. */
  readonly localPort: number;
  /** A name or an IP literal; undefined: the target itself. */
  readonly host: string | undefined;
  readonly port: number;
  readonly protocol: Protocol;
}

const MAX_PORT = 65_535;
/** A name as DNS has it; one with a final dot is looked up without search domains. */
const NAME = /^(?=.{1,254}$)(?:[a-z0-9_][a-z0-9_-]{0,62}\.)*[a-z0-9_][a-z0-9_-]{0,62}\.?$/i;

/** The flag's value and what it had before: it may be given again, and each may be a list. @throws UserError */
export const readLocal = (text: string, before: readonly LocalForward[] = []): LocalForward[] => [
  ...before,
  ...text.split(",").map((word) => parseLocal(word.trim())),
];

/** `[REMOTE_PORT:]LOCAL_PORT`: the other way round than --expose, as ssh and mirrord have it. @throws UserError */
export const readRemote = (text: string, before: readonly ExposeWish[] = []): ExposeWish[] => [
  ...before,
  ...text.split(",").map((word) => parseRemote(word.trim())),
];

/** @throws UserError USAGE_INVALID */
export function parseLocal(text: string, flag = "-L", examples = LOCAL_EXAMPLES): LocalForward {
  const { parts, protocol } = split(text) ?? { parts: [], protocol: "tcp" as const };
  const port = portNumber(parts.at(-1));
  if (port === undefined || parts.length > 4) throw invalid(flag, text, examples);
  const [first = "", second = ""] = parts;
  const made = (address: string, local: string | undefined, host: string | undefined) => {
    const localPort = local === undefined ? port : portNumber(local, 0);
    const bound = localAddress(address);
    const isHost = host === undefined || isIP(host) !== 0 || NAME.test(host);
    if (localPort === undefined || bound === false || !isHost) throw invalid(flag, text, examples);
    return { text, address: bound, localPort, host, port, protocol };
  };
  const isPort = (word: string): boolean => /^\d{1,5}$/.test(word);
  switch (parts.length) {
    case 1:
      return made("", undefined, undefined);
    case 2:
      return isPort(first) ? made("", first, undefined) : made("", undefined, first);
    case 3:
      return isPort(first) ? made("", first, second) : made(first, undefined, second);
    default:
      return made(first, second, parts[2]);
  }
}

function parseRemote(text: string): ExposeWish {
  const { parts, protocol } = split(text) ?? { parts: [], protocol: "tcp" as const };
  const [first, second] = parts;
  const local = portNumber(second ?? first);
  const remote = second === undefined ? local : portNumber(first);
  if (parts.length > 2 || local === undefined || remote === undefined)
    throw invalid("-R", text, REMOTE_EXAMPLES);
  return { text, local, remote, protocol };
}

export interface Operands {
  /** A target of the command line: what has a slash. */
  readonly target: string | undefined;
  readonly locals: readonly LocalForward[];
}

/**
 * `SERVICE|ADDRESS LOCAL:PORT…` (ktctl) and `KIND/NAME LOCAL:PORT…` (kubectl); ports alone are the target's.
 * @throws UserError
 */
export function readOperands(operands: readonly string[]): Operands {
  const [first] = operands;
  if (first === undefined) return { target: undefined, locals: [] };
  const isPair = split(first)?.parts.every((part) => /^\d{1,5}$/.test(part)) ?? false;
  const pairs = (isPair ? operands : operands.slice(1)).map((text) => {
    const local = parseLocal(text, "", PAIR_EXAMPLES);
    if (local.host !== undefined) throw invalid("", text, PAIR_EXAMPLES);
    return local;
  });
  if (isPair) return { target: undefined, locals: pairs };
  const service = serviceName(first);
  if (service === undefined && first.includes("/")) {
    if (pairs.length === 0) throw noPorts(first);
    const [word = "", ...rest] = first.split("/");
    return { target: [kindOf(word) ?? word, ...rest].join("/"), locals: pairs };
  }
  const host = service ?? unbracketed(first);
  if (isIP(host) === 0 && !NAME.test(host)) throw invalid("", first, PAIR_EXAMPLES);
  if (pairs.length === 0) throw noPorts(first);
  return { target: undefined, locals: pairs.map((each) => ({ ...each, host })) };
}

/** A Service is spoken with by its name, so that all its pods are meant, and its own port numbers. */
function serviceName(text: string): string | undefined {
  const [word = "", name, ...more] = text.split("/");
  const isService = name !== undefined && name !== "" && more.length === 0;
  return isService && kindOf(word) === "service" ? name : undefined;
}

/** By colons that are not in brackets, and without what says the protocol. */
function split(
  text: string,
): { readonly parts: readonly string[]; readonly protocol: Protocol } | undefined {
  const [, body = "", said = "tcp"] = /^(.*?)(?:\/(tcp|udp))?$/i.exec(text) ?? [];
  const protocol = said.toLowerCase() as Protocol;
  const parts: string[] = [];
  const part = /(?:\[([^\][]*)\]|([^:\][]*))(:|$)/y;
  for (let end: string | undefined = ":"; end === ":"; ) {
    const found = part.exec(body);
    if (found === null) return undefined;
    const [, bracketed, plain = "", after] = found;
    parts.push(bracketed ?? plain);
    end = after;
  }
  return { parts, protocol };
}

const unbracketed = (text: string): string => /^\[(.*)\]$/.exec(text)?.[1] ?? text;

function portNumber(text: string | undefined, least = 1): number | undefined {
  const number = text !== undefined && /^\d{1,5}$/.test(text) ? Number(text) : -1;
  return number >= least && number <= MAX_PORT ? number : undefined;
}

/** False: it is no address of a machine. */
function localAddress(text: string): string | undefined | false {
  if (text === "" || text === "localhost") return undefined;
  if (text === "*") return "0.0.0.0";
  return isIP(text) === 0 ? false : text;
}

/** Both would listen at the same port of the same address. */
export const isSamePort = (one: LocalForward, other: LocalForward): boolean =>
  one.localPort !== 0 &&
  one.localPort === other.localPort &&
  one.protocol === other.protocol &&
  listensAt(one).some((address) => listensAt(other).includes(address));

/** The loopback stands for all of its family where that is listened at. */
const listensAt = ({ address }: LocalForward): string[] => {
  if (address === undefined) return ["127.0.0.1", "::1"];
  if (address === "0.0.0.0") return [address, "127.0.0.1"];
  return address === "::" ? [address, "::1", "0.0.0.0", "127.0.0.1"] : [address];
};

const LOCAL_EXAMPLES = [
  "[LOCAL_ADDRESS:][LOCAL_PORT:]HOST:PORT: -L 8080:orders:80, -L 5353:10.96.0.10:53/udp",
  "a port of the target itself: -L 8080:80; an IPv6 address in brackets: -L 8080:[fd00::7]:80",
];
const REMOTE_EXAMPLES = ["[REMOTE_PORT:]LOCAL_PORT, the target's port first: -R 80:8080"];
const PAIR_EXAMPLES = [
  "a Service or an address, and [LOCAL_PORT:]PORT: inpod forward orders 8080:80",
  "or -L and -R: inpod forward --help",
];

const invalid = (flag: string, text: string, hints: readonly string[]): UserError =>
  new UserError("USAGE_INVALID", `${flag === "" ? "" : `${flag} `}"${text}" says no ports`, {
    hints,
  });

const noPorts = (text: string): UserError =>
  new UserError("USAGE_INVALID", `which port of ${text}?`, {
    hints: [`yours and its own: inpod forward ${text} 8080:80`],
  });

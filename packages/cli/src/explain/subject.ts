/** What a word of `inpod explain` is about. Pure but for whether there is a file of that name. */
import { isIP } from "node:net";
import { resolve } from "node:path";
import { UserError } from "@inpod/protocol";

export type Protocol = "tcp" | "udp";

export type Subject =
  | { readonly kind: "path"; readonly path: string }
  | {
      readonly kind: "host";
      /** An IP literal, or a name in lower case without its final dot. */
      readonly host: string;
      readonly isAddress: boolean;
      /** Undefined: any. */
      readonly port: number | undefined;
      /** Undefined: both are meant. */
      readonly protocol: Protocol | undefined;
    }
  | {
      readonly kind: "listen";
      readonly address: string;
      readonly port: number;
      readonly protocol: Protocol | undefined;
    }
  | { readonly kind: "variable"; readonly name: string }
  | { readonly kind: "program"; readonly name: string }
  | { readonly kind: "unix"; readonly path: string };

export interface Place {
  /** Relative paths are below it. */
  readonly directory: string;
  readonly home: string | undefined;
  readonly exists: (path: string) => boolean;
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { http: 80, https: 443, ws: 80, wss: 443 };
const ANY_ADDRESS = "0.0.0.0";
/** An address before the port is one to connect to, unless `bind:` says so. */
const CAN_ONLY_BE_BOUND = /^(?:(?:tcp|udp):\/\/)?(?:\[::\]|0\.0\.0\.0)?:\d+$/i;

/** @throws UserError USAGE_INVALID */
export function parseSubject(text: string, place: Place): Subject {
  const subject =
    prefixed(text, place) ??
    variable(text) ??
    path(text, place) ??
    (CAN_ONLY_BE_BOUND.test(text) ? listening(text) : undefined) ??
    host(text);
  if (subject === undefined) throw notUnderstood(text);
  return subject;
}

function prefixed(text: string, place: Place): Subject | undefined {
  const [, prefix, rest = ""] = /^(env|program|unix|bind|path):(.+)$/s.exec(text) ?? [];
  switch (prefix) {
    case "env": {
      const [name = ""] = rest.split("=", 1);
      return name === "" ? undefined : { kind: "variable", name };
    }
    case "program":
      return { kind: "program", name: rest };
    case "unix":
      // An abstract name is no path.
      return { kind: "unix", path: rest.startsWith("@") ? rest : resolve(place.directory, rest) };
    case "bind":
      return listening(rest) ?? listening(`:${rest}`);
    case "path":
      return { kind: "path", path: resolve(place.directory, rest) };
    default:
      return undefined;
  }
}

/** `NAME=` and `NAME=value`, of which the value is not looked at; and names that could be nothing else. */
function variable(text: string): Subject | undefined {
  const [, name] =
    /^([A-Za-z_][A-Za-z0-9_]*)=/.exec(text) ?? /^([A-Z_][A-Z0-9_]*)$/.exec(text) ?? [];
  return name === undefined ? undefined : { kind: "variable", name };
}

function path(text: string, { directory, home, exists }: Place): Subject | undefined {
  if (text.includes("\0") || text === "") return undefined;
  const isHome = text === "~" || text.startsWith("~/");
  if (isHome && home !== undefined)
    return { kind: "path", path: resolve(home, `.${text.slice(1)}`) };
  const looksSo = text.startsWith("/") || /^\.\.?(\/|$)/.test(text);
  // A URL has slashes, too; so has a subnet, which is no subject.
  const isBelow = text.includes("/") && !text.includes("://");
  const named = resolve(directory, text);
  return looksSo || isBelow || exists(named) ? { kind: "path", path: named } : undefined;
}

/** `:8080`, `127.0.0.1:8080`, `udp://:53` */
function listening(text: string): Subject | undefined {
  const { protocol, rest } = schemeOf(text);
  const [, v6, v4 = "", digits] = /^(?:\[([^\]]*)\]|([0-9.]*)):(\d{1,5})$/.exec(rest) ?? [];
  const port = Number(digits);
  const address = v6 ?? (v4 === "" ? ANY_ADDRESS : v4);
  if (digits === undefined || port > 65_535 || isIP(address) === 0) return undefined;
  return { kind: "listen", address, port, protocol };
}

function host(text: string): Subject | undefined {
  const url = /^(https?|wss?):\/\/(?:[^/@]*@)?([^/?#]+)/i.exec(text);
  const scheme = url?.[1]?.toLowerCase();
  const { protocol, rest } =
    scheme === undefined ? schemeOf(text) : { protocol: "tcp" as const, rest: url?.[2] ?? "" };
  const of = (name: string, digits?: string): Subject | undefined => {
    const port = digits === undefined ? DEFAULT_PORTS[scheme ?? ""] : Number(digits);
    if (port !== undefined && (port < 1 || port > 65_535)) return undefined;
    const isAddress = isIP(name.split("%", 1)[0] ?? "") !== 0;
    const named = isAddress ? name : name.toLowerCase().replace(/\.$/, "");
    if (!isAddress && !isHostName(named)) return undefined;
    return { kind: "host", host: named, isAddress, port, protocol };
  };
  if (isIP(rest.split("%", 1)[0] ?? "") === 6) return of(rest);
  const [, v6, plain = "", digits] =
    /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(rest) ?? [];
  return of(v6 ?? plain, digits);
}

function schemeOf(text: string): {
  readonly protocol: Protocol | undefined;
  readonly rest: string;
} {
  const [, scheme, rest = ""] = /^(tcp|udp):\/\/(.*)$/is.exec(text) ?? [];
  if (scheme === undefined) return { protocol: undefined, rest: text };
  return { protocol: scheme.toLowerCase() === "udp" ? "udp" : "tcp", rest };
}

/** RFC 1123's, and the underscore that SRV names have; a mistyped address is none. */
const isHostName = (name: string): boolean =>
  name.length > 0 &&
  name.length <= 253 &&
  !/(?:^|\.)\d+$/.test(name) &&
  name.split(".").every((label) => /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/.test(label));

const notUnderstood = (text: string): UserError =>
  new UserError("USAGE_INVALID", `nothing can be explained about ${JSON.stringify(text)}`, {
    hints: [
      "a path: /etc/hosts, ./config.yaml; a host or address: db, db:5432, udp://10.0.0.1:53",
      "a port to listen on: :8080; a variable: DB_URL=; a program: program:go; a socket: unix:/run/x.sock",
    ],
  });

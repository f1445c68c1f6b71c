/**
 * The lines of a trace: JSON objects, the first of kind "begin", the last of kind "end". Between them one for each call,
 * in the order of their answers. Nothing in it is a value of a variable, a header, a body or a query.
 */
import { createHash } from "node:crypto";
import type { TracedCall } from "@inpod/layer";
import { effectiveValues } from "../config/effective.ts";
import type { LoadedConfig } from "../config/load.ts";
import type { Current } from "../explain/change.ts";
import { VERSION } from "../version.ts";

export const FORMAT = "inpod-trace";
export const FORMAT_VERSION = 1;

export interface TraceBegin {
  readonly kind: "begin";
  readonly format: typeof FORMAT;
  readonly formatVersion: number;
  /** Of inpod. */
  readonly version: string;
  readonly began: string;
  /** Whose place is taken. */
  readonly target: string;
  /** The program's name; its arguments may hold secrets. */
  readonly command: string;
  /** SHA-256 of what counts for each key, without values of variables. */
  readonly configDigest: string;
  /** Lists that advice has to extend. */
  readonly config: TraceConfig;
}

/** What of a configuration `inpod trace` needs to say what to write. */
export interface TraceConfig {
  readonly fsMode: string;
  readonly readOnly: readonly string[];
  readonly readWrite: readonly string[];
  readonly local: readonly string[];
  readonly outgoingRemote?: readonly string[] | undefined;
  readonly outgoingLocal?: readonly string[] | undefined;
  readonly dnsRemote?: readonly string[] | undefined;
  readonly dnsLocal?: readonly string[] | undefined;
  readonly incomingMode: string;
  readonly ignorePorts: readonly number[];
  readonly ports?: readonly number[] | undefined;
  /** `null`: feature.env is off. */
  readonly envInclude: readonly string[] | null;
  readonly envExclude: readonly string[];
  readonly localCredentials: readonly string[];
  readonly skipProcesses: readonly string[];
  readonly skipExtraBuildTools: readonly string[];
}

/** A call as the session told it, and when. */
export interface TraceLine extends Omit<TracedCall, "does" | "key"> {
  readonly kind: "call";
  /** Since the beginning. */
  readonly ms: number;
  readonly program?: string | undefined;
  /** What is done with a path; a later version may have another word for it. */
  readonly does?: string | undefined;
  /** Left out: no key changes it. */
  readonly key?: string | undefined;
}

export interface TraceEnd {
  readonly kind: "end";
  readonly ms: number;
  readonly calls: number;
  /** More came than could be told at once: what the tap, and what the file, could not take. */
  readonly dropped: number;
  /** Calls after the file had reached its limit. */
  readonly beyondLimit: number;
  readonly limitBytes: number;
}

export function beginOf(
  loaded: LoadedConfig,
  { target, command, began }: Pick<TraceBegin, "target" | "command" | "began">,
): TraceBegin {
  // Who has said a value is no part of it; nor is a key that was made up.
  const values = Object.entries(effectiveValues(loaded))
    .filter(([, { from }]) => from !== "made up")
    .map(([key, { value }]) => [key, value]);
  const configDigest = createHash("sha256").update(JSON.stringify(values)).digest("hex");
  const { config } = loaded;
  return {
    ...{ kind: "begin", format: FORMAT, formatVersion: FORMAT_VERSION, version: VERSION, began },
    ...{ target, command, configDigest },
    config: configOf({
      layer: config.layer,
      env: config.env,
      localCredentials: config.localCredentials,
    }),
  };
}

const configOf = ({ layer, env, localCredentials }: Current): TraceConfig => ({
  fsMode: layer.files.mode,
  readOnly: layer.files.readOnly,
  readWrite: layer.files.readWrite,
  local: layer.files.local,
  outgoingRemote: layer.outgoing.filter?.remote,
  outgoingLocal: layer.outgoing.filter?.local,
  dnsRemote: layer.dnsFilter?.remote,
  dnsLocal: layer.dnsFilter?.local,
  incomingMode: layer.incoming.mode,
  ignorePorts: layer.incoming.ignorePorts,
  ports: layer.incoming.ports,
  envInclude: env === false ? null : env.include,
  envExclude: env === false ? [] : env.exclude,
  localCredentials,
  skipProcesses: layer.skipProcesses,
  skipExtraBuildTools: layer.skipExtraBuildTools,
});

/** Paths are bytes, of which one without a meaning in UTF-8 becomes U+FFFD. */
const asText = (bytes: string): string =>
  /[\x80-\xff]/.test(bytes) ? Buffer.from(bytes, "latin1").toString("utf8") : bytes;

/** Of a microsecond no figure means anything. */
const rounded = (ms: number): number => Math.round(ms * 1000) / 1000;

/** Of what comes again and again: reasons, keys, names of programs. */
const MAX_QUOTED = 4096;
export type Quote = (text: string) => string;
export function quoter(): Quote {
  const quoted = new Map<string, string>();
  return (text) => {
    let known = quoted.get(text);
    if (known === undefined) {
      known = JSON.stringify(asText(text));
      if (quoted.size >= MAX_QUOTED) quoted.clear();
      quoted.set(text, known);
    }
    return known;
  };
}

/**
 * A TraceLine as JSON, with its line feed. Put together by hand: there may be tens of thousands in a second, beside all
 * that the session has to do.
 */
export function callText(
  call: TracedCall,
  ms: number,
  program: string | undefined,
  quoted: Quote,
): string {
  const { subject, does, verdict, why, key, result, tookMs, peer, addresses } = call;
  let text = `{"kind":"call","ms":${rounded(ms)},"pid":${call.pid}`;
  if (program !== undefined) text += `,"program":${quoted(program)}`;
  text += `,"call":${quoted(call.call)},"subject":${JSON.stringify(asText(subject))}`;
  if (does !== undefined) text += `,"does":"${does}"`;
  text += `,"verdict":${quoted(verdict)},"why":${quoted(why)}`;
  if (key !== undefined) text += `,"key":${quoted(key)}`;
  if (result !== undefined) text += `,"result":${quoted(result)}`;
  if (tookMs !== undefined) text += `,"tookMs":${rounded(tookMs)}`;
  if (peer !== undefined) text += `,"peer":${JSON.stringify(peer)}`;
  if (addresses !== undefined) text += `,"addresses":${JSON.stringify(addresses)}`;
  return `${text}}\n`;
}

/** What was missing in a session, and what to write in the configuration for something else. Pure. */
import { CREDENTIAL_KINDS } from "@inpod/session";
import {
  type Change,
  type Current,
  changeName,
  changeOutgoing,
  changePath,
  changeProgram,
  changeVariable,
} from "../explain/change.ts";
import { PROBED } from "./absent.ts";
import type { TraceConfig } from "./format.ts";
import { addressOf, type Connection, type FileTrouble, type Summary } from "./summary.ts";

export interface Trouble {
  readonly what: "file" | "connection" | "name" | "port" | "variable" | "program";
  readonly subject: string;
  readonly words: string;
  readonly calls: number;
  readonly key: string | undefined;
  readonly changes: readonly Change[];
}

/** Of each kind. */
const MAX_TROUBLES = 20;
const MODES = ["local", "localwithoverrides", "read", "write"] as const;

export function currentOf(config: TraceConfig): Current {
  const { outgoingRemote, outgoingLocal, dnsRemote, dnsLocal } = config;
  const mode = MODES.find((each) => each === config.fsMode) ?? "read";
  const incomingMode = (["steal", "mirror", "off"] as const).find(
    (each) => each === config.incomingMode,
  );
  return {
    layer: {
      files: { mode, readOnly: config.readOnly, readWrite: config.readWrite, local: config.local },
      outgoing: { filter: sidesOf(outgoingRemote, outgoingLocal) },
      dnsFilter: sidesOf(dnsRemote, dnsLocal),
      incoming: {
        mode: incomingMode ?? "mirror",
        ignorePorts: config.ignorePorts,
        ports: config.ports,
      },
      skipProcesses: config.skipProcesses,
      skipExtraBuildTools: config.skipExtraBuildTools,
    },
    env:
      config.envInclude === null
        ? false
        : { include: config.envInclude, exclude: config.envExclude },
    localCredentials: CREDENTIAL_KINDS.filter((kind) => config.localCredentials.includes(kind)),
  };
}

const sidesOf = (
  remote: readonly string[] | undefined,
  local: readonly string[] | undefined,
): { readonly remote?: readonly string[]; readonly local?: readonly string[] } => ({
  ...(remote === undefined ? {} : { remote }),
  ...(local === undefined ? {} : { local }),
});

export function troublesOf(summary: Summary): Trouble[] {
  const current = currentOf(summary.begin.config);
  return [
    ...files(summary, current),
    ...connections(summary, current),
    ...names(summary, current),
    ...ports(summary),
    ...variables(summary, current),
    ...programs(summary, current),
  ];
}

const most = <Row extends { readonly calls: number }>(rows: readonly Row[]): Row[] =>
  rows.toSorted((a, b) => b.calls - a.calls).slice(0, MAX_TROUBLES);

const isProbed = ({ path, why }: FileTrouble): boolean =>
  PROBED.test(path) || !/^default: \/|^the pod has no such file/.test(why);

function files({ files: rows }: Summary, current: Current): Trouble[] {
  const paths = new Map<string, FileTrouble>();
  for (const row of rows.rows()) {
    // Of names that this machine has not, those that the pod may have.
    const isHere = row.verdict === "local" && row.result === "ENOENT";
    if (isHere && isProbed(row)) continue;
    const known = paths.get(`${row.path} ${row.result} ${row.verdict}`);
    if (known === undefined) paths.set(`${row.path} ${row.result} ${row.verdict}`, { ...row });
    else known.calls += row.calls;
  }
  return most([...paths.values()]).map((row) => ({
    ...{ what: "file", subject: row.path, words: fileWords(row), calls: row.calls, key: row.key },
    changes: fileChanges(row, current),
  }));
}

function fileWords({ verdict, result, why, key }: FileTrouble): string {
  if (key === "feature.fs.fallback") return "neither the pod nor this machine has it";
  if (verdict === "local") return `not on this machine, which is asked (${why})`;
  if (verdict === "not-found") return `hidden (${why})`;
  if (verdict === "read-only") return `not written (${result}): ${why}`;
  if (result === "ENOENT" || result === "ENOTDIR") return "the pod has none";
  return `refused by the pod (${result}): the target's own user may not`;
}

function fileChanges(row: FileTrouble, current: Current): readonly Change[] {
  if (row.key === "feature.fs.fallback") return [];
  const isRefused = /^(EACCES|EPERM)$/.test(row.result);
  const isWritten = row.does === "write";
  const changes = changePath(row.path, isWritten, row, current);
  // To ask the pod for what it has is right only if it has it.
  if (row.verdict === "local")
    return changes.map((change) => ({ ...change, to: `${change.to}, if the pod has it,` }));
  return isRefused || row.verdict === "remote" || row.verdict === "not-found" ? changes : [];
}

const FAILED = /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EACCES|EPERM)$/;

function connections({ connections: rows }: Summary, current: Current): Trouble[] {
  const failed = rows.rows().flatMap((row) => {
    const [first] = Object.entries(row.results).filter(([result]) => FAILED.test(result));
    return first === undefined ? [] : [{ row, result: first[0], calls: first[1] }];
  });
  return most(failed).map(({ row, result, calls }) => ({
    ...{ what: "connection", subject: row.to, calls, key: row.key },
    words: `${result}, from ${row.from}${row.names.length === 0 ? "" : ` (${row.names.join(", ")})`}`,
    changes: connectionChanges(row, current),
  }));
}

function connectionChanges(row: Connection, current: Current): readonly Change[] {
  const address = addressOf(row.to);
  const port = Number(/:(\d+)$/.exec(row.to)?.[1] ?? 0);
  if (address === undefined || port === 0) return [];
  const protocol = row.to.startsWith("udp") ? "udp" : "tcp";
  const verdict = row.from === "the pod" ? "remote" : "local";
  const host = row.names[0] ?? address;
  return changeOutgoing({ host, port, protocol }, { verdict, key: row.key }, current);
}

function names({ names: rows, begin }: Summary, current: Current): Trouble[] {
  const every = rows.rows();
  /** A search list makes several names of one, of which one that is found is enough. */
  const isFound = (name: string): boolean =>
    every.some((other) => other.addresses.length > 0 && shortOf(other.name) === shortOf(name));
  const lost = every.filter(({ name, results }) => results.ok === undefined && !isFound(name));
  const failed = lost.filter(
    ({ name }) => !lost.some((other) => name.startsWith(`${other.name}.`)),
  );
  return most(failed).map(({ name, results, by, calls }) => ({
    ...{ what: "name", subject: name, calls, key: "feature.network.dns.enabled" },
    words: `${Object.keys(results).join(", ")} (${by ?? "nobody"})`,
    changes: changeName(name, { verdict: "remote", key: nameKey(begin.config) }, current).slice(
      0,
      1,
    ),
  }));
}

const nameKey = ({ dnsLocal, dnsRemote }: TraceConfig): string | undefined =>
  dnsLocal !== undefined
    ? "feature.network.dns.filter.local"
    : dnsRemote === undefined
      ? "feature.network.dns.enabled"
      : undefined;

const shortOf = (name: string): string => name.split(".", 1)[0] ?? name;

function ports({ ports: rows }: Summary): Trouble[] {
  return rows
    .rows()
    .filter(({ taken }) => Object.keys(taken).some((result) => result !== "ok"))
    .slice(0, MAX_TROUBLES)
    .map(({ port, taken, binds, key }) => ({
      ...{ what: "port", subject: port, calls: binds, key },
      words: `not had: ${Object.keys(taken)
        .filter((result) => result !== "ok")
        .join(", ")}`,
      changes: [],
    }));
}

function variables({ variables: rows }: Summary, current: Current): Trouble[] {
  return rows
    .rows()
    .filter(({ verdict }) => verdict === "hidden")
    .slice(0, MAX_TROUBLES)
    .map(({ name, verdict, key }) => ({
      ...{
        what: "variable",
        subject: name,
        words: "yours, and hidden: it says who you are",
        calls: 1,
        key,
      },
      changes: changeVariable(name, { verdict, key }, current),
    }));
}

function programs({ programs: rows }: Summary, current: Current): Trouble[] {
  const skipped = rows.rows().filter(({ verdict }) => verdict === "skipped");
  return most(skipped).map(({ program, verdict, why, key, calls }) => ({
    ...{ what: "program", subject: program, words: `left alone: ${why}`, calls, key },
    changes: changeProgram(program, { verdict, key }, current),
  }));
}

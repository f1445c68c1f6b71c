/** What a trace comes to. Pure, and of bounded size whatever the trace's. */
import { posix } from "node:path";
import { ABSENT } from "./absent.ts";
import type { TraceBegin, TraceEnd, TraceLine } from "./format.ts";
import type { Read } from "./read.ts";
import { count, Largest, type Results, Tally } from "./tally.ts";

export interface Directory {
  readonly directory: string;
  /** Calls by where the file was. `fellBack`: the pod had none, so it was this machine's. */
  pod: number;
  here: number;
  fellBack: number;
  /** ENOENT from the pod. */
  missing: number;
  /** Names that are looked for on this machine, and are not there. */
  absent: number;
  /** EACCES, EPERM, EROFS. */
  refused: number;
  /** What the rules say is not there. */
  hidden: number;
  waitedMs: number;
}

export interface Connection {
  readonly to: string;
  /** Under which the program's resolver had found it. */
  names: readonly string[];
  readonly from: "the pod" | "this machine";
  readonly results: Results;
  calls: number;
  waitedMs: number;
  readonly key: string | undefined;
}

export interface Name {
  readonly name: string;
  readonly results: Results;
  calls: number;
  waitedMs: number;
  by: string | undefined;
  addresses: readonly string[];
}

export interface Port {
  readonly port: string;
  verdict: string;
  why: string;
  key: string | undefined;
  binds: number;
  /** Of taking it from the pod. */
  readonly taken: Results;
  incoming: number;
  readonly clients: Set<string>;
}

export interface Program {
  readonly program: string;
  readonly verdict: string;
  readonly why: string;
  readonly key: string | undefined;
  calls: number;
}

/** A path, and why it is worth a word. */
export interface FileTrouble {
  readonly path: string;
  readonly does: string | undefined;
  readonly verdict: string;
  readonly why: string;
  readonly key: string | undefined;
  readonly result: string;
  calls: number;
}

export interface Waiting {
  readonly group: "files" | "connections" | "names" | "ports";
  calls: number;
  ms: number;
}

export interface Summary {
  readonly begin: TraceBegin;
  readonly end: TraceEnd | undefined;
  readonly calls: number;
  readonly malformed: number;
  readonly directories: Tally<Directory>;
  readonly connections: Tally<Connection>;
  readonly names: Tally<Name>;
  readonly ports: Tally<Port>;
  readonly programs: Tally<Program>;
  /** Names of variables, by who gave them or why the program has them not. */
  readonly variables: Tally<{
    readonly name: string;
    readonly verdict: string;
    readonly key: string | undefined;
  }>;
  readonly files: Tally<FileTrouble>;
  readonly waiting: readonly Waiting[];
  readonly slowest: readonly TraceLine[];
}

const SLOWEST = 10;
const MAX_CLIENTS = 1000;
const REFUSED = /^(EACCES|EPERM|EROFS)$/;
const MISSING = /^(ENOENT|ENOTDIR)$/;
const FALLBACK_KEY = "feature.fs.fallback";
const NOT_PATHS = /^(connect|sendto|bind|take|incoming|resolve|program|env)$/;

/** @throws UserError as readTrace does */
export async function summarise(lines: AsyncIterable<Read>): Promise<Summary> {
  const tables = new Tables();
  for await (const line of lines) tables.add(line);
  return tables.done();
}

class Tables {
  #begin: TraceBegin | undefined;
  #end: TraceEnd | undefined;
  #calls = 0;
  #malformed = 0;
  readonly #directories = new Tally<Directory>((directory) => ({
    ...{
      directory,
      pod: 0,
      here: 0,
      fellBack: 0,
      missing: 0,
      absent: 0,
      refused: 0,
      hidden: 0,
      waitedMs: 0,
    },
  }));
  readonly #connections = new Tally<Connection>((name) => {
    const [from = "", to = "", key = ""] = name.split("\t");
    return {
      ...{ to, names: [], results: {}, calls: 0, waitedMs: 0 },
      from: from === "remote" ? "the pod" : "this machine",
      key: key === "" ? undefined : key,
    };
  });
  readonly #names = new Tally<Name>((name) => ({
    ...{ name, results: {}, calls: 0, waitedMs: 0, by: undefined, addresses: [] },
  }));
  readonly #ports = new Tally<Port>((port) => ({
    ...{ port, verdict: "", why: "", key: undefined, binds: 0, taken: {}, incoming: 0 },
    clients: new Set<string>(),
  }));
  readonly #programs = new Tally<Program>((name) => {
    const [program = "", verdict = "", why = "", key = ""] = name.split("\t");
    return { program, verdict, why, key: key === "" ? undefined : key, calls: 0 };
  });
  readonly #variables: Summary["variables"] = new Tally((text) => {
    const [name = "", verdict = "", key = ""] = text.split("\t");
    return { name, verdict, key: key === "" ? undefined : key };
  });
  readonly #files = new Tally<FileTrouble>((text) => JSON.parse(text) as FileTrouble);
  readonly #waiting = new Tally<Waiting>((group) => ({
    ...{ group: group as Waiting["group"], calls: 0, ms: 0 },
  }));
  readonly #slowest = new Largest<TraceLine>(SLOWEST);
  /** Names by address, as the trace has had them so far. */
  readonly #namesOf = new Tally<Set<string>>(() => new Set());

  add(line: Read): void {
    switch (line.kind) {
      case "begin":
        this.#begin = line;
        return;
      case "end":
        this.#end = line;
        return;
      case "malformed":
        this.#malformed++;
        return;
      case "call":
        this.#calls++;
        this.#call(line);
        return;
      case "unknown":
    }
  }

  done(): Summary {
    const begin = this.#begin;
    if (begin === undefined) throw new Error("a trace without its first line");
    return {
      ...{ begin, end: this.#end, calls: this.#calls, malformed: this.#malformed },
      ...{ directories: this.#directories, connections: this.#connections, names: this.#names },
      ...{ ports: this.#ports, programs: this.#programs, variables: this.#variables },
      ...{ files: this.#files, waiting: this.#waiting.rows(), slowest: this.#slowest.items },
    };
  }

  #call(line: TraceLine): void {
    switch (line.call) {
      case "connect":
      case "sendto":
        this.#connect(line);
        return;
      case "resolve":
        this.#resolve(line);
        return;
      case "bind":
      case "take":
      case "incoming":
        this.#listen(line);
        return;
      case "program": {
        const { verdict, why, key = "" } = line;
        const row = this.#programs.at([posix.basename(line.subject), verdict, why, key].join("\t"));
        if (row) row.calls++;
        return;
      }
      case "env":
        this.#variables.at([line.subject, line.verdict, line.key ?? ""].join("\t"));
        return;
      default:
        if (!NOT_PATHS.test(line.call)) this.#path(line);
    }
  }

  #waited(group: Waiting["group"], line: TraceLine): number {
    const { tookMs = 0 } = line;
    const row = this.#waiting.at(group);
    if (row) {
      row.calls++;
      row.ms += tookMs;
    }
    this.#slowest.add(tookMs, line);
    return tookMs;
  }

  #path(line: TraceLine): void {
    const { subject: path, verdict, result, key } = line;
    const row = this.#directories.at(posix.dirname(path));
    const isAbsent = line.call === ABSENT;
    if (row) {
      if (isAbsent) row.absent++;
      else if (result !== undefined && REFUSED.test(result)) row.refused++;
      else if (verdict === "not-found") row.hidden++;
      else if (key === FALLBACK_KEY) row.fellBack++;
      else if (result !== undefined && MISSING.test(result)) row.missing++;
      else if (verdict === "remote") row.pod++;
      else row.here++;
    }
    const took = verdict === "remote" || key === FALLBACK_KEY ? this.#waited("files", line) : 0;
    if (row) row.waitedMs += took;
    const failed = result !== undefined && (REFUSED.test(result) || MISSING.test(result));
    if (!isAbsent && !failed) return;
    const { does, why } = line;
    const trouble = { path, does, verdict, why, key, result: result ?? "ENOENT", calls: 0 };
    const file = this.#files.at(JSON.stringify(trouble));
    if (file) file.calls++;
  }

  #connect(line: TraceLine): void {
    const from = line.verdict === "remote" ? "remote" : "local";
    const row = this.#connections.at([from, line.subject, line.key ?? ""].join("\t"));
    const took = this.#waited("connections", line);
    if (!row) return;
    row.calls++;
    row.waitedMs += took;
    count(row.results, line.result ?? "not seen");
    const address = addressOf(line.subject);
    if (address !== undefined) row.names = [...(this.#namesOf.get(address) ?? [])];
  }

  #resolve(line: TraceLine): void {
    const [, name = line.subject] = /^\S+ (.*)$/s.exec(line.subject) ?? [];
    const row = this.#names.at(name);
    const took = this.#waited("names", line);
    const { addresses = [] } = line;
    for (const address of addresses) {
      const names = this.#namesOf.at(address);
      if (names && names.size < 8) names.add(name);
    }
    if (!row) return;
    row.calls++;
    row.waitedMs += took;
    row.by = line.peer;
    if (addresses.length > 0) row.addresses = addresses;
    count(row.results, line.result ?? "no answer");
  }

  #listen(line: TraceLine): void {
    const port = portOf(line.subject);
    const row = this.#ports.at(port);
    if (line.call === "take") this.#waited("ports", line);
    if (!row) return;
    if (line.call === "bind") {
      row.binds++;
      row.verdict = line.verdict;
      row.why = line.why;
      row.key = line.key;
    } else if (line.call === "take") count(row.taken, line.result ?? "failed");
    else {
      row.incoming++;
      const [, client = ""] = /^(.*):\d+$/.exec(line.peer ?? "") ?? [];
      if (row.clients.size < MAX_CLIENTS) row.clients.add(client);
    }
  }
}

/** `tcp 10.0.0.1:80`, `tcp [fd00::1]:80` */
export const addressOf = (subject: string): string | undefined =>
  /^(?:tcp |udp )?(?:\[([^\]]+)\]|([0-9.]+)):\d+$/.exec(subject)?.slice(1).find(Boolean);

/** `0.0.0.0:80`, `udp [::]:53`, `tcp :80` */
function portOf(subject: string): string {
  const [, protocol = "tcp", port] = /^(?:(tcp|udp) )?.*:(\d+)$/s.exec(subject) ?? [];
  return port === undefined ? subject : `${protocol} ${port}`;
}

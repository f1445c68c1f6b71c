/** What the processes of a session have: descriptors, threads and memory, by what each process is. */
import { readdirSync, readFileSync } from "node:fs";
import { commandOf, descendants, parentOf } from "../processes.ts";

export interface Usage {
  /** undefined: another user's process, which does not let us look. */
  readonly descriptors: number | undefined;
  readonly threads: number;
  readonly residentKilobytes: number;
}
export type Usages = ReadonlyMap<string, Usage>;

/** The session's own processes, those of the user's tree not among them. Two of a kind are numbered. */
export function usagesOf(cli: number): Usages {
  const found = new Map<string, Usage>();
  for (const pid of descendants(cli)) {
    const role = pid === cli ? "CLI" : roleOf(commandOf(pid));
    if (role === undefined) continue;
    const usage = usageOf(pid);
    let name = role;
    for (let number = 2; found.has(name); number++) name = `${role} ${number}`;
    if (usage) found.set(name, usage);
  }
  return found;
}

function roleOf([program = "", ...rest]: readonly string[]): string | undefined {
  if (program.endsWith("inpod-enter")) return "enter";
  if (program.endsWith("inpod-keeper")) return "keeper";
  if (!program.endsWith("node")) return undefined;
  const script = rest.find((word) => !word.startsWith("-")) ?? "";
  if (script.endsWith("dist/agent.js")) return "agent";
  return script.endsWith("dist/files.js") ? "file server" : undefined;
}

function usageOf(pid: number): Usage | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const field = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0);
    return {
      descriptors: descriptorsOf(pid),
      threads: field("Threads"),
      residentKilobytes: field("VmRSS"),
    };
  } catch {
    return undefined; // it has ended
  }
}

function descriptorsOf(pid: number): number | undefined {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return undefined;
  }
}

/** Ended processes below this one that nobody has waited for: "PID NAME of PARENT". */
export function zombiesOf(root: number): readonly string[] {
  const found: string[] = [];
  for (const pid of descendants(root)) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      const end = stat.lastIndexOf(")");
      if (stat[end + 2] === "Z") {
        found.push(`${pid} ${stat.slice(stat.indexOf("(") + 1, end)} of ${parentOf(pid)}`);
      }
    } catch {
      // it is gone
    }
  }
  return found;
}

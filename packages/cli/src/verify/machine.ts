/**
 * What is left of sessions on this machine: processes, by the mark that all of a tree inherit, mounts, and directories
 * of the pod's files. Linux.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { leftFolders } from "@inpod/layer/snapshot-folders";

export interface MachineFinding {
  readonly what: string;
  /** `held`: a living inpod's; `exception`: documented in docs/nothing-left-behind.md. */
  readonly verdict: "held" | "exception" | "left";
  readonly why: string;
}

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  readonly words: readonly string[];
  /** Of INPOD_SESSION in its environment, or in a keeper's arguments. */
  readonly session: string | undefined;
}

const MARK = "INPOD_SESSION=";

export function machineFindings(): MachineFinding[] {
  const processes = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => read(name) ?? []);
  return [
    ...judgeProcesses(processes),
    ...judgeMounts(readFileSync("/proc/self/mounts", "utf8")),
    ...leftFolders().map(
      (path): MachineFinding => ({
        what: `directory ${path}`,
        verdict: "left",
        why: "its session was killed, and its keeper, too; the next one removes it",
      }),
    ),
  ];
}

/** Pure. */
export function judgeProcesses(processes: readonly Process[]): MachineFinding[] {
  const byPid = new Map(processes.map((each) => [each.pid, each]));
  const isHeld = (each: Process): boolean => {
    const parent = byPid.get(each.parent);
    return parent !== undefined && (isInpod(parent) || isHeld(parent));
  };
  const keepers = new Map(
    processes.filter(isKeeper).map((each) => [each.session, isHeld(each) ? "held" : "alone"]),
  );
  return processes
    .filter((each) => each.session !== undefined || isEnter(each) || isFileServer(each))
    .filter((each) => !isInpod(each))
    .map((each): MachineFinding => {
      const what = `process ${each.pid} (${each.name})`;
      const keeper = isEnter(each) || isFileServer(each) ? undefined : keepers.get(each.session);
      if (isHeld(each) || keeper === "held")
        return { what, verdict: "held", why: "of a session that runs" };
      return keeper === "alone"
        ? { what, verdict: "exception", why: "a daemon that the program left running" }
        : { what, verdict: "left", why: "its session has ended" };
    });
}

/** Pure. @param mounts /proc/self/mounts (proc_pid_mounts(5)) */
export const judgeMounts = (mounts: string): MachineFinding[] =>
  mounts
    .split("\n")
    .filter((line) => /^\S+ \S+ fuse\.inpod /.test(line))
    .map((line) => ({
      what: `mount ${line.split(" ")[1]}`,
      verdict: "left",
      why: "inpod mounts nothing that others see",
    }));

const program = ({ words }: Process): string => (words[0] ?? "").replace(/^.*\//, "");
const isKeeper = (each: Process): boolean => program(each) === "inpod-keeper";
const isEnter = (each: Process): boolean => program(each) === "inpod-enter";
const isFileServer = (each: Process): boolean =>
  program(each) === "node" && /(^|\/)files\.js \d+$/.test(each.words.slice(-2).join(" "));
const isInpod = (each: Process): boolean =>
  /^(node|inpod)/.test(program(each)) &&
  each.words.some((word) => /(^|\/)(cli\.js|inpod)$/.test(word));

function read(pid: string): Process | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // proc_pid_stat(5): the name stands in parentheses and may contain some itself.
    const end = stat.lastIndexOf(")");
    const [state = "", parent] = stat.slice(end + 2).split(" ");
    if (state === "Z" || state === "X") return undefined;
    if (readlinkSync(`/proc/${pid}/ns/pid`) !== ourNamespace()) return undefined;
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
    return {
      pid: Number(pid),
      parent: Number(parent),
      name: stat.slice(stat.indexOf("(") + 1, end),
      words,
      session: sessionOf(words, environment(pid)),
    };
  } catch {
    return undefined; // it has ended, or is another user's
  }
}

/** Processes of containers are not the user's own: on a node that is this machine they are the cluster's. */
const ourNamespace = (): string => readlinkSync("/proc/self/ns/pid");

function environment(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
  } catch {
    return []; // another user's
  }
}

const sessionOf = (...lists: (readonly string[])[]): string | undefined =>
  lists
    .flat()
    .find((entry) => entry.startsWith(MARK))
    ?.slice(MARK.length);

/** Daemons that do a program's work outside of the tree that starts it, by what tells them and their clients. */
import { readdirSync, readFileSync } from "node:fs";
import { statOf } from "./exec/proc.ts";

export interface KnownDaemon {
  readonly who: string;
  /** What to do about one that runs already, or is left running. */
  readonly hint: string;
  /** Base names of commands that ask it. */
  readonly clients: readonly string[];
  /** Of a client that is a script: its command line, words with a blank between. */
  readonly clientLine?: RegExp;
  /** The daemon's own command line, or its name in the kernel's table. */
  readonly line?: RegExp;
  readonly title?: RegExp;
}

export const KNOWN_DAEMONS: Readonly<Record<string, KnownDaemon>> = {
  gradle: {
    who: "the Gradle daemon",
    hint: "gradle --no-daemon …, or end it first: gradle --stop",
    clients: ["gradle", "gradlew", "gradlew.bat"],
    clientLine:
      /org\.gradle\.(wrapper\.GradleWrapperMain|launcher\.GradleMain)|gradle-wrapper\.jar/,
    line: /org\.gradle\.launcher\.daemon\.bootstrap\.GradleDaemon/,
  },
  mvnd: {
    who: "mvnd's daemon",
    hint: "mvn in its place, or end it first: mvnd --stop",
    clients: ["mvnd"],
    line: /org\.mvndaemon\.mvnd\.daemon/,
  },
  bazel: {
    who: "Bazel's server",
    hint: "build outside of inpod, and run bazel-bin/… itself",
    clients: ["bazel", "bazelisk"],
    line: /^bazel\(|A-server\.jar/,
  },
  nx: {
    who: "nx's daemon",
    hint: "NX_DAEMON=false, or end it first: nx reset",
    clients: ["nx"],
    clientLine: /\/nx\/(bin|dist\/bin)\/nx(\.js)?( |$)|\.bin\/nx( |$)/,
    line: /nx\/src\/daemon\/server\/start/,
  },
  tmux: {
    who: "tmux's server",
    hint: "tmux -L NAME … starts one of its own",
    clients: ["tmux"],
    title: /^tmux: server/,
  },
  screen: {
    who: "screen's server",
    hint: "start inpod inside of screen",
    clients: ["screen"],
    line: /^(\S*\/)?SCREEN( |$)/,
  },
};

/** Which of them a process is. @param title its name in the kernel's table (comm) */
export const daemonOf = (commandLine: string, title = ""): string | undefined =>
  Object.entries(KNOWN_DAEMONS).find(
    ([, { line, title: own }]) => line?.test(commandLine) === true || own?.test(title) === true,
  )?.[0];

/** Which of them a command asks. @param name base name of the command */
export const daemonAskedBy = (name: string, commandLine: string): string | undefined =>
  Object.entries(KNOWN_DAEMONS).find(
    ([, { clients, clientLine }]) =>
      clients.includes(name) || clientLine?.test(commandLine) === true,
  )?.[0];

/** As ps(1) shows it; "": it has ended, is another user's, or a kernel thread. */
export function commandLineOf(pid: number | string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

/** Known daemons that run on this machine, but not what they have forked: it looks like them until it executes something. */
export function runningDaemons(): { pid: number; name: string }[] {
  let entries: string[];
  try {
    entries = readdirSync("/proc");
  } catch {
    return []; // no Linux
  }
  const found = new Map<number, { name: string; parent: number }>();
  for (const entry of entries) {
    const stat = /^\d+$/.test(entry) ? statOf(entry) : undefined;
    if (!stat) continue;
    const name = daemonOf(commandLineOf(entry), stat.name);
    if (name !== undefined) found.set(Number(entry), { name, parent: stat.parent });
  }
  return [...found]
    .filter(([, { name, parent }]) => found.get(parent)?.name !== name)
    .map(([pid, { name }]) => ({ pid, name }));
}

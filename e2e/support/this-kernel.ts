/** Processes and network namespaces of the nodes of e2e/cluster, which share this machine's kernel. */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A reason to skip, or false: of another cluster we cannot kill or look into anything. */
export const notOnThisKernel: string | false =
  process.env.KUBECONFIG === "/var/lib/lab/kubeconfig" && process.getuid?.() === 0
    ? false
    : "needs the cluster of e2e/cluster, and root";

const read = (pid: number, file: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return ""; // it has ended
  }
};

/** argv, with spaces between; "" of one that has ended. */
export const commandOf = (pid: number): string => read(pid, "cmdline").split("\0").join(" ").trim();

export function processesWhere(matches: (pid: number) => boolean): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && matches(pid));
}

/** Those whose first environment has `entry`, as "NAME=value". */
export const processesWith = (entry: string): number[] =>
  processesWhere((pid) => read(pid, "environ").split("\0").includes(entry));

export const variableOf = (pid: number, name: string): string | undefined =>
  read(pid, "environ")
    .split("\0")
    .find((entry) => entry.startsWith(`${name}=`))
    ?.slice(name.length + 1);

export const parentOf = (pid: number): number => Number(/\) \S (\d+)/.exec(read(pid, "stat"))?.[1]);

export const childrenOf = (pid: number): number[] =>
  processesWhere((each) => parentOf(each) === pid);

/** Processes in the cgroups of a pod (its uid), `pause` among them. */
export const processesOfPod = (uid: string): number[] =>
  processesWhere((pid) => {
    const groups = read(pid, "cgroup");
    return groups.includes(uid) || groups.includes(uid.replaceAll("-", "_"));
  });

/** Those below the first process of a node whose command matches: the node's daemons. */
export function daemonsOf(node: string, command: RegExp): number[] {
  const number = node.replace(/^.*-/, "");
  const first = Number(readFileSync(`/var/lib/lab/node${number}/pid`, "latin1"));
  // Each is a child of a shell that starts it again.
  return childrenOf(first)
    .flatMap((shell) => childrenOf(shell))
    .filter((pid) => command.test(commandOf(pid)));
}

export const kill9 = (...pids: number[]): void => {
  for (const pid of pids) process.kill(pid, "SIGKILL");
};

/** Runs a program in the network namespace of a process. @returns its stdout, "" when it failed */
export const inNetworkOf = (pid: number, ...command: string[]): Promise<string> =>
  run("nsenter", [`--net=/proc/${pid}/ns/net`, ...command], { timeout: 70_000 }).then(
    ({ stdout }) => stdout,
    () => "",
  );

/** What an HTTP server says to who asks from the network of a process; "" for no answer. */
export const askFrom = (pid: number, address: string, port: number, path = "/"): Promise<string> =>
  inNetworkOf(
    pid,
    ...["curl", "-s", "--max-time", path === "/" ? "5" : "60"],
    `http://${address}:${port}${path}`,
  );

/** As nft(8) prints it. */
export const rulesetOf = (pid: number): Promise<string> =>
  inNetworkOf(pid, "nft", "list", "ruleset");

/** What is mounted here. */
export const mounts = (): string[] =>
  readFileSync("/proc/self/mountinfo", "latin1")
    .split("\n")
    .map((line) => line.split(" ").slice(4).join(" "))
    .filter((line) => line !== "")
    .sort();

/**
 * Starts the sandbox's processes. The chain, outermost first:
 *
 *   laptop     sh      a network namespace with loopback only, and as an ordinary user a user namespace in which the
 *                      uid stays what it is. It only waits: it is the anchor that others enter.
 *   unshare            waits for the supervisor
 *   supervisor node    pid 1 of the sandbox's pid namespace, its own mount and network namespace; see supervisor.js
 *   client, pod        its children, each with a network namespace of its own
 *
 * As an ordinary user the laptop's user namespace is the parent of the pod's: the owner of a user namespace has all
 * capabilities in it when seen from its parent (user_namespaces(7)), so an unprivileged process in the laptop may
 * enter the pod, as root may.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Duplex, Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { NETWORK, POD_ENVIRONMENT, RECORDS } from "./network.ts";
import { descendantsOf, type ProcessEntry, readProcessTable } from "./processes.ts";
import { explainRefusal } from "./refusals.ts";

export const isRoot = process.getuid?.() === 0;

/** ip and nft are not on every user's PATH. */
export const toolPath = `${process.env.PATH ?? ""}:/usr/sbin:/sbin:/usr/bin:/bin`;

const STDERR_LIMIT_CHARS = 8_192;

export interface Launched {
  /** The laptop's shell. Its stdin's end is the end of everything. */
  readonly laptop: ChildProcess;
  readonly control: Duplex;
  /** As the caller sees them. */
  readonly pids: { readonly laptop: number; readonly pod: number; readonly client: number };
}

export interface LaunchOptions {
  readonly uid: number;
  readonly gid: number;
  readonly hasIPv6: boolean;
  readonly timeoutMs: number;
}

const LAPTOP_SCRIPT = `ip link set lo up && ip route add unreachable default &&
unshare "$@"`;

export async function launch({ uid, gid, hasIPv6, timeoutMs }: LaunchOptions): Promise<Launched> {
  const supervisor = fileURLToPath(new URL("../supervisor.js", import.meta.url));
  const configuration = JSON.stringify({
    network: NETWORK,
    records: RECORDS,
    environment: POD_ENVIRONMENT,
    uid,
    gid,
    hasIPv6,
  });
  // --keep-caps: without uid 0 the capabilities of the new namespace would be lost at exec.
  const laptopUser = isRoot ? [] : ["--user", "--map-current-user", "--keep-caps"];
  const podUser = isRoot ? [] : ["--user", "--map-root-user"];
  const laptop = spawn(
    "unshare",
    [
      ...[...laptopUser, "--net", "/bin/sh", "-c", LAPTOP_SCRIPT, "laptop"],
      ...[
        ...podUser,
        "--net",
        "--mount",
        "--uts",
        "--ipc",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
      ],
      ...[process.execPath, supervisor, configuration],
    ],
    {
      stdio: ["pipe", "pipe", "pipe", "pipe"],
      env: { PATH: toolPath },
      cwd: "/",
      // A session of its own: the terminal's Ctrl-C is for the caller, who then stops the sandbox.
      detached: true,
    },
  );
  laptop.stdin?.on("error", () => {}); // EPIPE where it died first
  try {
    const { pod, client } = await untilReady(laptop, timeoutMs);
    const inside = descendantsOf(laptop.pid as number, await readProcessTable());
    const podPid = descendantsOf(hostPid(inside, pod), inside)[0]?.pid;
    if (podPid === undefined) throw new Error("the sandbox's pod ended during its start");
    return {
      laptop,
      control: laptop.stdio[3] as Duplex,
      pids: { laptop: laptop.pid as number, pod: podPid, client: hostPid(inside, client) },
    };
  } catch (error) {
    laptop.stdin?.destroy();
    throw error;
  }
}

/** @param pid as the supervisor sees it */
function hostPid(inside: readonly ProcessEntry[], pid: number): number {
  // The supervisor is the one that became pid 1; its children are one namespace deep as it is.
  const depth = inside.find((entry) => entry.namespacePids.at(-1) === 1)?.namespacePids.length;
  const entry = inside.find(
    ({ namespacePids }) => namespacePids.length === depth && namespacePids.at(-1) === pid,
  );
  if (entry === undefined) throw new Error(`the sandbox's process ${pid} is not in /proc`);
  return entry.pid;
}

function untilReady(
  child: ChildProcess,
  timeoutMs: number,
): Promise<{ pod: number; client: number }> {
  return new Promise((resolve, reject) => {
    let words = "";
    let line = "";
    const fail = (why: string): void => {
      clearTimeout(deadline);
      reject(new Error(why));
    };
    const deadline = setTimeout(() => {
      fail(`the sandbox was not ready within ${timeoutMs} ms: ${words.trim() || "no message"}`);
    }, timeoutMs);
    child.once("error", (error) =>
      fail(`the sandbox needs util-linux's unshare: ${error.message}`),
    );
    // "close", not "exit": the reason may still be in the pipe.
    child.once("close", () => fail(explainRefusal(words, isRoot)));
    (child.stderr as Readable).setEncoding("utf8").on("data", (text: string) => {
      words = (words + text).slice(-STDERR_LIMIT_CHARS);
    });
    (child.stdout as Readable).setEncoding("utf8").on("data", (text: string) => {
      line += text;
      if (!line.includes("\n")) return;
      clearTimeout(deadline);
      resolve(JSON.parse(line) as { pod: number; client: number });
    });
  });
}

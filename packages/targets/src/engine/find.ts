/** From `docker/NAME` to a running container, or to an error that says why there is none. */
import { existsSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { nearestNames, UserError } from "@inpod/protocol";
import type { ContainerEngine } from "../target-path.ts";
import { EngineFailure, runEngine } from "./engine-cli.ts";

export interface EngineContainer {
  readonly engine: ContainerEngine;
  /** The whole id. */
  readonly id: string;
  readonly name: string;
  /** For people: "podman/web". */
  readonly path: string;
  /** Of its main process, on the engine's machine. */
  readonly pid: number;
  /** That machine is ours: an engine can be in a virtual machine, or elsewhere. */
  readonly isLocal: boolean;
  readonly environment: Readonly<Record<string, string>>;
  /** Where it has volumes. */
  readonly volumeMounts: readonly string[];
}

/** @throws UserError CONTAINER_NOT_FOUND, TARGET_NOT_RUNNING, ENGINE_NOT_FOUND, ENGINE_UNREACHABLE */
export async function findContainer(
  engine: ContainerEngine,
  name: string,
  signal?: AbortSignal,
): Promise<EngineContainer> {
  let text: string;
  try {
    text = await runEngine(engine, ["container", "inspect", name], signal);
  } catch (error) {
    if (!(error instanceof EngineFailure)) throw error;
    if (!/no such|not found/i.test(error.message)) throw inspectFailed(engine, name, error);
    throw containerNotFound(engine, name, await names(engine, signal));
  }
  return describeContainer(engine, name, text);
}

/** Pure but for a look into /proc. @throws UserError TARGET_NOT_RUNNING, ENGINE_FAILED */
export function describeContainer(
  engine: ContainerEngine,
  named: string,
  inspected: string,
): EngineContainer {
  const { Id, Name, State, Config, Mounts } = firstObject(engine, named, inspected);
  const state = Object(State) as Record<string, unknown>;
  const id = typeof Id === "string" ? Id : "";
  const pid = Number(state.Pid);
  // Docker's begins with a slash.
  const name = typeof Name === "string" ? Name.replace(/^\//, "") : named;
  const status = typeof state.Status === "string" ? state.Status : "unknown";
  if (status !== "running" || !Number.isSafeInteger(pid) || pid <= 0)
    throw targetNotRunning(engine, name, status, state.ExitCode);
  return {
    engine,
    id,
    name,
    path: `${engine}/${name}`,
    pid,
    isLocal: isMainProcessOf(pid, id),
    environment: environmentOf(Object(Config).Env),
    volumeMounts: (Array.isArray(Mounts) ? Mounts : [])
      .map((mount) => Object(mount).Destination)
      .filter((path) => typeof path === "string" && path.startsWith("/"))
      .map((path) => posix.normalize(path).replace(/\/+$/, "")),
  };
}

function firstObject(
  engine: ContainerEngine,
  name: string,
  text: string,
): Readonly<Record<string, unknown>> {
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list) && typeof list[0] === "object" && list[0] !== null) return list[0];
  } catch {
    // Told below.
  }
  throw inspectFailed(engine, name, new Error("its answer is no list of containers"));
}

function environmentOf(list: unknown): Record<string, string> {
  const pairs = (Array.isArray(list) ? list : []).flatMap((each): [string, string][] => {
    const at = typeof each === "string" ? each.indexOf("=") : -1;
    return at > 0 ? [[each.slice(0, at), each.slice(at + 1)]] : [];
  });
  return Object.fromEntries(pairs);
}

/**
 * The same number can be another process's on this machine. A container's id is in its cgroup's path, and where the
 * engine makes none, on the command line of the shim or conmon that is its parent.
 */
function isMainProcessOf(pid: number, id: string): boolean {
  if (id === "" || !existsSync(`/proc/${pid}`)) return false;
  try {
    if (readFileSync(`/proc/${pid}/cgroup`, "latin1").includes(id)) return true;
    const parent = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    return readFileSync(`/proc/${parent}/cmdline`, "latin1").split("\0").includes(id);
  } catch {
    return false;
  }
}

async function names(engine: ContainerEngine, signal?: AbortSignal): Promise<string[]> {
  try {
    return (await runEngine(engine, ["ps", "--all", "--format", "{{.Names}}"], signal))
      .split("\n")
      .filter((name) => name !== "");
  } catch {
    return [];
  }
}

const containerNotFound = (
  engine: ContainerEngine,
  name: string,
  known: readonly string[],
): UserError => {
  const near = nearestNames(name, known);
  return new UserError("CONTAINER_NOT_FOUND", `no container "${name}" in ${engine}`, {
    hints: [
      ...(near.length > 0
        ? [`did you mean ${near.map((each) => `${engine}/${each}`).join(", ")}?`]
        : []),
      `see which there are: ${engine} ps --all`,
      // Each user has containers of his own there.
      ...(engine === "podman"
        ? ["containers of root are seen by root only, and yours by you"]
        : []),
    ],
  });
};

const targetNotRunning = (
  engine: ContainerEngine,
  name: string,
  status: string,
  exitCode: unknown,
): UserError => {
  const why =
    status === "exited" || status === "stopped"
      ? `it ended with code ${Number(exitCode)}`
      : `it is ${status}`;
  return new UserError(
    "TARGET_NOT_RUNNING",
    `container "${name}" of ${engine} is not running: ${why}`,
    {
      hints: [
        status === "paused"
          ? `let it go on: ${engine} unpause ${name}`
          : `start it: ${engine} start ${name}`,
        `or see what it said: ${engine} logs ${name}`,
      ],
    },
  );
};

const inspectFailed = (engine: ContainerEngine, name: string, cause: Error): UserError =>
  new UserError("ENGINE_FAILED", `${engine} does not tell about the container "${name}"`, {
    hints: [`see what it says: ${engine} container inspect ${name}`],
    cause,
  });

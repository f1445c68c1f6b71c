/** kubectl on the cluster that KUBECONFIG names, for scenarios to arrange and to look with. */
import { execFile } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { saidOfRunning } from "./inpod.ts";

const run = promisify(execFile);
/** Also of what goes on during a whole rollout. */
const COMMAND_TIMEOUT_MS = 240_000;
/** Milliseconds between questions: at first, and at most. Each is a process, of a tenth of a second of one processor. */
const POLL_MS = 100;
const MAX_POLL_MS = 1000;

/** A reason to skip every scenario, or false: for node:test's `skip`. */
export const noCluster: string | false = process.env.KUBECONFIG ? false : "needs KUBECONFIG";

/** Of a file's scenarios: less than its own deadline (scripts/e2e.sh), so that the failure names the scenario that hangs. */
export const FILE_TIMEOUT_MS = 850_000;
export const onCluster = { skip: noCluster, timeout: FILE_TIMEOUT_MS };

/** Its stdout. @throws with kubectl's stderr */
export async function kubectl(...args: readonly string[]): Promise<string> {
  const { stdout } = await run("kubectl", [...args], {
    timeout: COMMAND_TIMEOUT_MS,
    maxBuffer: 32 * 1024 * 1024,
  });
  return stdout;
}

/** Creates or changes `objects`. */
export const apply = (...objects: readonly object[]): Promise<void> =>
  applyText(JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }));

/** YAML or JSON, as a person would paste it. @throws with kubectl's stderr */
export async function applyText(text: string, ...flags: readonly string[]): Promise<void> {
  const child = run("kubectl", ["apply", ...flags, "-f", "-"], { timeout: COMMAND_TIMEOUT_MS });
  child.child.stdin?.end(text);
  await child;
}

/** Asks again, more and more rarely, until the answer is not undefined. For what the cluster tells nobody about. */
export async function waitFor<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  timeoutMs = 90_000,
  pollMs = POLL_MS,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (let pauseMs = pollMs; ; pauseMs = Math.min(pauseMs * 1.3, Math.max(pollMs, MAX_POLL_MS))) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) {
      throw new Error(`waited ${timeoutMs / 1000} s for ${what}${saidOfRunning()}`);
    }
    await delay(pauseMs);
  }
}

/** What the tests read of a pod. */
export interface PodItem {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
  };
  readonly status: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly { readonly state: { readonly running?: object } }[];
  };
}

/** Pods that `labels` select, without those that are being deleted. */
export async function stayingPods(namespace: string, labels: string): Promise<PodItem[]> {
  const text = await kubectl("get", "pods", "-n", namespace, "-l", labels, "-o", "json");
  const { items } = JSON.parse(text) as { items: PodItem[] };
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

/** All agents that `labels` select: the node tells the cluster up to a second after their first answer. */
export const untilAgentIsKnown = (namespace: string, labels: string): Promise<true> =>
  waitFor("the agent's pod to be known to run", async () => {
    const living = (await stayingPods(namespace, labels)).filter(
      ({ status }) => !/Succeeded|Failed/.test(status.phase ?? ""),
    );
    const areKnown = living.every(({ status }) =>
      status.containerStatuses?.every((each) => each.state.running !== undefined),
    );
    return living.length > 0 && areKnown ? true : undefined;
  });

/** Every object that a session may have left in a namespace, as `kind/name`. */
export async function inventory(namespace: string): Promise<string[]> {
  const kinds = "jobs,pods,secrets,configmaps,services,leases";
  const names = await kubectl("get", kinds, "-n", namespace, "-o", "name");
  return names.split("\n").filter((name) => name !== "");
}

/** Until the namespace has again what `inventory()` has found before. */
export async function untilInventoryIs(
  namespace: string,
  found: readonly string[],
  timeoutMs = 150_000,
): Promise<void> {
  let now: string[] = [];
  const isSo = async (): Promise<true | undefined> => {
    now = await inventory(namespace);
    return now.join() === found.join() ? true : undefined;
  };
  await waitFor("the namespace to be as before", isSo, timeoutMs).catch((error: Error) => {
    throw new Error(`${error.message}\nthere is: ${now.join(" ")}\nbefore: ${found.join(" ")}`);
  });
}

/** Services, endpoints and pods' specs, as they are written down: each change of one would change its version. */
export const written = async (namespace: string): Promise<string> =>
  (await kubectl("get", "services,endpoints,endpointslices", "-n", namespace, "-o", "yaml")) +
  (await kubectl("get", "pods", "-l", "app", "-n", namespace, "-o", "jsonpath={.items[*].spec}"));

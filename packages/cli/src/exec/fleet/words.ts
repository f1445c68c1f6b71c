/** From which pods the traffic comes, in one line. Pure. */
import type { PodPort } from "@inpod/protocol";

const MAX_NAMES = 10;

export interface Taken {
  readonly mode: "steal" | "mirror";
  readonly ports: readonly PodPort[];
  /** Names of the pods, in order. */
  readonly pods: readonly string[];
  /** How many pods of the workload are ready. */
  readonly ready: number;
  /** "deployment/orders" */
  readonly of: string;
  /** As the user said it, or the default. */
  readonly limit: number;
}

/** "taking port 80 from 3 pods: a, b, c" */
export function takenWords({ mode, ports, pods, ready, of, limit }: Taken): string {
  const isLimited = ready > pods.length && pods.length >= limit;
  const count =
    ready > pods.length ? `${pods.length} of ${ready} pods of ${of}` : counted("pod", pods.length);
  return [
    mode === "steal" ? "taking " : "copying ",
    `${ports.length === 1 ? "port" : "ports"} ${ports.map(portWords).join(", ")} from ${count}`,
    pods.length === 0 ? "" : `: ${names(pods)}`,
    isLimited ? " (--replicas all: from all of them)" : "",
  ].join("");
}

/** "pod d joined, pods a, b are gone" */
export function changeWords(before: readonly string[], now: readonly string[]): string {
  const joined = now.filter((name) => !before.includes(name));
  const gone = before.filter((name) => !now.includes(name));
  const said = [
    ...(joined.length === 0 ? [] : [`${podsWords(joined)} joined`]),
    ...(gone.length === 0 ? [] : [`${podsWords(gone)} ${gone.length === 1 ? "is" : "are"} gone`]),
  ];
  return said.join(", ");
}

/** "connections that came: a 12, b 11"; the target's own pod may have been several, each of its name then */
export function countWords(counts: readonly (readonly [name: string, count: number])[]): string {
  const all = new Map<string, number>();
  for (const [name, count] of counts) all.set(name, (all.get(name) ?? 0) + count);
  return `connections that came: ${[...all].map(([name, count]) => `${name} ${count}`).join(", ")}`;
}

const podsWords = (pods: readonly string[]): string =>
  `${pods.length === 1 ? "pod" : "pods"} ${names(pods)}`;

export const portWords = ({ port, protocol }: PodPort): string =>
  protocol === "udp" ? `${port}/udp` : String(port);

function names(pods: readonly string[]): string {
  const more = pods.length - MAX_NAMES;
  return pods.slice(0, MAX_NAMES).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

const counted = (word: string, count: number): string =>
  `${count} ${word}${count === 1 ? "" : "s"}`;

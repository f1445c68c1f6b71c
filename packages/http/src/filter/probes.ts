/**
 * Which requests are the kubelet's, and so the pod's own business, whatever filters say.
 *
 * The kubelet says who it is (`kube-probe/1.35`, `kube-lifecycle/1.35` for hooks), by HTTP/1 and gRPC alike, unless
 * the probe's spec has a User-Agent of its own. The path counts only then: redirects of the pod's server are followed,
 * to paths that the spec does not know.
 */
import type { RequestFacts } from "./subject.ts";

export type RequestTest = (request: RequestFacts) => boolean;

/** A probe as its spec has it (see package protocol). */
export interface ProbeSpec {
  readonly kind: string;
  readonly path?: string;
  readonly userAgent?: string;
}

const KUBELET = /^kube-(probe|lifecycle)\//;

/**
 * @param probes of one port
 * @returns undefined: none of them is made of requests
 */
export function isKubeletRequest(probes: readonly ProbeSpec[]): RequestTest | undefined {
  const asked = probes.filter(({ kind }) => kind !== "tcp");
  if (asked.length === 0) return undefined;
  const disguised = new Map<string, Set<string>>();
  for (const { path = "/", userAgent } of asked) {
    if (userAgent === undefined) continue;
    const paths = disguised.get(userAgent.trim()) ?? new Set();
    disguised.set(userAgent.trim(), paths.add(canonical(path)));
  }
  return ({ target, headers }) => {
    const agent = headers.find(({ name }) => name === "user-agent")?.value ?? "";
    if (KUBELET.test(agent)) return true;
    return disguised.size > 0 && disguised.get(agent)?.has(canonical(target)) === true;
  };
}

/** Go writes a path in its own way: with a slash before it, without a fragment, and escaped. */
function canonical(target: string): string {
  const path = target.replace(/#.*$/s, "").replace(/^\/?/, "/");
  try {
    return decodeURI(path);
  } catch {
    return path;
  }
}

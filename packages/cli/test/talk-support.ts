/** The witnesses of every way to talk (sandbox/witness/talk): run in the pod, and through inpod, where they see the same. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { buildWitness, NETWORK, type Sandbox, type WitnessName } from "@inpod/sandbox";
import { Run, type RunOptions, startInpod } from "./exec-support.ts";

export const NO_IPV6 = !existsSync("/proc/net/if_inet6") && "needs IPv6";

export async function program(name: WitnessName): Promise<string> {
  const built = await buildWitness(name);
  assert.equal(built.kind, "ready");
  return built.kind === "ready" ? (built.argv[0] ?? "") : "";
}

/** What the witnesses are told of the sandbox. */
export const SETTINGS = {
  PEER: NETWORK.client.address,
  PEER6: NETWORK.client.addressIPv6,
  NO_ROUTE6: "2001:2:0:ff::1",
  POD: NETWORK.pod.address,
  REFUSED: NETWORK.services.greetings,
  BLACK_HOLE: NETWORK.blackHole,
  UNREACHABLE: NETWORK.unreachable,
};

/** Whom the witnesses speak with, in the client's network. Ends with the sandbox. */
export async function startPeer(sandbox: Sandbox, hosts: readonly string[]): Promise<Run> {
  const peer = new Run(sandbox.inClient([await program("talk-peer"), ...hosts]));
  await peer.said("ready");
  return peer;
}

/** "== name" begins what a case has told. */
export function casesOf(text: string): Map<string, string> {
  const parts = text.split(/^== /m).slice(1);
  return new Map(
    parts.map((part) => [part.slice(0, part.indexOf("\n")), part.slice(part.indexOf("\n") + 1)]),
  );
}

export async function inPodAndThrough(
  sandbox: Sandbox,
  name: WitnessName,
  cases: readonly string[],
  options: RunOptions & { readonly settings?: Readonly<Record<string, string>> } = {},
): Promise<{ inPod: Map<string, string>; through: Map<string, string>; stderr: string }> {
  const path = await program(name);
  const settings = Object.entries({ ...SETTINGS, ...options.settings }).map(
    ([key, value]) => `${key}=${value}`,
  );
  const inside = await sandbox.copyIntoPod(path);
  // One after the other: they use the same ports.
  const there = await new Run(sandbox.inPod(["env", ...settings, inside, ...cases])).ended;
  const here = await (await startInpod(sandbox, ["env", ...settings, path, ...cases], options))
    .ended;
  assert.equal(there.code, 0, there.stderr);
  assert.equal(here.code, 0, here.stderr);
  return { inPod: casesOf(there.stdout), through: casesOf(here.stdout), stderr: here.stderr };
}

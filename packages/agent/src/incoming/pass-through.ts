/** Connections to the pod's own server in a client's name: what nobody wants of a stolen port. */
import { randomInt } from "node:crypto";
import { isIPv6, type Socket } from "node:net";
import type { Endpoint } from "@inpod/protocol";
import type { Passing, Tracked } from "../control/messages.ts";
import { errnoOf, Failure } from "../failure.ts";
import type { OwnEnds } from "../mirror/own-ends.ts";
import { established } from "./established.ts";

/** A port of ours can be in use by somebody else, or, with the client's address, by the client. */
const ATTEMPTS = 8;
/** Linux's own ephemeral ports: no server is kept from one for long. */
const PORTS = [32768, 60999] as const;
/**
 * The pod sees a port that is so much lower, which no client's kernel picks: with one that the client has, too, the kernel
 * would take two connections for one, or tell them apart by translating the client's own, which ends with our table.
 * enter knows it too (flush.c).
 */
const SEEN_BELOW = 28_672;
/** The pod is on this side of every wire. */
const TIMEOUT_MS = 5000;

export interface PassRules {
  pass(passing: Passing): Promise<void>;
  passed(passing: Passing): Promise<void>;
}

export interface PassParts {
  readonly rules: PassRules;
  readonly own: Pick<OwnEnds, "add" | "remove">;
}

/**
 * What a client of the relay has connected to. One in the pod itself, or the pod's sidecar, is redirected to loopback,
 * whatever address it was that it has asked for: there is a server on it, and maybe not on loopback.
 */
export async function addressed(
  rules: { otherEnd(tracked: Tracked): Promise<Endpoint> },
  client: Endpoint,
  relay: Endpoint,
  port: number,
): Promise<Endpoint> {
  const { address } = relay;
  if (address !== "::1" && !address.startsWith("127.")) return { address, port };
  try {
    return await rules.otherEnd({ client, by: "accepted", local: relay });
  } catch {
    return { address, port };
  }
}

/**
 * The pod sees the client's address where the kernel can do that, with another port: the client's is known to the kernel
 * from the connection to us. A server that listens on loopback only is connected to from there.
 *
 * @param local the address and port that the client has connected to
 * @returns a connected socket, half-open allowed. Rejects with a Failure or connect(2)'s error.
 */
export async function connectToPod(
  { rules, own }: PassParts,
  client: Endpoint,
  local: Endpoint,
): Promise<Socket> {
  const loopback = isIPv6(local.address) ? "::1" : "127.0.0.1";
  let host = local.address;
  let isSeen = true;
  for (let attempt = 1; ; attempt++) {
    const ownPort = randomInt(PORTS[0], PORTS[1] + 1);
    const seen = isSeen
      ? { address: client.address, port: ownPort - SEEN_BELOW }
      : { address: host, port: ownPort };
    // The client's own packets are copied already, where somebody mirrors.
    own.add(seen);
    const passing = { ownPort, port: local.port, client: isSeen ? seen : undefined };
    try {
      const socket = await connectAs(rules, passing, host);
      socket.once("close", () => own.remove(seen));
      return socket;
    } catch (error) {
      own.remove(seen);
      const errno = error instanceof Failure ? error.errno : errnoOf(error);
      if (errno === "EOPNOTSUPP" && isSeen) isSeen = false;
      else if (errno === "ECONNREFUSED" && host !== loopback) [host, isSeen] = [loopback, false];
      else if (!/^(EADDRINUSE|EADDRNOTAVAIL|EEXIST|ETIMEDOUT)$/.test(errno) || attempt >= ATTEMPTS)
        throw error;
    }
  }
}

async function connectAs(rules: PassRules, passing: Passing, host: string): Promise<Socket> {
  await rules.pass(passing);
  try {
    const to = { host, port: passing.port, localPort: passing.ownPort };
    return await established(to, TIMEOUT_MS, "the pod does not answer");
  } finally {
    // Its first packet was what mattered, and nobody waits for this. If the rules are lost, so is this.
    rules.passed(passing).catch(() => undefined);
  }
}

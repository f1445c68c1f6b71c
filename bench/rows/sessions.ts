/** Many sessions on one pod, each with a filter of its own: what that costs the pod's requests. */
import { generateKeyPairSync } from "node:crypto";
import { connectTunnel, rawFromPublicKey, type Tunnel } from "@inpod/tunnel";
import { Place, POD } from "../../packages/agent/test/support/outside.ts";
import { Agent } from "../../packages/agent/test/support/pod.ts";
import { type Bed, HTTP_SERVER } from "../bed.ts";
import { least, warm } from "../measure.ts";
import { cpuMicroseconds } from "../processes.ts";
import { atMost, type Row } from "../table.ts";

const SESSIONS = 20;
const CONNECTIONS = 16;
const MORE_ROUNDS = 5;
const PORT = 7700;
const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const ARGS = [
  ...["--public-key", rawFromPublicKey(publicKey), "--idle-timeout-ms", "60000"],
  ...["--communication-timeout-ms", "60000", "--log-level", "error"],
];

interface Filtered {
  /** @returns microseconds of the agent's Node for each request */
  load(): Promise<number>;
  close(): Promise<void>;
}

/** A pod with an agent of its own, and with so many sessions. */
async function pod(bed: Bed, sessions: number): Promise<Filtered> {
  const who = process.getuid?.() === 0 ? "root" : "user";
  const servers = `process.argv.push("${PORT}","pod");process.argv.splice(1,0,"x");require("${HTTP_SERVER}")`;
  const place = await Place.start(who, servers);
  const agent = await Agent.serve(who, place.pod, ARGS);
  const join = (sessionId: string): Promise<Tunnel> =>
    connectTunnel(agent.dial(), {
      sessionId,
      privateKey,
      build: "bench",
      handlers: { onStream: (channel) => channel.reset("ECONNREFUSED") },
    });
  const first = await join("s0");
  const tunnels = [first];
  for (let i = 1; i < sessions; i++) {
    const admitted = { sessionId: `s${i}`, publicKey: rawFromPublicKey(publicKey), owner: `s${i}` };
    await first.call("session.admit", admitted);
    tunnels.push(await join(`s${i}`));
  }
  for (const [i, tunnel] of tunnels.entries())
    await tunnel.call("incoming.steal", { port: PORT, filter: { header: `^x-user: dev${i}$` } });
  const node = agent.child("node");
  return {
    load: async () => {
      const began = cpuMicroseconds(node);
      const { loadMs } = bed.length;
      const words = [bed.load, "http", POD.v4, String(PORT), String(CONNECTIONS), String(loadMs)];
      const output = await place.pod.output(
        ...["nsenter", "--net", "--target", String(place.outside), ...words],
      );
      const [perSecond = Number.NaN] = output.trim().split(" ").map(Number);
      return (cpuMicroseconds(node) - began) / ((perSecond * loadMs) / 1000);
    },
    close: async () => {
      for (const tunnel of tunnels) tunnel.close("done");
      await agent.stop();
      place.stop();
    },
  };
}

export async function manySessions(bed: Bed): Promise<Row[]> {
  const [one, many] = [await pod(bed, 1), await pod(bed, SESSIONS)];
  const taken: Record<"plain" | "inpod", number[]> = { plain: [], inpod: [] };
  await warm(bed.length.rounds * MORE_ROUNDS, {
    plain: async () => taken.plain.push(await one.load()),
    inpod: async () => taken.inpod.push(await many.load()),
  });
  await Promise.all([one.close(), many.close()]);
  return [
    {
      what: `agent's processor time for a request, ${SESSIONS} sessions with filters`,
      ...{
        beside: "one session",
        unit: "µs",
        plain: least(taken.plain),
        inpod: least(taken.inpod),
        goal: atMost(1.2),
      },
    },
  ];
}

import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { test } from "node:test";
import { begun, startAgent, type TestAgent, Watched } from "./support.ts";

const PROBES = { from: ["192.0.2.1"], probes: [{ port: 80, kind: "tcp" as const }] };

test("each agent is told of the pod's probes before it is asked for a port, once, as they are then", async (t) => {
  let count = 0;
  const { agent, session, watched } = await begun(t, {
    probes: () => ({ ...PROBES, from: [`192.0.2.${++count}`] }),
  });
  const told: unknown[] = [];
  agent.answers["incoming.probes"] = (params) => {
    told.push(params);
    return {};
  };
  await session.steal(80, () => {});
  await session.mirror(81, () => {});
  assert.deepEqual(agent.asked.slice(-3), [
    "incoming.probes",
    "incoming.steal 80",
    "incoming.mirror 81",
  ]);
  agent.asked.length = 0;
  const resumed = watched.next("resumed");
  agent.cut();
  await resumed;
  assert.equal(agent.asked[0], "incoming.probes");
  assert.deepEqual(told, [
    { ...PROBES, from: ["192.0.2.1"] },
    { ...PROBES, from: ["192.0.2.2"] },
  ]);
});

test("who wants the probes himself tells nothing", async (t) => {
  const { agent, session } = await begun(t, { probes: () => undefined });
  await session.steal(80, () => {});
  assert.ok(!agent.asked.includes("incoming.probes"));
});

test("an agent that is too old is not told, and that is said where there are probes", async (t) => {
  for (const [probes, said] of [
    [PROBES, ["connected", "probes-taken", "stolen", "stolen"]],
    [{ ...PROBES, probes: [] }, ["connected", "stolen", "stolen"]],
  ] as const) {
    const agent = await startAgent(t);
    makeOld(agent);
    const watched = new Watched(agent, { probes: () => probes });
    const { session } = watched;
    t.after(() => session.end());
    await session.begin();
    await session.steal(80, () => {});
    await session.steal(81, () => {});
    assert.ok(!agent.asked.includes("incoming.probes"));
    assert.deepEqual(
      watched.events.map(({ kind }) => kind),
      said,
    );
  }
});

/** Its greeting does not have the feature. */
function makeOld(agent: TestAgent): void {
  const accept = agent.accept.bind(agent);
  agent.accept = (socket: Socket) => {
    const write = socket.write.bind(socket);
    socket.write = (bytes: Uint8Array | string) => {
      socket.write = write;
      const hello = Buffer.from(bytes).toString("latin1");
      assert.match(hello, /"probes"/);
      return write(Buffer.from(hello.replace('"probes"', '"before"'), "latin1"));
    };
    accept(socket);
  };
}

import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { test } from "node:test";
import type { AgentHello } from "@inpod/protocol";
import { encodeJson, FrameType } from "@inpod/protocol";
import type { Channel } from "@inpod/tunnel";
import { TunnelFailure } from "@inpod/tunnel";
import type { Stolen } from "../src/index.ts";
import { newSessionKey } from "../src/index.ts";
import { ask, begun, errnoOf, TARGET, type TestAgent } from "./support.ts";

const refuseDials = (agent: TestAgent, why = "no route to the cluster"): void => {
  agent.beforeDial = () => Promise.reject(new Error(why));
};

test("a cut tunnel is redialled, its steals are made again, and both are told", async (t) => {
  const { agent, session, watched } = await begun(t);
  await session.steal(80, () => {});
  await session.steal(8080, () => {});
  agent.asked.length = 0;
  const resumed = watched.next("resumed");
  agent.cut();
  assert.deepEqual((await resumed).ports, [80, 8080]);
  assert.deepEqual(agent.asked, ["incoming.steal 80", "incoming.steal 8080", "resume"]);
  assert.deepEqual(
    watched.events.map(({ kind }) => kind),
    ["connected", "stolen", "stolen", "tunnel-lost", "reconnecting", "resumed"],
  );
});

test("open streams of a cut tunnel are reset with ECONNRESET", async (t) => {
  const { agent, session } = await begun(t);
  const end = { address: "198.18.0.9", port: 80 };
  agent.onStream = (channel) => channel.accept({ kind: "tcp", local: end, peer: end });
  const { channel } = await session.connectTcp("198.18.0.9", 80);
  const reset = new Promise<string>((resolve) => {
    channel.onReset = resolve;
  });
  agent.cut();
  assert.equal(await reset, "ECONNRESET");
});

test("calls during a redial wait for it, and succeed; datagrams are lost", async (t) => {
  const { agent, session, watched } = await begun(t);
  let letThrough: () => void = () => {};
  agent.beforeDial = () =>
    new Promise((resolve) => {
      letThrough = resolve;
    });
  agent.onStream = (channel) => channel.reset("ECONNREFUSED");
  const dialled = once(agent.events, "dialled");
  agent.cut();
  await dialled;
  const connected = errnoOf(session.connectTcp("198.18.0.9", 80));
  const asked = ask(session);
  const stolen = session.steal(80, () => {});
  assert.throws(() => session.openUdp("198.18.0.9", 53), { errno: "ENETUNREACH" });
  const resumed = watched.next("resumed");
  letThrough();
  await resumed;
  assert.equal(await connected, "ECONNREFUSED");
  await asked;
  await stolen;
  assert.equal(session.openUdp("198.18.0.9", 53).header.kind, "udp");
});

test("a question under way when the tunnel is cut is asked again through the next one", async (t) => {
  const { agent, session } = await begun(t);
  agent.answers["session.admit"] = () => {
    if (agent.tunnels.length > 1) return {};
    agent.cut();
    return new Promise(() => {});
  };
  await ask(session);
  assert.equal(agent.tunnels.length, 2);
});

test("a tunnel that is cut while its steals are made again is followed by one other, not by two", async (t) => {
  const { agent, session, watched } = await begun(t);
  await session.steal(80, () => {});
  let cuts = 0;
  agent.answers["incoming.steal"] = () => {
    if (++cuts > 2) return {};
    agent.cut();
    return new Promise(() => {});
  };
  let open = 0;
  agent.events.on("tunnel", (tunnel) => {
    open++;
    tunnel.closed.then(() => open--);
  });
  const resumed = watched.next("resumed");
  agent.cut();
  await resumed;
  assert.equal(agent.tunnels.length, 4);
  assert.equal(open, 1);
  const lost = watched.events.filter(({ kind }) => kind === "tunnel-lost");
  assert.equal(lost.length, 1);
});

test("a steal that cannot be made again is told, and the others live on", async (t) => {
  const { agent, session, watched } = await begun(t);
  await session.steal(80, () => {});
  await session.steal(81, () => {});
  agent.answers["incoming.steal"] = (params) => {
    if ((params as { port: number }).port === 81) return {};
    throw new TunnelFailure("EADDRINUSE", "another session has taken it");
  };
  const resumed = watched.next("resumed");
  agent.cut();
  assert.deepEqual((await resumed).ports, [81]);
  const lost = { kind: "steal-lost", port: 80, detail: "another session has taken it" };
  assert.ok(watched.events.some((event) => JSON.stringify(event) === JSON.stringify(lost)));
});

test("a port that is released during a redial is released at the agent before anything resumes", async (t) => {
  const { agent, session, watched } = await begun(t);
  const kept = new Map<number, Stolen>();
  for (const port of [80, 81]) kept.set(port, await session.steal(port, () => {}));
  const dialled = once(agent.events, "dialled");
  refuseDials(agent);
  agent.cut();
  await dialled;
  await kept.get(80)?.release();
  agent.asked.length = 0;
  agent.beforeDial = async () => {};
  await watched.next("resumed");
  assert.deepEqual(agent.asked, ["incoming.release 80", "incoming.steal 81", "resume"]);
});

test("a session that is paused stays so through a redial, and takes its ports again at resume", async (t) => {
  const { agent, session, watched } = await begun(t);
  await session.steal(80, () => {});
  await session.pause();
  agent.asked.length = 0;
  const resumed = watched.next("resumed");
  agent.cut();
  await resumed;
  assert.deepEqual(agent.asked, ["pause"]);
  await session.resume();
  assert.deepEqual(agent.asked, ["pause", "incoming.steal 80", "resume"]);
});

test("connections of a port arrive through the new tunnel", async (t) => {
  const { agent, session, watched } = await begun(t);
  let arrive: (channel: Channel) => void = () => {};
  const arrived = new Promise<Channel>((resolve) => {
    arrive = resolve;
  });
  await session.steal(80, (channel) => arrive(channel));
  const resumed = watched.next("resumed");
  agent.cut();
  await resumed;
  const client = { address: "198.18.0.7", port: 5000 };
  agent.tunnel.open({ kind: "incoming", client, local: { address: "198.18.0.2", port: 80 } });
  assert.equal((await arrived).header.kind, "incoming");
});

test("an agent that takes the key no longer ends the session after one attempt", async (t) => {
  const { agent, session, watched } = await begun(t);
  agent.keys = [newSessionKey().publicKey];
  agent.cut();
  assert.match(await session.lost, /key is not the one/);
  assert.deepEqual(
    watched.events.map(({ kind }) => kind),
    ["connected", "tunnel-lost", "reconnecting"],
  );
  assert.equal(await errnoOf(session.connectTcp("198.18.0.9", 80)), "ECONNRESET");
  assert.equal(await errnoOf(ask(session)), "ECONNRESET");
});

test("an agent of another version ends the session after one attempt", async (t) => {
  const { agent, session, watched } = await begun(t);
  const hello: AgentHello = {
    role: "agent",
    versions: [99, 99],
    build: "later",
    nonce: Buffer.alloc(32).toString("base64"),
    features: [],
    sessions: 0,
  };
  agent.onSocket = (socket: Socket) => socket.write(encodeJson(FrameType.hello, 0, hello));
  agent.cut();
  assert.match(await session.lost, /speaks protocol 99/);
  assert.equal(watched.events.filter(({ kind }) => kind === "reconnecting").length, 1);
});

test("what refuses to be dialled is tried until the grace is over; then the session is lost, with the last reason", async (t) => {
  const { agent, session, watched } = await begun(t, { graceMs: 350 });
  refuseDials(agent);
  agent.cut();
  assert.equal(await session.lost, "no route to the cluster");
  const attempts = watched.events.flatMap((event) =>
    event.kind === "reconnecting" ? [event.attempt] : [],
  );
  assert.deepEqual(attempts.slice(0, 2), [1, 2]);
  assert.ok(attempts.length < 6, `${attempts.length} attempts`);
  assert.equal(await errnoOf(session.steal(80, () => {})), "ECONNRESET");
});

test("a dial that hangs does not outlive the grace", async (t) => {
  const { agent, session } = await begun(t, { graceMs: 200 });
  let signal: AbortSignal | undefined;
  agent.beforeDial = (dialSignal) => {
    signal = dialSignal;
    return new Promise(() => {});
  };
  agent.cut();
  assert.equal(await session.lost, "the agent did not answer in time");
  assert.equal(signal?.aborted, true);
});

test("an agent that is gone ends the redial at once, with its reason", async (t) => {
  const { agent, session, watched } = await begun(t);
  agent.beforeDial = () => new Promise(() => {});
  const dialled = once(agent.events, "dialled");
  agent.cut();
  await dialled;
  watched.gone("the node was drained");
  assert.equal(await session.lost, "the node was drained");
});

test("an agent that was gone before its tunnel broke is not dialled again", async (t) => {
  const { agent, session, watched } = await begun(t);
  let dials = 0;
  agent.events.on("dialled", () => dials++);
  watched.gone("the node was drained");
  agent.cut();
  assert.equal(await session.lost, "the node was drained");
  assert.equal(dials, 0);
});

test("a session that is ended during a redial dials no more, and is not lost", async (t) => {
  const { agent, session, watched } = await begun(t);
  let signal: AbortSignal | undefined;
  agent.beforeDial = (dialSignal) => {
    signal = dialSignal;
    return new Promise(() => {});
  };
  const dialled = once(agent.events, "dialled");
  agent.cut();
  await dialled;
  const waiting = errnoOf(ask(session));
  let isLost = false;
  void session.lost.then(() => {
    isLost = true;
  });
  await session.end();
  assert.equal(await waiting, "ECONNRESET");
  assert.equal(signal?.aborted, true);
  assert.equal(isLost, false);
  assert.equal(watched.events.at(-1)?.kind, "reconnecting");
});

test("the signal of a dial is not aborted after its tunnel stands, not by the end either", async (t) => {
  const { agent, session } = await begun(t);
  const answered = new Promise<void>((resolve) => {
    agent.answers.end = () => {
      resolve();
      return { others: 0 };
    };
  });
  // support.ts gives the signal to the socket: aborted, it would cut the tunnel before the agent is told.
  await session.end();
  await answered;
  assert.equal((await agent.tunnel.closed).clean, true);
});

test("the target is described once; what a redial asks for is not kept", async (t) => {
  const { agent, session, watched } = await begun(t);
  agent.answers.describe = () => ({ ...TARGET, hostname: "another" });
  const resumed = watched.next("resumed");
  agent.cut();
  await resumed;
  assert.equal(session.target.hostname, TARGET.hostname);
});

test("a port that was asked for when the tunnel was lost is given back by the next one, where nobody waits for it any more", async (t) => {
  const { agent, session, watched } = await begun(t);
  let reach: () => void = () => {};
  agent.answers["incoming.steal"] = () => {
    agent.beforeDial = () =>
      new Promise((resolve) => {
        reach = resolve;
      });
    agent.cut();
    return new Promise(() => {});
  };
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const dialled = once(agent.events, "dialled");
  const lost = watched.next("tunnel-lost");
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const stolen = session
    .steal(80, () => {})
    .then(
      () => "had",
      ({ errno }) => errno,
    );
  await lost;
  await turn();
  t.mock.timers.tick(1000); // a tunnel that was short-lived is not dialled again at once
  await dialled;
  await turn();
  t.mock.timers.tick(10_000);
  assert.equal(await stolen, "ECONNRESET");
  t.mock.timers.reset();
  const resumed = watched.next("resumed");
  reach();
  await resumed;
  // The agent has it all the same: it was asked.
  assert.deepEqual(agent.asked.slice(-2), ["incoming.release 80", "resume"]);
});

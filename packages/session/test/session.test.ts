import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import type { Channel } from "@inpod/tunnel";
import { TunnelFailure } from "@inpod/tunnel";
import { newSessionKey } from "../src/index.ts";
import { begun, errnoOf, startAgent, TARGET, Watched } from "./support.ts";

const LOCAL = { address: "198.18.0.2", port: 40000 };
const PEER = { address: "198.18.0.9", port: 80 };
const CLIENT = { address: "198.18.0.7", port: 50123 };
const bytesOf = (channel: Channel): Promise<string> =>
  new Promise((resolve) => {
    channel.onData = (bytes) => resolve(Buffer.from(bytes).toString());
  });
const resetOf = (channel: Channel): Promise<string> =>
  new Promise((resolve) => {
    channel.onReset = resolve;
  });

// ---- beginning

test("a session begins by asking what its target is", async (t) => {
  const { session, watched, agent } = await begun(t);
  assert.deepEqual(session.target, TARGET);
  assert.deepEqual(agent.asked, ["describe"]);
  assert.equal(watched.events[0]?.kind, "connected");
});

test("before it has begun there is no target, and no connection", async (t) => {
  const { session } = new Watched(await startAgent(t));
  assert.throws(() => session.target, /has not begun/);
  assert.equal(await errnoOf(session.connectTcp("198.18.0.9", 80)), "ECONNRESET");
});

test("an agent that takes another key refuses with EACCES, once", async (t) => {
  const agent = await startAgent(t);
  agent.keys = [newSessionKey().publicKey];
  let dials = 0;
  agent.events.on("dialled", () => dials++);
  const { session } = new Watched(agent);
  assert.equal(await errnoOf(session.begin()), "EACCES");
  assert.equal(dials, 1);
});

test("an agent that fails to describe its target has no session, and no tunnel is left open", async (t) => {
  const agent = await startAgent(t);
  agent.answers.describe = () => {
    throw new TunnelFailure("ESRCH", "the target is gone");
  };
  const watched = new Watched(agent);
  assert.equal(await errnoOf(watched.session.begin()), "ESRCH");
  await agent.tunnel.closed;
  assert.deepEqual(watched.events, []);
});

test("an agent that never describes its target is given up after 10 s", async (t) => {
  const agent = await startAgent(t);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  agent.answers.describe = () => new Promise(() => {});
  const { session } = new Watched(agent);
  const failed = errnoOf(session.begin());
  while (agent.asked.length === 0) await once(agent.events, "asked");
  t.mock.timers.tick(10_000);
  assert.equal(await failed, "ETIMEDOUT");
  await agent.tunnel.closed;
});

test("a dial that never ends is given up after 15 s, whether it obeys its signal or not", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { session } = new Watched(await startAgent(t), { dial: () => new Promise(() => {}) });
  const failed = errnoOf(session.begin());
  t.mock.timers.tick(15_000);
  assert.equal(await failed, "ETIMEDOUT");
});

test("an aborted signal ends the beginning with its reason, and a socket that arrives later is closed", async (t) => {
  const agent = await startAgent(t);
  let arrive: () => void = () => {};
  agent.beforeDial = () =>
    new Promise((resolve) => {
      arrive = resolve;
    });
  const watched = new Watched(agent, { dial: () => agent.dial(new AbortController().signal) });
  const failed = watched.session.begin();
  watched.abort.abort(new Error("stopped by SIGINT"));
  await assert.rejects(failed, /stopped by SIGINT/);
  arrive();
  while (agent.sockets.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const [socket] = agent.sockets;
  if (socket && !socket.destroyed) await new Promise((resolve) => socket.once("close", resolve));
});

test("an agent that is gone ends the beginning with its reason", async (t) => {
  const watched = new Watched(await startAgent(t), { dial: () => new Promise(() => {}) });
  const failed = watched.session.begin();
  watched.gone("the image cannot be pulled");
  await assert.rejects(failed, /the image cannot be pulled/);
});

// ---- connections that leave from the target

test("a TCP connection tells its addresses in the target and carries bytes both ways", async (t) => {
  const { agent, session } = await begun(t);
  agent.onStream = (channel) => {
    channel.accept({ kind: "tcp", local: LOCAL, peer: PEER });
    channel.onData = (bytes) => channel.write(bytes);
  };
  const { channel, opened } = await session.connectTcp("198.18.0.9", 80);
  assert.deepEqual(opened, { kind: "tcp", local: LOCAL, peer: PEER });
  channel.write(Buffer.from("hello"));
  assert.equal(await bytesOf(channel), "hello");
});

for (const errno of ["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT", "EACCES"]) {
  test(`a connection that fails with ${errno} in the target fails with it here`, async (t) => {
    const { agent, session } = await begun(t);
    agent.onStream = (channel) => channel.reset(errno);
    assert.equal(await errnoOf(session.connectTcp("198.18.0.9", 80)), errno);
  });
}

test("a connection whose target says nothing is given up after 130 s, and the agent is told", async (t) => {
  const { agent, session } = await begun(t);
  const arrived = new Promise<Channel>((resolve) => {
    agent.onStream = resolve;
  });
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const failed = errnoOf(session.connectTcp("198.18.0.9", 80));
  const reset = resetOf(await arrived);
  t.mock.timers.tick(130_000);
  assert.equal(await failed, "ETIMEDOUT");
  assert.equal(await reset, "ETIMEDOUT");
});

test("datagrams go out before the socket is open, and come back", async (t) => {
  const { agent, session } = await begun(t);
  agent.onStream = (channel) => {
    assert.deepEqual(channel.header, { kind: "udp", host: "198.18.0.9", port: 53 });
    channel.onDatagram = (bytes) => channel.datagram(Buffer.from(`re: ${bytes.toString()}`));
    channel.accept({ kind: "udp", local: LOCAL, peer: { address: "198.18.0.9", port: 53 } });
  };
  const channel = session.openUdp("198.18.0.9", 53);
  const answer = new Promise<string>((resolve) => {
    channel.onDatagram = (bytes) => resolve(Buffer.from(bytes).toString());
  });
  channel.datagram(Buffer.from("question"));
  assert.equal((await channel.opened).kind, "udp");
  assert.match(await answer, /^re: /);
});

// ---- connections that arrive at the target

test("a stolen port's connections arrive with their client, until it is released", async (t) => {
  const { agent, session } = await begun(t);
  const local = { address: "198.18.0.2", port: 80 };
  let arrive: (channel: Channel) => void = () => {};
  const arrived = new Promise<Channel>((resolve) => {
    arrive = resolve;
  });
  await session.steal(80, (channel, header) => {
    assert.deepEqual(header, { kind: "incoming", client: CLIENT, local });
    arrive(channel);
  });
  const theirs = agent.tunnel.open({ kind: "incoming", client: CLIENT, local });
  theirs.write(Buffer.from("GET /"));
  assert.equal(await bytesOf(await arrived), "GET /");
  assert.equal((await theirs.opened).kind, "incoming");
});

test("connections to a port that is not stolen, or no longer, are refused", async (t) => {
  const { agent, session } = await begun(t);
  const header = (port: number) =>
    ({ kind: "incoming", client: CLIENT, local: { address: "198.18.0.2", port } }) as const;
  assert.equal(await errnoOf(agent.tunnel.open(header(81)).opened), "ECONNREFUSED");
  const stolen = await session.steal(80, () => {});
  assert.equal(await errnoOf(agent.tunnel.open(header(80)).opened), "none");
  await stolen.release();
  await stolen.release();
  assert.equal(await errnoOf(agent.tunnel.open(header(80)).opened), "ECONNREFUSED");
  assert.deepEqual(agent.asked.slice(1), ["incoming.steal 80", "incoming.release 80"]);
});

test("the UDP port and the TCP port of one number are two", async (t) => {
  const { agent, session } = await begun(t);
  const params: unknown[] = [];
  agent.answers["incoming.steal"] = (asked) => params.push(asked) && {};
  agent.answers["incoming.release"] = (asked) => params.push(asked) && {};
  const came: string[] = [];
  await session.steal(53, () => came.push("tcp"));
  const udp = await session.steal(
    53,
    (channel) => {
      channel.onDatagram = (bytes) => came.push(`udp ${Buffer.from(bytes)}`);
    },
    { protocol: "udp" },
  );
  assert.deepEqual(params, [{ port: 53 }, { port: 53, protocol: "udp" }]);
  const ends = { client: CLIENT, local: { address: "198.18.0.2", port: 53 } };
  const flow = agent.tunnel.open({ kind: "incoming", protocol: "udp", ...ends });
  flow.datagram(Buffer.from("query"));
  await flow.opened;
  await agent.tunnel.open({ kind: "incoming", ...ends }).opened;
  assert.deepEqual(came, ["udp query", "tcp"]);
  await udp.release();
  assert.deepEqual(params.slice(2), [{ port: 53, protocol: "udp" }]);
  const refused = agent.tunnel.open({ kind: "incoming", protocol: "udp", ...ends });
  assert.equal(await errnoOf(refused.opened), "ECONNREFUSED");
  assert.equal(await errnoOf(agent.tunnel.open({ kind: "incoming", ...ends }).opened), "none");
});

test("a steal that the agent refuses fails with its errno", async (t) => {
  const { agent, session } = await begun(t);
  agent.answers["incoming.steal"] = () => {
    throw new TunnelFailure("EADDRINUSE", "session 1234 has the port");
  };
  assert.equal(await errnoOf(session.steal(80, () => {})), "EADDRINUSE");
});

test("a steal that the agent loses is told, and its connections are refused", async (t) => {
  const { agent, session, watched } = await begun(t);
  await session.steal(80, () => {});
  const lost = watched.next("steal-lost");
  agent.tunnel.notify({ kind: "steal-lost", port: 80, detail: "nft has ended" });
  assert.deepEqual(await lost, { kind: "steal-lost", port: 80, detail: "nft has ended" });
  const channel = agent.tunnel.open({
    kind: "incoming",
    client: CLIENT,
    local: { address: "198.18.0.2", port: 80 },
  });
  assert.equal(await errnoOf(channel.opened), "ECONNREFUSED");
});

test("what the agent says of its target is told", async (t) => {
  const { agent, watched } = await begun(t);
  const gone = watched.next("target-gone");
  agent.tunnel.notify({ kind: "target-gone", detail: "exit code 137" });
  assert.deepEqual(await gone, { kind: "target-gone", detail: "exit code 137" });
});

// ---- pause, resume, end

test("pause gives the traffic back, resume takes it again port by port", async (t) => {
  const { agent, session } = await begun(t);
  await session.steal(80, () => {});
  await session.pause();
  await session.resume();
  assert.deepEqual(agent.asked.slice(2), ["pause", "incoming.steal 80", "resume"]);
});

test("end tells the agent and closes the tunnel; a second end waits for the first", async (t) => {
  const { agent, session, watched } = await begun(t);
  let answer: (result: object) => void = () => {};
  agent.answers.end = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  const first = session.end();
  let isOver = false;
  const second = session.end().then(() => {
    isOver = true;
  });
  while (!agent.asked.includes("end")) await once(agent.events, "asked");
  assert.equal(isOver, false);
  answer({ others: 2 });
  const [others] = await Promise.all([first, second]);
  assert.equal(others, 2);
  const closed = await agent.tunnel.closed;
  assert.deepEqual([closed.clean, closed.why], [true, "the session has ended"]);
  assert.deepEqual(
    watched.events.map(({ kind }) => kind),
    ["connected"],
  );
  assert.equal(await errnoOf(session.connectTcp("198.18.0.9", 80)), "ECONNRESET");
});

test("an agent that hangs holds the end for 4 s", async (t) => {
  const { agent, session } = await begun(t);
  agent.answers.end = () => new Promise(() => {});
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let isOver = false;
  const ended = session.end().then(() => {
    isOver = true;
  });
  while (!agent.asked.includes("end")) await once(agent.events, "asked");
  t.mock.timers.tick(3999);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(isOver, false);
  t.mock.timers.tick(1);
  await ended;
  await agent.tunnel.closed;
});

test("the caller's signal keeps no listener of a session that has ended", async (t) => {
  const { session, watched } = await begun(t);
  const removed = t.mock.method(watched.abort.signal, "removeEventListener");
  await session.end();
  assert.equal(removed.mock.callCount(), 1);
});

/** A session whose agent ends, and one whose target is started again. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { TunnelFailure } from "@inpod/tunnel";
import type { AgentAccess } from "../src/index.ts";
import { ask, begun, errnoOf, startAgent, TARGET, type TestAgent } from "./support.ts";

/** An agent that takes the key of `first`, for SessionOptions.replace. */
async function another(t: TestContext, first: TestAgent): Promise<TestAgent> {
  const agent = await startAgent(t);
  agent.keys = first.keys;
  return agent;
}

const accessTo = (agent: TestAgent): AgentAccess => ({
  dial: agent.dial,
  gone: new Promise(() => {}),
});

/** A session with an agent, for which `place` finds others. */
async function replaceable(t: TestContext, place: (first: TestAgent) => Promise<AgentAccess>) {
  let first: TestAgent | undefined;
  const why: string[] = [];
  const all = await begun(t, {
    graceMs: 300,
    replace: async (reason) => {
      why.push(reason);
      assert.ok(first);
      return place(first);
    },
  });
  first = all.agent;
  return { ...all, why };
}

test("when its agent is gone a session goes on with another one, which is told what is stolen", async (t) => {
  let second: TestAgent | undefined;
  const { session, watched, why } = await replaceable(t, async (first) => {
    second = await another(t, first);
    return accessTo(second);
  });
  await session.steal(80, () => {});
  const resumed = watched.next("resumed");
  // The tunnel stands still: nobody has told it.
  watched.gone("evicted");
  assert.deepEqual((await resumed).ports, [80]);
  assert.deepEqual(why, ["evicted"]);
  assert.deepEqual(second?.asked, ["incoming.steal 80", "resume"]);
  assert.deepEqual(
    watched.events.map(({ kind }) => kind),
    ["connected", "stolen", "tunnel-lost", "agent-gone", "reconnecting", "resumed"],
  );
  await ask(session);
  assert.equal(second?.asked.at(-1), "session.admit");
});

test("a port that the agent before still has is asked for again, until it is had or somebody else's", async (t) => {
  let tries = 0;
  const { session, watched } = await replaceable(t, async (first) => {
    const second = await another(t, first);
    second.answers["incoming.steal"] = (params) => {
      const { port } = params as { port: number };
      if (port === 81) throw new TunnelFailure("EPERM", "not any more");
      if (++tries < 3) throw new TunnelFailure("EADDRINUSE", "another agent has it");
      return {};
    };
    return accessTo(second);
  });
  await session.steal(80, () => {});
  const other = await session.steal(81, () => {});
  const resumed = watched.next("resumed");
  const back = watched.next("steal-back");
  watched.gone("deleted");
  assert.deepEqual((await resumed).ports, []);
  assert.deepEqual(await back, { kind: "steal-back", port: 80 });
  assert.equal(tries, 3);
  const said = watched.events.filter(({ kind }) => /^steal-(waits|lost)$/.test(kind));
  assert.deepEqual(said, [
    { kind: "steal-waits", port: 80, detail: "another agent has it", seconds: 40 },
    { kind: "steal-lost", port: 81, detail: "not any more" },
  ]);
  await other.release();
});

test("a port that is released while the agent before has it is asked for no more", async (t) => {
  let tries = 0;
  const { session, watched } = await replaceable(t, async (first) => {
    const second = await another(t, first);
    second.answers["incoming.steal"] = (params) => {
      if ((params as { port: number }).port === 81) return {};
      tries += 1;
      throw new TunnelFailure("EADDRINUSE", "another agent has it");
    };
    return accessTo(second);
  });
  const stolen = await session.steal(80, () => {});
  const waits = watched.next("steal-waits");
  const resumed = watched.next("resumed");
  watched.gone("deleted");
  await Promise.all([waits, resumed]);
  await stolen.release();
  const before = tries;
  await delay(1200); // as long as two tries would take
  assert.equal(tries, before);
});

test("while a session is paused no port is asked for, and whoever resumes waits for it again", async (t) => {
  let tries = 0;
  let isFree = false;
  const { session, watched } = await replaceable(t, async (first) => {
    const second = await another(t, first);
    second.answers["incoming.steal"] = () => {
      tries += 1;
      if (!isFree) throw new TunnelFailure("EADDRINUSE", "another agent has it");
      return {};
    };
    return accessTo(second);
  });
  await session.steal(80, () => {});
  const resumed = watched.next("resumed");
  watched.gone("deleted");
  await resumed;
  await session.pause();
  const paused = tries;
  await delay(1200); // as long as two tries would take
  assert.equal(tries, paused);
  const back = watched.next("steal-back");
  await session.resume();
  assert.equal(tries, paused + 1);
  isFree = true;
  await back;
  assert.deepEqual(
    watched.events.map(({ kind }) => kind).filter((kind) => kind.startsWith("steal-")),
    ["steal-waits", "steal-back"],
  );
});

test("a port that somebody else is to have meanwhile is asked for no more", async (t) => {
  let tries = 0;
  let first: TestAgent | undefined;
  let isOurs = true;
  const { agent, session, watched } = await begun(t, {
    takesPort: () => isOurs,
    replace: async () => {
      assert.ok(first);
      const second = await another(t, first);
      second.answers["incoming.steal"] = () => {
        tries += 1;
        throw new TunnelFailure("EADDRINUSE", "another agent has it");
      };
      return accessTo(second);
    },
  });
  first = agent;
  await session.steal(80, () => {});
  const waits = watched.next("steal-waits");
  watched.gone("deleted");
  await waits;
  isOurs = false;
  const before = tries;
  await delay(1200);
  assert.equal(tries, before);
});

test("an agent that cannot be reached until the grace is over is replaced too", async (t) => {
  const { agent, watched, why } = await replaceable(t, async (first) =>
    accessTo(await another(t, first)),
  );
  agent.beforeDial = () => Promise.reject(new Error("no route to the cluster"));
  const resumed = watched.next("resumed");
  agent.cut();
  await resumed;
  assert.deepEqual(why, ["no route to the cluster"]);
});

test("calls wait for the other agent", async (t) => {
  let place: () => void = () => {};
  const placed = new Promise<void>((resolve) => {
    place = resolve;
  });
  const { session, watched } = await replaceable(t, async (first) => {
    await placed;
    return accessTo(await another(t, first));
  });
  const isGone = watched.next("agent-gone");
  watched.gone("evicted");
  await isGone;
  const asked = ask(session);
  place();
  await asked;
});

test("the second agent that is gone is followed by a third", async (t) => {
  let end: (why: string) => void = () => {};
  let count = 0;
  const { watched, why } = await replaceable(t, async (first) => {
    const agent = await another(t, first);
    if (++count > 1) return accessTo(agent);
    const gone = new Promise<string>((resolve) => {
      end = resolve;
    });
    return { dial: agent.dial, gone };
  });
  for (const turn of [1, 2]) {
    const resumed = watched.next("resumed");
    if (turn === 1) watched.gone("evicted");
    else end("out of memory");
    await resumed;
  }
  assert.deepEqual(why, ["evicted", "out of memory"]);
});

test("without another agent the session is lost, with the reason for that", async (t) => {
  const { session, watched } = await replaceable(t, () =>
    Promise.reject(new Error("the pod was deleted")),
  );
  watched.gone("evicted");
  assert.equal(await session.lost, "the pod was deleted");
  assert.equal(await errnoOf(ask(session)), "ECONNRESET");
});

test("a session that is ended looks for no other agent, and is not lost", async (t) => {
  let signal: AbortSignal | undefined;
  const { session, watched } = await begun(t, {
    replace: (_, stop) => {
      signal = stop;
      return new Promise((_resolve, reject) =>
        stop.addEventListener("abort", () => reject(stop.reason)),
      );
    },
  });
  let isLost = false;
  void session.lost.then(() => {
    isLost = true;
  });
  const isGone = watched.next("agent-gone");
  watched.gone("evicted");
  await isGone;
  await session.end();
  assert.equal(signal?.aborted, true);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(isLost, false);
});

test("a session whose target is gone is lost at once, and looks for no other agent", async (t) => {
  const { session, why } = await replaceable(t, () => Promise.reject(new Error("asked")));
  session.lose("the pod was deleted");
  assert.equal(await session.lost, "the pod was deleted");
  assert.deepEqual(why, []);
});

const ID = "a".repeat(64);

test("a restarted container is told to the agent, and which variables are not what they were", async (t) => {
  const { agent, session, watched } = await begun(t);
  await ask(session);
  agent.answers.describe = () => ({
    ...TARGET,
    environment: [
      ["NEW", "1"],
      ["GREETING", "secret"],
    ],
  });
  const back = watched.next("target-back");
  agent.asked.length = 0;
  await session.targetContainer(ID);
  assert.deepEqual(await back, { kind: "target-back", changed: ["GREETING", "NEW"] });
  await ask(session);
  assert.deepEqual(agent.asked, ["target.container", "describe", "session.admit"]);
});

test("a container that is told during a redial reaches the agent with the next tunnel, once", async (t) => {
  const { agent, session, watched } = await begun(t);
  let letThrough: () => void = () => {};
  agent.beforeDial = () =>
    new Promise((resolve) => {
      letThrough = resolve;
    });
  const dialled = once(agent.events, "dialled");
  agent.cut();
  await dialled;
  const told = session.targetContainer(ID);
  const resumed = watched.next("resumed");
  letThrough();
  await resumed;
  await told;
  assert.equal(watched.events.filter(({ kind }) => kind === "target-back").length, 1);
});

test("an agent that is not in the target's network any more is replaced", async (t) => {
  const { agent, session, watched, why } = await replaceable(t, async (first) =>
    accessTo(await another(t, first)),
  );
  agent.answers["target.container"] = () => {
    throw new TunnelFailure("ESTALE", "another network");
  };
  const resumed = watched.next("resumed");
  await session.targetContainer(ID);
  await resumed;
  assert.match(why.join(), /set up anew/);
  assert.equal(watched.events.filter(({ kind }) => kind === "target-back").length, 1);
});

test("in another pod the containers of before mean nothing, and which pod it is is told once", async (t) => {
  const { agent, session, watched, why } = await replaceable(t, async (first) => {
    const next = await another(t, first);
    next.answers.describe = () => ({
      ...TARGET,
      hostname: "next-pod",
      environment: [...TARGET.environment, ["NEW", "1"]],
    });
    return accessTo(next);
  });
  await session.targetContainer(ID);
  agent.asked.length = 0;
  const moved = watched.next("target-moved");
  const resumed = watched.next("resumed");
  session.targetMoves("the pod was evicted");
  assert.deepEqual(await moved, {
    kind: "target-moved",
    hostname: "next-pod",
    changed: ["NEW"],
  });
  await resumed;
  assert.deepEqual(why, ["the pod was evicted"]);
  assert.equal(watched.events.filter(({ kind }) => kind === "target-back").length, 1);
});

test("a target that moves while its pod goes on: all goes on there until the next agent answers, and after", async (t) => {
  let letPlace: () => void = () => {};
  const placed = new Promise<void>((resolve) => {
    letPlace = resolve;
  });
  let next: TestAgent | undefined;
  const { agent, session, watched, why } = await replaceable(t, async (first) => {
    await placed;
    next = await another(t, first);
    next.answers.describe = () => ({ ...TARGET, hostname: "next-pod" });
    return accessTo(next);
  });
  const arrived: string[] = [];
  await session.steal(80, (_, header) => arrived.push(header.local.address));
  const arrive = async (at: TestAgent, address: string): Promise<void> => {
    const client = { address: "198.18.0.9", port: 4711 };
    await at.tunnel.open({ kind: "incoming", client, local: { address, port: 80 } }).opened;
  };
  const gone = watched.next("agent-gone");
  const resumed = watched.next("resumed");
  session.targetMoves("the pod is being deleted", true);
  await gone;
  await arrive(agent, "198.18.0.2");
  await ask(session);
  assert.equal(agent.asked.at(-1), "session.admit");
  letPlace();
  await resumed;
  assert.ok(next);
  await arrive(agent, "198.18.0.3");
  await arrive(next, "198.18.0.4");
  assert.deepEqual(arrived, ["198.18.0.2", "198.18.0.3", "198.18.0.4"]);
  await ask(session);
  assert.equal(next.asked.at(-1), "session.admit");
  // Its end is no loss: nothing is looked for.
  const { closed } = agent.tunnel;
  agent.cut();
  await closed;
  await ask(session);
  assert.deepEqual(why, ["the pod is being deleted"]);
  assert.deepEqual(
    watched.events.map(({ kind }) => kind),
    ["connected", "stolen", "agent-gone", "reconnecting", "target-moved", "resumed"],
  );
});

test("an agent that ends while the next one is looked for is lost as any other, and looked for once", async (t) => {
  let letPlace: () => void = () => {};
  const placed = new Promise<void>((resolve) => {
    letPlace = resolve;
  });
  const { agent, session, watched, why } = await replaceable(t, async (first) => {
    await placed;
    return accessTo(await another(t, first));
  });
  const gone = watched.next("agent-gone");
  session.targetMoves("the pod is being deleted", true);
  await gone;
  const lost = watched.next("tunnel-lost");
  agent.cut();
  await lost;
  const asked = ask(session);
  letPlace();
  await asked;
  assert.equal(why.length, 1);
});

test("a session that ends tells the agents that it has left, too; one that is stopped leaves them nothing", async (t) => {
  const agents: TestAgent[] = [];
  const { agent, session, watched } = await replaceable(t, async (first) => {
    const next = await another(t, first);
    agents.push(next);
    return accessTo(next);
  });
  await session.steal(80, () => {});
  for (const _ of [1, 2]) {
    const resumed = watched.next("resumed");
    session.targetMoves("the pod is being deleted", true);
    await resumed;
  }
  const [second, third] = agents;
  assert.ok(second && third);
  const { closed } = agent.tunnel;
  agent.cut();
  await closed;
  await session.end();
  assert.equal(second.asked.at(-1), "end");
  assert.equal(third.asked.at(-1), "end");

  const other = await replaceable(t, async (first) => accessTo(await another(t, first)));
  const resumed = other.watched.next("resumed");
  other.session.targetMoves("the pod is being deleted", true);
  await resumed;
  const { closed: left } = other.agent.tunnel;
  await other.session.pause();
  await left;
});

test("streams to the files of the target before are ended when it is another pod", async (t) => {
  let next: TestAgent | undefined;
  const { agent, session, watched } = await replaceable(t, async (first) => {
    next = await another(t, first);
    next.onStream = (channel) => channel.accept({ kind: "files", isReadOnly: false });
    return accessTo(next);
  });
  agent.onStream = (channel) => channel.accept({ kind: "files", isReadOnly: false });
  const before = await session.filesLink.open("bulk");
  const reset = new Promise<string>((resolve) => {
    before.onReset = resolve;
  });
  const resumed = watched.next("resumed");
  session.targetMoves("the pod is being deleted", true);
  assert.equal(await reset, "ESTALE");
  await resumed;
  await session.filesLink.open("bulk");
});

test("what the agent says of a container that it cannot find is told, and costs nothing else", async (t) => {
  const { agent, session, watched } = await begun(t);
  agent.answers["target.container"] = () => {
    throw new TunnelFailure("ESRCH", "no process of it");
  };
  assert.equal(await errnoOf(session.targetContainer(ID)), "ESRCH");
  const resumed = watched.next("resumed");
  agent.cut();
  await resumed;
});

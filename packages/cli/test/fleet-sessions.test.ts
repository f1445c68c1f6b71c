/** A fleet with real sessions: each pod's agent is a tunnel's other end on loopback, and pods come and go by the test. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { type TestContext, test } from "node:test";
import { ALLOWS_ALL, type Policy } from "@inpod/protocol";
import { type Session, startSession } from "@inpod/session";
import type { AgentOptions, PlacedAgent, Replica, Replicas } from "@inpod/targets";
import { startAgent, type TestAgent } from "../../session/test/support.ts";
import { Fleet } from "../src/exec/fleet/fleet.ts";

const newKey = async () => (await import("@inpod/session")).newSessionKey();

/** One pod of the workload, with the agents that were placed beside it. */
class Pod implements Replica {
  readonly name: string;
  state: Replica["state"] = "ready";
  containerId = "c1";
  policyOf: Partial<Policy> = {};
  refusal: string | undefined;
  readonly agents: TestAgent[] = [];
  readonly placed: AgentOptions[] = [];
  readonly removed: (number | undefined)[] = [];
  readonly #cluster: Cluster;
  #ends: (why: string) => void = () => {};

  constructor(name: string, cluster: Cluster) {
    this.name = name;
    this.#cluster = cluster;
  }

  get id(): string {
    return `uid-${this.name}`;
  }

  get agent(): TestAgent {
    const last = this.agents.at(-1);
    if (!last) throw new Error(`no agent beside ${this.name}`);
    return last;
  }

  /** The agent ends, with its connections. */
  end(why: string): void {
    this.#ends(why);
    this.agent.cut();
  }

  async policy() {
    return { ...ALLOWS_ALL, ...this.policyOf, from: ["the pod"] };
  }

  async place(options: AgentOptions): Promise<PlacedAgent> {
    this.placed.push(options);
    if (this.refusal !== undefined) throw new Error(this.refusal);
    const agent = await this.#cluster.startAgent();
    agent.keys = [options.publicKey];
    agent.events.on("asked", () => this.#cluster.events.emit("asked"));
    this.agents.push(agent);
    return {
      name: `agent beside ${this.name}`,
      dial: agent.dial,
      gone: new Promise((resolve) => {
        this.#ends = resolve;
      }),
      remove: async (others) => {
        this.removed.push(others);
      },
    };
  }

  probes = () => ({ ports: [], http: [], grpc: [] }) as never;
  audit = () => async () => {};
}

class Cluster implements Replicas {
  readonly of = "deployment/web";
  /** What agents want done at the end comes after the sessions' own ends. */
  readonly last: (() => void)[] = [];
  readonly events = new EventEmitter();
  pods: Pod[] = [];
  ownName = "a";
  readonly #listeners = new Set<() => void>();

  constructor(names: string) {
    this.pods = names.split(" ").map((name) => new Pod(name, this));
  }

  startAgent(): Promise<TestAgent> {
    const after = (work: () => void): void => void this.last.push(work);
    return startAgent({ after } as unknown as TestContext);
  }

  now = () => this.pods;
  own = () => `uid-${this.ownName}`;

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  pod(name: string): Pod {
    const found = this.pods.find((each) => each.name === name);
    if (!found) throw new Error(`no pod ${name}`);
    return found;
  }

  change(work: (cluster: this) => void): void {
    work(this);
    for (const listener of this.#listeners) listener();
  }

  add(name: string): void {
    this.change(() => this.pods.push(new Pod(name, this)));
  }

  drop(name: string): void {
    this.change(() => {
      this.pods = this.pods.filter((pod) => pod.name !== name);
    });
  }
}

interface Started {
  readonly cluster: Cluster;
  readonly fleet: Fleet;
  readonly own: Session;
  readonly ownAgent: TestAgent;
  readonly lines: string[];
  /** Until a line of the fleet's has these words. */
  says(words: RegExp): Promise<string>;
  /** Until the agent beside the pod was asked this last. */
  asked(name: string, what: string): Promise<void>;
}

async function started(
  t: TestContext,
  names: string,
  limit = 5,
  arrange: (cluster: Cluster) => void = () => {},
  mode: "steal" | "mirror" = "steal",
): Promise<Started> {
  const cluster = new Cluster(names);
  arrange(cluster);
  const key = await newKey();
  const lines: string[] = [];
  const fleet = new Fleet({
    ...{ replicas: cluster, limit, key, mode, hasFilter: false },
    ...{ flushConnections: false, certificates: [], probes: true, log: () => {} },
    agent: {
      startupTimeoutMs: 1000,
      communicationTimeoutMs: 1000,
      idleTimeoutMs: 1000,
      resumeTimeoutMs: 1000,
    },
    say: (line) => {
      lines.push(line);
      cluster.events.emit("said");
    },
  });
  const ownAgent = await cluster.startAgent();
  ownAgent.keys = [key.publicKey];
  const stop = new AbortController();
  const beginning = startSession({
    key,
    dial: ownAgent.dial,
    gone: new Promise(() => {}),
    build: "test",
    signal: stop.signal,
    takesPort: (port) => fleet.ownTakes(port),
    onEvent: () => {},
  });
  fleet.begin(beginning);
  const own = await beginning;
  t.after(async () => {
    await own.end();
    await fleet.end(Promise.resolve());
    for (const work of cluster.last) work();
  });
  const until = async (event: string, isSo: () => boolean): Promise<void> => {
    while (!isSo()) await once(cluster.events, event, { signal: AbortSignal.timeout(60_000) });
  };
  return {
    ...{ cluster, fleet, own, ownAgent, lines },
    says: async (words) => {
      await until("said", () => lines.some((line) => words.test(line))).catch(() =>
        assert.fail(`${words}: ${lines.join("\n")}`),
      );
      return lines.find((line) => words.test(line)) ?? "";
    },
    asked: (name, what) =>
      until("asked", () => cluster.pod(name).agents.at(-1)?.asked.includes(what) ?? false),
  };
}

test("each other pod gets an agent with the session's key and a name of its own; all give the port", async (t) => {
  const { cluster, fleet, ownAgent, says } = await started(t, "a b c");
  await fleet.steal(80, () => {});
  assert.equal(await says(/taking/), "inpod: taking port 80 from 3 pods: a, b, c");
  assert.ok(ownAgent.asked.includes("incoming.steal 80"));
  for (const name of ["b", "c"]) {
    assert.ok(cluster.pod(name).agent.asked.includes("incoming.steal 80"));
    assert.match(cluster.pod(name).placed[0]?.sessionId ?? "", /^[0-9a-f]{10}-r[12]$/);
  }
  assert.equal(cluster.pod("a").agents.length, 0);
});

test("a pod that comes is joined, one that ends is kept until it is gone, each with a line", async (t) => {
  const { cluster, fleet, says, lines } = await started(t, "a b", 2);
  await fleet.steal(80, () => {});
  await says(/taking port 80 from 2 pods: a, b$/);
  cluster.add("c");
  assert.equal(cluster.pod("c").placed.length, 0);
  const b = cluster.pod("b");
  cluster.change(() => {
    b.state = "ending";
  });
  await says(/pod c joined: taking port 80 from 3 pods: a, b, c$/);
  const ended = once(b.agent.events, "asked");
  cluster.drop("b");
  await says(/pod b is gone: taking port 80 from 2 pods: a, c$/);
  assert.deepEqual(await ended, ["end"]);
  assert.equal(lines.length, 3, lines.join("\n"));
});

test("an agent that ends is followed by another one, which gives the port again", async (t) => {
  const { cluster, fleet, says, asked } = await started(t, "a b");
  await fleet.steal(80, () => {});
  cluster.pod("b").end("evicted");
  await says(/pod b: the agent is gone \(evicted\): starting another one/);
  await says(/pod b: the connection to its agent is back/);
  await asked("b", "incoming.steal 80");
  assert.equal(cluster.pod("b").agents.length, 2);
  assert.match(cluster.pod("b").placed[1]?.sessionId ?? "", /-r1-2$/);
});

test("a pod where nothing can be had is named, once, and another one has its place", async (t) => {
  const { fleet, says, lines } = await started(t, "a b c d", 3, (cluster) => {
    cluster.pod("b").refusal = "no room on its node";
    cluster.pod("c").policyOf = { steal: "forbidden" };
  });
  await says(/pod b is left out: no room on its node/);
  await says(/pod c is left out: inpod\.dev\/policy of the pod says no-steal/);
  await fleet.steal(80, () => {});
  await says(/taking port 80 from 2 of 4 pods of deployment\/web: a, d/);
  assert.equal(lines.length, 3, lines.join("\n"));
});

test("a port that a pod refuses is named; where all refuse, it fails as with one pod", async (t) => {
  const held = () => {
    throw new Error("80 is stolen by eve");
  };
  const { cluster, fleet, says, ownAgent } = await started(t, "a b");
  const b = cluster.pod("b");
  while (b.agents.length === 0) await once(cluster.events, "asked");
  b.agent.answers["incoming.steal"] = held;
  await fleet.steal(80, () => {});
  await says(/pod b: port 80 is not taken: .*80 is stolen by eve/);
  await says(/taking port 80 from 1 of 2 pods of deployment\/web: a$/);
  ownAgent.answers["incoming.steal"] = held;
  await assert.rejects(
    fleet.steal(81, () => {}),
    /80 is stolen by eve/,
  );
});

test("the target moves to a pod that is had: its agent is lent, and the ports stay with who has them", async (t) => {
  const { cluster, fleet, ownAgent, says } = await started(t, "a b c");
  await fleet.steal(80, () => {});
  await says(/taking/);
  const b = cluster.pod("b");
  const lent = fleet.heldBeside(b.id);
  assert.ok(lent);
  await lent.remove();
  assert.deepEqual(b.removed, []);
  cluster.change(() => {
    cluster.pod("a").state = "ending";
    cluster.ownName = "b";
  });
  assert.equal(fleet.ownTakes({ port: 80 }), false);
  cluster.drop("a");
  await says(/pod a is gone: taking port 80 from 2 pods: b, c$/);
  // Its agent ends: there is nothing to lend until there is another one.
  b.refusal = "no room";
  b.end("killed");
  await says(/pod b: no other agent yet \(no room\)/);
  assert.equal(fleet.heldBeside(b.id), undefined);
  // When the pod's session is given up, the target's own takes the ports.
  const before = ownAgent.asked.length;
  const resumed = new Promise<void>((resolve) => {
    ownAgent.events.on("asked", (method) => method === "resume" && resolve());
  });
  cluster.drop("b");
  await resumed;
  assert.equal(fleet.ownTakes({ port: 80 }), true);
  assert.ok(ownAgent.asked.slice(before).includes("incoming.steal 80"));
});

test("a port has the number that each pod gives it, also in the pod to which the target moves", async (t) => {
  const { cluster, fleet, ownAgent, says } = await started(t, "a b c d", 4);
  const numbers: Record<string, number> = { a: 8080, b: 9090, d: 7070 };
  const idOf = (name: string): string => cluster.pod(name).id;
  const portAt = (id: string): number | undefined =>
    Object.entries(numbers).find(([name]) => idOf(name) === id)?.[1];
  const stolen = await fleet.steal(8080, () => {}, { portAt });
  assert.match(await says(/pod c:/), /port 8080 is not taken: it has no port of that name/);
  assert.equal(
    await says(/taking/),
    "inpod: taking port 8080 from 3 of 4 pods of deployment/web: a, b, d",
  );
  assert.ok(ownAgent.asked.includes("incoming.steal 8080"));
  assert.ok(cluster.pod("b").agent.asked.includes("incoming.steal 9090"));
  assert.ok(cluster.pod("d").agent.asked.includes("incoming.steal 7070"));
  assert.equal(fleet.ownTakes({ port: 8080 }), true);
  // It is to a pod that was none of them: nobody else has its ports.
  numbers.e = 6060;
  const asked = new Promise<void>((resolve) => {
    ownAgent.events.on("asked", () => ownAgent.asked.at(-1) === "incoming.steal 6060" && resolve());
  });
  cluster.add("e");
  cluster.change(() => {
    cluster.ownName = "e";
  });
  await asked;
  assert.equal(fleet.ownTakes({ port: 8080 }), false);
  assert.equal(fleet.ownTakes({ port: 6060 }), true);
  await stolen.release();
  assert.equal(ownAgent.asked.at(-1), "incoming.release 6060");
});

test("stopping and going on reach every pod, and the end tells and removes every agent", async (t) => {
  const { cluster, fleet, own, ownAgent, says } = await started(t, "a b c");
  await fleet.steal(80, () => {});
  await says(/taking/);
  const agents = [ownAgent, cluster.pod("b").agent, cluster.pod("c").agent];
  await fleet.pause();
  for (const { asked } of agents) assert.equal(asked.at(-1), "pause");
  await fleet.resume();
  for (const { asked } of agents) assert.equal(asked.at(-1), "resume");
  await own.end();
  await fleet.end(Promise.resolve());
  for (const { asked } of agents) assert.equal(asked.at(-1), "end");
  assert.deepEqual([cluster.pod("b").removed, cluster.pod("c").removed], [[0], [0]]);
});

test("for copies nothing is begun before the program listens; then all are, and one line says so", async (t) => {
  const { cluster, fleet, says, lines } = await started(t, "a b c", 5, () => {}, "mirror");
  cluster.add("d");
  assert.deepEqual(
    cluster.pods.map(({ placed }) => placed.length),
    [0, 0, 0, 0],
  );
  await fleet.mirror(80, () => {});
  await says(/^inpod: copying port 80 from 4 pods: a, b, c, d$/);
  assert.equal(lines.length, 1);
});

test("a session that ends while other pods start waits for nobody and leaves nothing", async (t) => {
  const { cluster, fleet, own } = await started(t, "a b c d e f g h", Number.POSITIVE_INFINITY);
  await own.end();
  await fleet.end(Promise.resolve());
  for (const { agents, removed } of cluster.pods) assert.ok(removed.length >= agents.length);
});

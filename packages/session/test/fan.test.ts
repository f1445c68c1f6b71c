/** One port of several targets: sources that give it, refuse it, come late, and go. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Fan, type IncomingSource, type OnConnection, type Stolen } from "../src/index.ts";
import { begun, startAgent, Watched } from "./support.ts";

interface Told {
  readonly lines: string[];
  readonly fan: Fan<string>;
}

function newFan(): Told {
  const lines: string[] = [];
  const fan: Fan<string> = new Fan({
    onRefused: (name, { port }, error) => lines.push(`${name} refuses ${port}: ${error}`),
    onTaken: (port) => lines.push(`${port?.port ?? "change"}: ${fan.taken.join()}`),
  });
  return { lines, fan };
}

/** A source in the hand of the test. */
class Source implements IncomingSource {
  readonly ports = new Map<number, OnConnection>();
  refuses: string | undefined;

  async steal(port: number, onConnection: OnConnection): Promise<Stolen> {
    if (this.refuses !== undefined) throw this.refuses;
    this.ports.set(port, onConnection);
    return {
      release: async () => {
        this.ports.delete(port);
      },
    };
  }

  mirror = this.steal;
}

const deferred = <T>() => {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a port is taken from every source, and released at every one", async () => {
  const { fan, lines } = newFan();
  const [a, b] = [new Source(), new Source()];
  await fan.add("a", Promise.resolve(a));
  await fan.add("b", Promise.resolve(b));
  const stolen = await fan.steal(80, () => {});
  assert.deepEqual([a.ports.has(80), b.ports.has(80)], [true, true]);
  assert.deepEqual(lines, ["80: a,b"]);
  assert.deepEqual(fan.ports, [{ port: 80 }]);
  await stolen.release();
  assert.deepEqual([a.ports.size, b.ports.size], [0, 0]);
  assert.deepEqual(fan.ports, []);
});

test("one source that refuses is told of, and the port is had of the others", async () => {
  const { fan, lines } = newFan();
  const [a, b] = [new Source(), new Source()];
  a.refuses = "held by eve";
  await fan.add("a", Promise.resolve(a));
  await fan.add("b", Promise.resolve(b));
  await fan.steal(80, () => {});
  await turn();
  assert.deepEqual(lines, ["80: b", "a refuses 80: held by eve"]);
});

test("when all refuse, it fails with what the first one said, and nothing else is told", async () => {
  const { fan, lines } = newFan();
  const [a, b] = [new Source(), new Source()];
  a.refuses = "held by eve";
  b.refuses = "held by ada";
  await fan.add("a", Promise.resolve(a));
  await fan.add("b", Promise.resolve(b));
  await assert.rejects(
    fan.steal(80, () => {}),
    (error) => error === "held by eve",
  );
  await turn();
  assert.deepEqual(lines, []);
  // It is not wanted any more: who comes later is not asked for it.
  const late = new Source();
  await fan.add("late", Promise.resolve(late));
  assert.equal(late.ports.size, 0);
});

test("a source that still starts is waited for; one that fails to start says nothing here", async () => {
  const { fan, lines } = newFan();
  const [late, never] = [deferred<IncomingSource>(), deferred<IncomingSource>()];
  const [a, b] = [new Source(), new Source()];
  void fan.add("a", Promise.resolve(a));
  void fan.add("late", late.promise);
  void fan.add("never", never.promise);
  const taking = fan.steal(80, () => {});
  await turn();
  assert.deepEqual(lines, []);
  never.reject(new Error("no agent"));
  late.resolve(b);
  await taking;
  assert.deepEqual(lines, ["80: a,late"]);
  assert.equal(b.ports.has(80), true);
});

test("copies are had with the first source that gives them; all are told of together", async () => {
  const { fan, lines } = newFan();
  const late = deferred<IncomingSource>();
  await fan.add("a", Promise.resolve(new Source()));
  void fan.add("late", late.promise);
  await fan.mirror(80, () => {});
  assert.deepEqual(lines, []);
  late.resolve(new Source());
  await turn();
  assert.deepEqual(lines, ["80: a,late"]);
  const refusing = new Fan<string>({ onRefused: () => {}, onTaken: () => {} });
  const source = new Source();
  source.refuses = "no right";
  await refusing.add("a", Promise.resolve(source));
  await assert.rejects(
    refusing.mirror(80, () => {}),
    (error) => error === "no right",
  );
});

test("one that comes later gives all that is taken, and that is told; one that goes is told too", async () => {
  const { fan, lines } = newFan();
  const [a, b] = [new Source(), new Source()];
  await fan.add("a", Promise.resolve(a));
  await fan.steal(80, () => {});
  await fan.steal(81, () => {});
  await fan.add("b", Promise.resolve(b));
  assert.deepEqual([...b.ports.keys()], [80, 81]);
  fan.remove("a");
  assert.deepEqual(lines, ["80: a", "81: a", "change: a,b", "change: b"]);
  fan.remove("nobody");
  assert.equal(lines.length, 4);
});

test("a port that one source has lost is still had of the other", async () => {
  const { fan } = newFan();
  await fan.add("a", Promise.resolve(new Source()));
  await fan.add("b", Promise.resolve(new Source()));
  await fan.steal(80, () => {});
  fan.lost("a", { port: 80 });
  assert.deepEqual(fan.taken, ["b"]);
});

test("a release overtakes a source that still answers: it gives the port back", async () => {
  const { fan } = newFan();
  const late = deferred<IncomingSource>();
  const source = new Source();
  await fan.add("a", Promise.resolve(new Source()));
  const stolen = await fan.steal(80, () => {});
  const adding = fan.add("late", late.promise);
  await stolen.release();
  late.resolve(source);
  await adding;
  assert.equal(source.ports.size, 0);
});

test("with sessions: connections of every agent arrive, and are counted by where they came from", async (t) => {
  const { fan } = newFan();
  const one = await begun(t);
  const other = await startAgent(t);
  other.keys = [one.agent.key.publicKey];
  const watched = new Watched(other, { key: one.agent.key });
  t.after(() => watched.session.end());
  await watched.session.begin();
  await fan.add("one", Promise.resolve(one.session));
  await fan.add("other", Promise.resolve(watched.session));
  const arrived: string[] = [];
  await fan.steal(80, (_, header) => arrived.push(header.local.address));
  for (const agent of [one.agent, other, other]) {
    const address = agent === other ? "198.18.0.3" : "198.18.0.2";
    const channel = agent.tunnel.open({
      kind: "incoming",
      client: { address: "198.18.0.9", port: 4711 },
      local: { address, port: 80 },
    });
    await channel.opened;
  }
  assert.deepEqual(arrived, ["198.18.0.2", "198.18.0.3", "198.18.0.3"]);
  assert.deepEqual(
    [...fan.counts],
    [
      ["one", 1],
      ["other", 2],
    ],
  );
});

test("a session that is not to take ports asks its agent for none, and does when it is to", async (t) => {
  let takes = false;
  const { agent, session, watched } = await begun(t, { takesPort: () => takes });
  const stolen = await session.steal(80, () => {});
  assert.deepEqual(agent.asked, ["describe"]);
  const lost = watched.next("resumed");
  agent.cut();
  await lost;
  assert.deepEqual(agent.asked, ["describe", "resume"]);
  takes = true;
  await session.resume();
  assert.deepEqual(agent.asked.slice(2), ["incoming.steal 80", "resume"]);
  await stolen.release();
  assert.equal(agent.asked.at(-1), "incoming.release 80");
});

test("a source that fails to start after it was removed does not take along the next one of its name", async () => {
  const { fan } = newFan();
  const [late, next] = [deferred<IncomingSource>(), new Source()];
  void fan.add("a", late.promise);
  fan.remove("a");
  await fan.add("a", Promise.resolve(next));
  late.reject(new Error("its pod is gone"));
  await turn();
  await fan.steal(80, () => {});
  assert.deepEqual([...next.ports.keys()], [80]);
});

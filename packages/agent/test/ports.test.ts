import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { test } from "node:test";
import { Failure, type Flushed, type Holder, OwnEnds, Ports, type Rules } from "@inpod/agent";
import { parseFilter } from "@inpod/http";
import { Agent, Pod, skipUnless, type Who } from "./support/pod.ts";

/** What enter would know, without a kernel: which port goes where. Each change takes a turn of the event loop. */
class Recorded implements Rules {
  readonly stolen = new Map<number, number>();
  drainedCount = 0;
  readonly flushes: string[] = [];
  left = 0;

  async steal(port: number, relayPort: number): Promise<void> {
    await new Promise(setImmediate);
    this.stolen.set(port, relayPort);
  }

  async release(port: number): Promise<void> {
    await new Promise(setImmediate);
    this.stolen.delete(port);
  }

  async pass(): Promise<void> {}

  async passed(): Promise<void> {}

  async otherEnd(): Promise<never> {
    throw new Failure("ENOENT", "not tracked");
  }

  async flush(port: number, which: "idle" | "all"): Promise<Flushed> {
    this.flushes.push(`${which} ${port}${this.stolen.has(port) ? "" : ", which is not stolen"}`);
    await new Promise(setImmediate);
    return { ended: 1, left: this.left };
  }

  async drained(): Promise<void> {
    this.drainedCount++;
  }
}

const holder = (id: string): Holder => ({
  id,
  name: `of ${id}`,
  take: (socket) => socket.resume().end(),
  open: () => undefined,
  certificates: () => [],
  tlsUntouched: () => undefined,
  stealLost: () => undefined,
  connectionsKept: () => undefined,
});

async function stolenPorts(t: { after(run: () => unknown): void }, count: number) {
  const rules = new Recorded();
  const ports = new Ports(rules, () => undefined, new OwnEnds(), 10);
  const session = holder("a");
  // A listening relay would keep a failed test alive.
  t.after(() => ports.releaseAll(session, "test"));
  for (let port = 1; port <= count; port++) await ports.steal(port, session);
  return { rules, ports, session };
}

test("a suspend that overtakes a resume leaves no rule", async (t) => {
  const { rules, ports, session } = await stolenPorts(t, 3);
  await ports.suspend(session, "test");
  assert.equal(rules.stolen.size, 0);
  await Promise.all([ports.resume(session), ports.suspend(session, "test")]);
  assert.deepEqual([...rules.stolen], []);
  await ports.resume(session);
  assert.deepEqual([...rules.stolen.keys()], [1, 2, 3]);
  await ports.releaseAll(session, "test");
});

test("a session that ends while it resumes leaves no rule, and its ports are free", async (t) => {
  const { rules, ports, session } = await stolenPorts(t, 3);
  await ports.suspend(session, "test");
  await Promise.all([ports.resume(session), ports.releaseAll(session, "test")]);
  assert.deepEqual([...rules.stolen], []);
  const other = holder("b");
  await ports.steal(2, other);
  await ports.releaseAll(other, "test");
});

test("connections from before are taken over once for each rule, and no more when it goes", async (t) => {
  const { rules, ports, session } = await stolenPorts(t, 1);
  assert.deepEqual(rules.flushes, [], "nobody has asked for it");
  const other = holder("b");
  t.after(() => ports.releaseAll(other, "test"));
  const mine = { filter: parseFilter({ header: "^x-user: b$" }), flush: true };
  await ports.steal(1, other, mine);
  await ports.steal(1, other, mine);
  await ports.steal(2, session, { flush: true });
  assert.deepEqual(rules.flushes, ["idle 1", "idle 2"]);
  // Something stays busy, and is waited for: with a rule that is made again, anew.
  rules.left = 1;
  await ports.suspend(session, "test");
  await ports.resume(session);
  assert.deepEqual(rules.flushes.slice(2), ["idle 2"]);
});

test("a relay serves what was redirected before the release, then closes, and the table goes last", async (t) => {
  const { rules, ports, session } = await stolenPorts(t, 2);
  const relay = rules.stolen.get(1) as number;
  await ports.suspend(session, "test");
  const late = connect(relay, "127.0.0.1").resume();
  await once(late, "close");
  for (let tries = 0; tries < 500 && rules.drainedCount === 0; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal(rules.drainedCount, 1);
  const refused = connect(relay, "127.0.0.1");
  const [error] = await once(refused, "error");
  assert.equal(error.code, "ECONNREFUSED");
  await ports.releaseAll(session, "test");
});

for (const who of ["root", "user"] as Who[]) {
  test(`${who}: stealing again and again leaves no descriptor behind in Node, nor in enter`, {
    timeout: 120_000,
    skip: skipUnless(who),
  }, async (t) => {
    const pod = await Pod.start(who);
    t.after(() => pod.stop());
    const agent = await Agent.start(who, pod);
    t.after(() => agent.stop());
    const processes = [await agent.call<number>("pid"), agent.process.pid as number];
    const count = (): number[] | undefined => {
      try {
        return processes.map((pid) => readdirSync(`/proc/${pid}/fd`).length);
      } catch {
        // An ordinary user may not look into a process that has joined another user namespace.
        return undefined;
      }
    };
    const cycle = async (): Promise<void> => {
      await agent.call("steal", 8080, "a");
      assert.match(await pod.once(), /^stolen/);
      await agent.call("read", "/proc/1/status", 100_000);
      await agent.call("release", 8080, "a");
      for (let tries = 0; tries < 500; tries++) {
        if (pod.run("nft", "list", "tables") === "") return;
      }
      assert.fail("the table stays");
    };
    await cycle();
    const before = count();
    if (before === undefined) return t.skip("needs to see the descriptors of enter");
    for (let each = 0; each < 8; each++) await cycle();
    // The last sockets may still be closing, and the first ones may have been when they were counted.
    const more = (): number[] => {
      const after = count();
      assert.ok(after, "both processes are still there");
      return after.map((each, i) => each - (before[i] ?? 0));
    };
    for (let tries = 0; tries < 200 && more().some((each) => each > 0); tries++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.ok(
      more().every((each) => each <= 0),
      `${count()} after, ${before} before`,
    );
  });
}

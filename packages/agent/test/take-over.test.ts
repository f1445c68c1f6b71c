/** Connections from before a port was stolen: which are ended, when, and what both ends see. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { type Flushed, takeOver } from "@inpod/agent";
import { connectTunnel, rawFromPublicKey } from "@inpod/tunnel";
import { Place, POD, type Talker } from "./support/outside.ts";
import { Agent, skipUnless, type Who } from "./support/pod.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");

/**
 * On 8081 each chunk is echoed after "pod ", but for "hold": its answer comes when somebody says "go" on 8090. There
 * is no stealing that port; "seen" is answered by the errors of connections to 8081 so far.
 */
const SERVERS = `const net=require("net");const held=[];const seen=[];
  net.createServer({allowHalfOpen:true},s=>{s.on("error",e=>seen.push(e.code));s.on("data",b=>b=="hold"?held.push(s):s.write("pod "+b))}).listen(8081,"::");
  net.createServer(s=>{s.on("error",()=>{});s.on("data",b=>{if(b=="go")for(const h of held.splice(0))h.write("held");s.write(JSON.stringify(seen))})})
  .listen(8090,"0.0.0.0",()=>console.log("ready"))`;

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error("not within 60 s");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test("who is busy is asked again and again, and ended at the end of our patience", async () => {
  const asked: string[] = [];
  const answers: Flushed[] = [
    { ended: 3, left: 2 },
    { ended: 1, left: 1 },
    { ended: 0, left: 0 },
  ];
  const rules = (left: number) => ({
    flush: async (port: number, which: "idle" | "all"): Promise<Flushed> => {
      asked.push(`${which} ${port}`);
      return which === "all" ? { ended: left, left: 0 } : (answers.shift() ?? { ended: 0, left });
    },
  });
  const { signal } = new AbortController();
  assert.deepEqual(await takeOver(rules(0), 80, signal), { idle: 4, busy: 0 });
  assert.deepEqual(asked.splice(0), ["idle 80", "idle 80", "idle 80"]);
  assert.deepEqual(await takeOver(rules(2), 81, signal, 100), { idle: 0, busy: 2 });
  assert.equal(asked.at(-1), "all 81");
  const stop = new AbortController();
  const stopped = takeOver(rules(2), 82, stop.signal);
  stop.abort();
  assert.deepEqual(await stopped, { idle: 0, busy: 0 });
  assert.equal(asked.at(-1), "idle 82");
});

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 120_000, skip: skipUnless(who) };

  test(
    `${who}: idle connections are ended at once, over IPv4 and IPv6, and their clients come to us`,
    options,
    async (t) => {
      const place = await Place.start(who, SERVERS);
      t.after(() => place.stop());
      const agent = await Agent.start(who, place.pod);
      t.after(() => agent.stop());
      const talkers: Talker[] = [];
      t.after(() => talkers.forEach((each) => void each.close()));
      for (const host of [POD.v4, POD.v6]) {
        for (const first of ["hello", ""]) {
          const talker = await place.talk(8081, host);
          talkers.push(talker);
          if (first) assert.equal(await talker.ask(first), `pod ${first}`);
        }
      }
      const spared = await place.talk(8080);
      talkers.push(spared);
      assert.equal(await spared.ask("x"), "pod\n");
      await agent.call("takeOver", 8081, "a");
      for (const talker of talkers.slice(0, -1)) assert.equal(await talker.next(), "ECONNRESET");
      // What the pod's server is told.
      assert.equal(await place.once("?", 8090), JSON.stringify(new Array(4).fill("ECONNABORTED")));
      assert.match(await place.once("x", 8081, POD.v4), /^stolen/);
      assert.match(await place.once("x", 8081, POD.v6), /^stolen/);
      assert.equal(await spared.ask("x"), "pod\n", "another port's");
      assert.deepEqual(await agent.call("events"), []);
      await assert.rejects(agent.call("rawFlush", 8080, "all"), /EINVAL/, "it is not stolen");
      await agent.call("release", 8081, "a");
      await assert.rejects(agent.call("rawFlush", 8081, "all"), /EINVAL/);
    },
  );

  test(`${who}: a new client has a second to say its first words`, options, async (t) => {
    const place = await Place.start(who, SERVERS);
    t.after(() => place.stop());
    const agent = await Agent.start(who, place.pod);
    t.after(() => agent.stop());
    const since = performance.now();
    const silent = await place.talk(8081);
    t.after(() => silent.close());
    await agent.call("steal", 8081, "a");
    await until(async () => (await agent.call<Flushed>("rawFlush", 8081, "idle")).ended === 1);
    // The kernel's times are in jiffies.
    assert.ok(performance.now() - since > 950);
  });

  test(
    `${who}: who waits for an answer has it first, unless it takes too long`,
    options,
    async (t) => {
      const place = await Place.start(who, SERVERS);
      t.after(() => place.stop());
      const agent = await Agent.start(who, place.pod);
      t.after(() => agent.stop());
      const [waiting, endless] = [await place.talk(8081), await place.talk(8081, POD.v6)];
      t.after(() => [waiting, endless].forEach((each) => void each.close()));
      waiting.say("hold");
      assert.equal(await endless.ask("1"), "pod 1");
      await agent.call("steal", 8081, "a");
      const flush = (which: string) => agent.call<Flushed>("rawFlush", 8081, which);
      // The other has had its answer, and is idle before long.
      await until(async () => (await flush("idle")).ended === 1);
      assert.equal(await endless.next(), "ECONNRESET");
      assert.deepEqual(await flush("idle"), { ended: 0, left: 1 });
      await place.once("go", 8090);
      assert.equal(await waiting.next(), "held");
      await until(async () => (await flush("idle")).ended === 1);
      assert.equal(await waiting.next(), "ECONNRESET");
      assert.deepEqual(await flush("idle"), { ended: 0, left: 0 });
      await agent.call("release", 8081, "a");

      const again = await place.talk(8081);
      t.after(() => again.close());
      again.say("hold");
      await agent.call("takeOver", 8081, "a");
      assert.equal(await again.next(), "ECONNRESET", "after five seconds");
    },
  );

  test(`${who}: what is not a connection to the pod's server is left alone`, options, async (t) => {
    // Of the clients' machine: what the pod connects to.
    const place = await Place.start(who, SERVERS);
    t.after(() => place.stop());
    const agent = await Agent.start(who, place.pod);
    t.after(() => agent.stop());
    // The pod's own connection to somewhere, from a port of that number, on which nobody listens.
    const own = await place.talkInside(8080, POD.v4, 8085);
    t.after(() => own.close());
    assert.equal(await own.ask("x"), "pod\n");
    // Half-closed: no other request can come over it.
    const halfClosed = await place.talk(8081);
    t.after(() => halfClosed.close());
    halfClosed.say("hold");
    halfClosed.end();
    for (const port of [8085, 8081]) await agent.call("steal", port, "a");
    await until(async () => (await agent.call<Flushed>("rawFlush", 8081, "idle")).left === 0);
    for (const port of [8085, 8081])
      assert.deepEqual(await agent.call("rawFlush", port, "all"), { ended: 0, left: 0 });
    assert.equal(await own.ask("x"), "pod\n");
    await place.once("go", 8090);
    assert.equal(await halfClosed.next(), "held");
  });

  test(
    `${who}: with a filter the pod's old connections are ended, and what is passed on to it is not`,
    options,
    async (t) => {
      const place = await Place.start(who, SERVERS);
      t.after(() => place.stop());
      const agent = await Agent.serve(who, place.pod, [
        ...["--public-key", rawFromPublicKey(publicKey), "--idle-timeout-ms", "20000"],
        ...["--communication-timeout-ms", "20000"],
      ]);
      t.after(() => agent.stop());
      const session = (sessionId: string) =>
        connectTunnel(agent.dial(), {
          sessionId,
          privateKey,
          build: "test",
          handlers: { onStream: (channel) => channel.reset("ECONNREFUSED") },
        });
      const ann = await session("ann");
      assert.ok(ann.peer.features.includes("flush"));
      await ann.call("session.admit", {
        sessionId: "bob",
        publicKey: rawFromPublicKey(publicKey),
        owner: "bob",
      });
      const bob = await session("bob");
      const old = await place.talk(8081);
      t.after(() => old.close());
      assert.equal(await old.ask("1"), "pod 1");
      await ann.call("incoming.steal", { port: 8081, filter: { header: "^x-user: ann$" } });
      assert.equal(await old.ask("2"), "pod 2", "nobody has asked for it");
      const passed = [await place.talk(8081), await place.talk(8081, POD.v6)];
      t.after(() => passed.forEach((each) => void each.close()));
      for (const each of passed) assert.equal(await each.ask("\u0001"), "pod \u0001");
      const filter = { header: "^x-user: bob$" };
      await bob.call("incoming.steal", { port: 8081, filter, flush: true });
      assert.equal(await old.next(), "ECONNRESET");
      for (const each of passed) assert.equal(await each.ask("\u0002"), "pod \u0002");
      // Again after a pause, in which the rule went and other connections were made.
      await ann.call("incoming.release", { port: 8081 });
      await bob.call("pause", {});
      const meanwhile = await place.talk(8081);
      t.after(() => meanwhile.close());
      assert.equal(await meanwhile.ask("1"), "pod 1");
      await bob.call("resume", {});
      assert.equal(await meanwhile.next(), "ECONNRESET");
      for (const each of passed) assert.equal(await each.ask("\u0003"), "pod \u0003");
    },
  );
}

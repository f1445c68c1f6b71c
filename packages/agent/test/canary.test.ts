/** A try through a Service: the neighbour's network does what kube-proxy does on a node. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_CANARY_MS } from "@inpod/protocol";
import { peersOf } from "../src/incoming/canary.ts";
import { ARGS, Developer } from "./support/developer.ts";
import { CLIENT, startNeighbour } from "./support/neighbour.ts";
import { Agent, skipUnless, type Who } from "./support/pod.ts";

const SERVICE = "192.0.2.80";
/** Port of the Service → what becomes of it. */
const [LEADS, BYPASSES, REFUSES, DROPS] = [80, 81, 82, 83];
/** Masqueraded, as a pod's way to itself is. */
const KUBE_PROXY = `echo 1 > /proc/sys/net/ipv4/ip_forward; nft '
  add table ip proxy;
  add chain ip proxy pre { type nat hook prerouting priority dstnat; };
  add chain ip proxy post { type nat hook postrouting priority srcnat; };
  add chain ip proxy early { type filter hook prerouting priority -150; };
  add rule ip proxy early ip daddr ${SERVICE} tcp dport ${DROPS} drop;
  add rule ip proxy pre ip daddr ${SERVICE} tcp dport ${LEADS} dnat to 198.18.7.1:8081;
  add rule ip proxy pre ip daddr ${SERVICE} tcp dport ${BYPASSES} dnat to 198.18.7.1:8082;
  add rule ip proxy pre ip daddr ${SERVICE} tcp dport ${REFUSES} dnat to 198.18.7.1:8099;
  add rule ip proxy post ct status dnat masquerade'`;
const SERVERS = `let n=0;for(const p of [8081,8082])require("net").createServer(s=>{console.log("pod "+p);
  s.on("error",()=>{});s.on("data",b=>s.write("pod"))}).listen(p,()=>++n==2&&console.log("ready"))`;

const nonce = "0123456789abcdef".repeat(2);
const wish = { nonce, port: 8081, host: SERVICE, attempts: 3, timeoutMs: MAX_CANARY_MS } as const;

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 240_000, skip: skipUnless(who) };

  async function place(t: { after(run: () => unknown): void }) {
    const neighbour = await startNeighbour(who, t, SERVERS, KUBE_PROXY);
    const agent = await Agent.serve(who, neighbour.pod, ARGS);
    t.after(() => agent.stop());
    const one = await Developer.join(agent, "session-a");
    return { ...neighbour, one };
  }

  for (const filter of [undefined, { path: "^/never" }]) {
    test(
      `${who}: what comes back to a port that is stolen ${filter ? "by a filter" : "as a whole"} is proved, and nobody else sees it`,
      options,
      async (t) => {
        const { one, said } = await place(t);
        await one.tunnel.call("incoming.steal", { port: 8081, ...(filter && { filter }) });
        const result = await one.tunnel.call("incoming.canary", {
          ...wish,
          way: "steal",
          servicePort: LEADS,
        });
        assert.deepEqual(
          [result.isProved, result.errno, result.staysInside],
          [true, undefined, false],
        );
        assert.equal(one.copies.length, 0);
        assert.equal(said(), "ready\n");
      },
    );
  }

  test(`${who}: of a mirrored port the try is seen and not copied`, options, async (t) => {
    const { one, ask } = await place(t);
    await one.tunnel.call("incoming.mirror", { port: 8081 });
    const result = await one.tunnel.call("incoming.canary", {
      ...wish,
      attempts: 6,
      way: "mirror",
      servicePort: LEADS,
    });
    assert.equal(result.isProved, true);
    await ask(CLIENT, 8081, "something");
    await one.copyOf("something");
    assert.equal(one.copies.length, 1);
    const other = await one.tunnel.call("incoming.canary", {
      ...wish,
      way: "mirror",
      servicePort: BYPASSES,
    });
    assert.deepEqual([other.isProved, other.elsewhere], [false, 3]);
  });

  test(
    `${who}: a try that somebody else gets, or nobody, says which; nothing was sent to him`,
    options,
    async (t) => {
      const { one, said } = await place(t);
      await one.tunnel.call("incoming.steal", { port: 8081 });
      const send = (servicePort: number, timeoutMs: number = wish.timeoutMs) =>
        one.tunnel.call("incoming.canary", {
          ...wish,
          timeoutMs,
          servicePort,
          way: "steal",
        });
      const bypass = await send(BYPASSES);
      assert.deepEqual(
        [bypass.isProved, bypass.attempts, bypass.elsewhere, bypass.errno, bypass.staysInside],
        [false, 3, 3, undefined, false],
      );
      assert.equal(said(), `ready\n${"pod 8082\n".repeat(3)}`);
      const refused = await send(REFUSES);
      assert.deepEqual([refused.isProved, refused.errno], [false, "ECONNREFUSED"]);
      const dropped = await send(DROPS, 1500);
      assert.deepEqual([dropped.isProved, dropped.errno], [false, "ETIMEDOUT"]);
      // As where a plugin makes the Service's address the pod's in the pod itself.
      const inside = await one.tunnel.call("incoming.canary", {
        ...{ ...wish, port: 8082, host: "198.18.7.1", servicePort: 8082 },
        way: "steal",
      });
      assert.deepEqual([inside.isProved, inside.staysInside], [false, true]);
      assert.equal(one.copies.length, 0);
    },
  );

  test(
    `${who}: while a try is out, other clients' connections go on as ever, however slowly they speak`,
    options,
    async (t) => {
      const { one, ask } = await place(t);
      await one.tunnel.call("incoming.steal", { port: 8081 });
      // Two by turns: a busy machine's clients may take longer than one is out.
      let isOver = false;
      const out = [MAX_CANARY_MS, 0.7 * MAX_CANARY_MS].map(async (timeoutMs) => {
        const send = { ...wish, way: "steal", servicePort: DROPS, timeoutMs } as const;
        let isProved = false;
        while (!isOver) ({ isProved } = await one.tunnel.call("incoming.canary", send));
        return isProved;
      });
      const PROGRAM = /an answer that nobody asked for/;
      for (const bytes of ["x", "inpod-canary 0123\n", "GET / HTTP/1.1\r\n\r\n"]) {
        assert.match(await ask(CLIENT, 8081, bytes), PROGRAM);
        await one.copyOf(bytes);
      }
      // Neither the program nor the pod would have learnt more of it than that it has been there.
      assert.match(await ask(CLIENT, 8081, ""), /^(inpod-canary [0-9a-f]{32}\n?)+$/);
      isOver = true;
      assert.deepEqual(await Promise.all(out), [false, false]);
      assert.equal(await ask(CLIENT, 8081, ""), "an answer that nobody asked for");
    },
  );
}

for (const who of ["root", "user"] as Who[]) {
  test(`${who}: a try of somebody else's is answered by its own words, and by nothing when it is over`, {
    timeout: 240_000,
    skip: skipUnless(who),
  }, async (t) => {
    const neighbour = await startNeighbour(who, t, SERVERS);
    const agent = await Agent.serve(who, neighbour.pod, ARGS);
    t.after(() => agent.stop());
    const one = await Developer.join(agent, "session-a");
    await one.tunnel.call("incoming.steal", { port: 8081 });
    const other = "f".repeat(32);
    const expected = { ...wish, attempts: 0, way: "steal", servicePort: LEADS } as const;
    const waiting = [nonce, other].map((each) =>
      one.tunnel.call("incoming.canary", { ...expected, nonce: each }),
    );
    assert.equal(
      await neighbour.ask(CLIENT, 8081, ""),
      `inpod-canary ${nonce}\ninpod-canary ${other}`,
    );
    assert.deepEqual(
      (await Promise.all(waiting)).map(({ attempts }) => attempts),
      [0, 0],
    );
    assert.equal(await neighbour.ask(CLIENT, 8081, ""), "an answer that nobody asked for");
  });
}

test("peers of a port's sockets as the kernel shows them", () => {
  const table = `  sl  local_address rem_address   st
   0: 0100007F:1F91 0A07C612:D431 01 00000000:00000000
   1: 0100007F:1F92 0A07C612:D432 01 00000000:00000000`;
  assert.deepEqual(peersOf(table, 0x1f91), [{ address: "18.198.7.10", port: 0xd431 }]);
  const six = `  0: 0000000000000000FFFF00000107C612:1F91 0000000000000000FFFF0000090712C6:D431 01
   1: B80D0120000000000000000001000000:1F91 B80D0120000000000000000009000000:D432 01`;
  assert.deepEqual(peersOf(six, 0x1f91), [
    { address: "198.18.7.9", port: 0xd431 },
    { address: "2001:db8::9", port: 0xd432 },
  ]);
});

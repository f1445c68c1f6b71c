import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Agent, gone, type Pod, skipUnless, type Who } from "./support/pod.ts";
import {
  ARGS,
  CLIENTS,
  clientOf,
  FROM_NOWHERE,
  HOSTS,
  MESH_PORT,
  outside,
  PORT,
  runOutside,
  startPod,
  UdpDeveloper,
} from "./support/udp.ts";

const HAS_PYTHON = spawnSync("python3", ["--version"]).status === 0;
const UDP = { port: PORT, protocol: "udp" } as const;

interface Scene {
  readonly pod: Pod;
  readonly agent: Agent;
  readonly one: UdpDeveloper;
}

async function scene(
  t: { after(run: () => unknown): void },
  who: Who,
  { otherRules = false, args = [] as string[] } = {},
): Promise<Scene> {
  const pod = await startPod(who, { otherRules });
  t.after(() => pod.stop());
  const agent = await Agent.serve(who, pod, [...ARGS, ...args]);
  t.after(() => agent.stop());
  return { pod, agent, one: await UdpDeveloper.join(agent, "one") };
}

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 120_000, skip: skipUnless(who) };

  for (const otherRules of [false, true]) {
    const where = otherRules ? "beside rules that translate addresses" : "without other rules";

    test(
      `${who}, ${where}: a flow from before goes to the session with the next datagram, and back with the next after the end`,
      options,
      async (t) => {
        const { pod, one } = await scene(t, who, { otherRules });
        const clients = await Promise.all(Object.values(HOSTS).map((host) => clientOf(pod, host)));
        t.after(() => clients.map((each) => each.close()));
        const before = pod.run("nft", "list", "ruleset");
        const ask = (): Promise<string[]> => Promise.all(clients.map((each) => each.ask()));
        const fromPod = [`pod ${CLIENTS.ipv4} 1`, `pod ${CLIENTS.ipv6} 1`];
        assert.deepEqual(await ask(), fromPod);
        for (let round = 1; round <= 2; round++) {
          await one.tunnel.call("incoming.steal", UDP);
          assert.deepEqual(await ask(), [`one ${CLIENTS.ipv4} 1`, `one ${CLIENTS.ipv6} 1`]);
          assert.deepEqual(await ask(), [`one ${CLIENTS.ipv4} 1`, `one ${CLIENTS.ipv6} 1`]);
          assert.equal(one.flows.length, 2 * round, "a client is one stream");
          await one.tunnel.call("incoming.release", UDP);
          assert.deepEqual(await ask(), fromPod);
        }
        assert.deepEqual(
          one.flows
            .slice(0, 2)
            .map(({ client, local, end }) => ({ client, local, end }))
            .sort((a, b) => a.local.address.localeCompare(b.local.address)),
          [HOSTS.ipv4, HOSTS.ipv6].map((address, i) => ({
            client: { address: Object.values(CLIENTS)[i], port: clients[i]?.port },
            local: { address, port: PORT },
            end: "ECONNABORTED",
          })),
        );
        assert.equal(pod.run("nft", "list", "ruleset"), before);
      },
    );

    for (const victim of ["node", "enter", "nft"]) {
      test(
        `${who}, ${where}: after kill -9 of ${victim} the next datagram of a stolen flow reaches the pod`,
        options,
        async (t) => {
          const { pod, agent, one } = await scene(t, who, { otherRules });
          const known = await clientOf(pod, HOSTS.ipv4);
          t.after(() => known.close());
          const before = pod.run("nft", "list", "ruleset");
          await one.tunnel.call("incoming.steal", UDP);
          assert.equal(await known.ask(), `one ${CLIENTS.ipv4} 1`);
          const nft = agent.child("nft");
          const enter = agent.process.pid as number;
          process.kill(
            victim === "enter" ? enter : victim === "nft" ? nft : agent.child("node"),
            "SIGKILL",
          );
          await gone(nft);
          assert.equal(await known.ask(), `pod ${CLIENTS.ipv4} 1`);
          assert.equal(pod.run("nft", "list", "ruleset"), before);
          if (victim !== "nft") return;
          await one.until("the loss is told", () => one.notices.length > 0);
          const [lost] = one.notices;
          assert.ok(lost?.kind === "steal-lost" && lost.protocol === "udp" && lost.port === PORT);
          await one.tunnel.call("incoming.steal", UDP);
          assert.equal(await known.ask(), `one ${CLIENTS.ipv4} 1`);
        },
      );
    }
  }

  test(
    `${who}: datagrams that a sidecar's rules redirect to the port are taken where they arrive`,
    options,
    async (t) => {
      const { pod, one } = await scene(t, who, { otherRules: true });
      const known = await clientOf(pod, HOSTS.ipv4, MESH_PORT);
      t.after(() => known.close());
      assert.equal(await known.ask(), `pod ${CLIENTS.ipv4} 1`);
      await one.tunnel.call("incoming.steal", UDP);
      assert.equal(await known.ask(), `one ${CLIENTS.ipv4} 1`);
      await one.tunnel.call("incoming.release", UDP);
      assert.equal(await known.ask(), `pod ${CLIENTS.ipv4} 1`);
    },
  );

  test(`${who}: clients inside the pod are stolen, too`, options, async (t) => {
    const { pod, one } = await scene(t, who);
    await one.tunnel.call("incoming.steal", UDP);
    for (const host of ["127.0.0.1", "::1", HOSTS.ipv4]) {
      const inside = await clientOf(pod, host, PORT, pod.pid);
      assert.equal(await inside.ask(), `one ${host} 1`);
      inside.close();
    }
  });

  test(
    `${who}: datagrams of 60000 bytes, in fragments, pass both ways whole`,
    options,
    async (t) => {
      const { pod, one } = await scene(t, who);
      await one.tunnel.call("incoming.steal", UDP);
      for (const host of Object.values(HOSTS)) {
        const large = await clientOf(pod, host);
        assert.equal(await large.ask(60_000), "60000 bytes");
        large.close();
      }
    },
  );

  test(`${who}: who sends to the relay's port itself is not heard`, options, async (t) => {
    const { pod, one } = await scene(t, who);
    await one.tunnel.call("incoming.steal", UDP);
    const relay = Number(/9090 : (\d+)/.exec(pod.run("nft", "list", "ruleset"))?.[1]);
    const stranger = await clientOf(pod, HOSTS.ipv4, relay);
    stranger.send(7);
    const inside = await clientOf(pod, "127.0.0.1", relay, pod.pid);
    inside.send(7);
    // Behind it on the same cable: what comes first would have been seen.
    const known = await clientOf(pod, HOSTS.ipv4);
    assert.equal(await known.ask(), `one ${CLIENTS.ipv4} 1`);
    assert.equal(one.flows.length, 1);
    for (const each of [stranger, inside, known]) each.close();
  });

  test(
    `${who}: a second session learns who has the port; a paused one has none of it, and stays its holder`,
    options,
    async (t) => {
      const { pod, agent, one } = await scene(t, who, { args: ["--owner", "jane"] });
      const two = await UdpDeveloper.join(agent, "two");
      await one.tunnel.call("incoming.steal", UDP);
      await one.tunnel.call("incoming.steal", UDP);
      await assert.rejects(two.tunnel.call("incoming.steal", UDP), {
        errno: "EADDRINUSE",
        message: /^UDP port 9090 is stolen by /,
      });
      // TCP's port of that number is another one.
      await two.tunnel.call("incoming.steal", { port: PORT });
      const known = await clientOf(pod, HOSTS.ipv4);
      t.after(() => known.close());
      assert.equal(await known.ask(), `one ${CLIENTS.ipv4} 1`);
      await one.tunnel.call("pause", {});
      assert.equal(await known.ask(), `pod ${CLIENTS.ipv4} 1`);
      await assert.rejects(two.tunnel.call("incoming.steal", UDP), /stolen by/);
      await one.tunnel.call("resume", {});
      assert.equal(await known.ask(), `one ${CLIENTS.ipv4} 1`);
      await one.tunnel.call("end", {});
      assert.equal(await known.ask(), `pod ${CLIENTS.ipv4} 1`);
      await two.tunnel.call("incoming.steal", UDP);
      assert.equal(await known.ask(), `two ${CLIENTS.ipv4} 1`);
      // A third one may take it over, and `two` hears of it.
      const three = await UdpDeveloper.join(agent, "three");
      await three.tunnel.call("incoming.steal", { ...UDP, takesOver: true });
      assert.equal(await known.ask(), `three ${CLIENTS.ipv4} 1`);
      await two.until("the loss is told", () => two.notices.length > 0);
      const [lost] = two.notices;
      assert.ok(lost?.kind === "steal-lost" && lost.protocol === "udp");
      assert.match(lost.detail, /has taken it over$/);
      const { sessions } = await three.tunnel.call("status", {});
      const ports = sessions.flatMap((session) => session.ports);
      assert.deepEqual(
        ports.map(({ port, protocol, way, isActive, connections }) => ({
          ...{ port, protocol, way, isActive, connections },
        })),
        [
          { port: PORT, protocol: "tcp", way: "steal", isActive: true, connections: 0 },
          { port: PORT, protocol: "udp", way: "steal", isActive: true, connections: 1 },
        ],
      );
    },
  );

  test(
    `${who}: a session whose tunnel is cut gets its ports back, and the pod its clients meanwhile`,
    options,
    async (t) => {
      const { pod, agent, one } = await scene(t, who);
      await one.tunnel.call("incoming.steal", UDP);
      const known = await clientOf(pod, HOSTS.ipv4);
      t.after(() => known.close());
      assert.equal(await known.ask(), `one ${CLIENTS.ipv4} 1`);
      one.tunnel.close("test");
      // The rule goes with the tunnel: until then the answer is nobody's.
      for (let tries = 0; (await pod.output("nft", "list", "tables")).includes("inpod"); tries++) {
        assert.ok(tries < 500, "the table stays");
      }
      assert.equal(await known.ask(), `pod ${CLIENTS.ipv4} 1`);
      const again = await UdpDeveloper.join(agent, "one");
      await again.tunnel.call("incoming.steal", UDP);
      assert.equal(await known.ask(), `one ${CLIENTS.ipv4} 1`);
    },
  );

  for (const [policy, words] of [
    ["no-steal", /no-steal/],
    ["steal-with-filter-only", /steal-with-filter-only/],
  ] as const) {
    test(`${who}: the policy ${policy} holds for UDP`, options, async (t) => {
      const { pod, one } = await scene(t, who, { args: ["--policy", policy] });
      await assert.rejects(one.tunnel.call("incoming.steal", UDP), {
        errno: "EPERM",
        message: words,
      });
      assert.equal(pod.run("nft", "list", "ruleset"), "");
    });
  }

  test(
    `${who}: of a flood from many addresses there are 1024 flows, and what finds no room is counted`,
    options,
    async (t) => {
      const { pod, one } = await scene(t, who);
      await one.tunnel.call("incoming.steal", UDP);
      // All of them are there until the end: a client that has gone makes room.
      const many = `const dgram = require("dgram");
        const next = (i) => { if (i === 1500) return; const u = dgram.createSocket("udp4");
          u.send("x", ${PORT}, "${HOSTS.ipv4}"); setImmediate(next, i + 1); };
        next(0);`;
      const [command = "", ...rest] = pod.inside([process.execPath, "-e", many], outside(pod));
      const clients = spawn(command, rest, { stdio: ["ignore", "ignore", "inherit"] });
      t.after(() => clients.kill("SIGKILL"));
      const dropped = (): number =>
        one.notices.reduce(
          (count, notice) => (notice.kind === "udp-dropped" ? notice.count : count),
          0,
        );
      await one.until("all are counted", () => one.flows.length + dropped() >= 1500);
      assert.deepEqual([one.flows.length, dropped()], [1024, 476]);
      assert.ok(outside(pod) > 0);
    },
  );
}

test("a datagram from port 0 is the session's, who may answer it: nobody gets that, and the agent goes on", {
  timeout: 120_000,
  skip: skipUnless("root") || (!HAS_PYTHON && "needs python3"),
}, async (t) => {
  const { pod, one } = await scene(t, "root");
  await one.tunnel.call("incoming.steal", UDP);
  const [command = "", ...rest] = pod.inside(
    ["python3", "-c", FROM_NOWHERE, HOSTS.ipv4, String(PORT)],
    outside(pod),
  );
  assert.equal(spawnSync(command, rest, { encoding: "utf8" }).stderr, "");
  await one.until("it has come", () => one.flows.length === 1);
  assert.equal(one.flows[0]?.client.port, 0);
  const known = await clientOf(pod, HOSTS.ipv4);
  t.after(() => known.close());
  assert.equal(await known.ask(), `one ${CLIENTS.ipv4} 1`);
});

test("of what a session does not read nothing is kept: it is dropped and counted, and the agent stays as large as it was", {
  timeout: 120_000,
  skip: skipUnless("root"),
}, async (t) => {
  const { pod, agent, one } = await scene(t, "root");
  await one.tunnel.call("incoming.steal", UDP);
  const known = await clientOf(pod, HOSTS.ipv4);
  t.after(() => known.close());
  assert.equal(await known.ask(), `one ${CLIENTS.ipv4} 1`);
  const node = agent.child("node");
  const residentKib = (): number =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${node}/status`, "utf8"))?.[1]);
  const before = residentKib();
  one.socket.pause();
  // 200 MiB, as fast as one process sends.
  const flood = `const u = require("dgram").createSocket("udp4"); const b = Buffer.alloc(8192); let left = 25600;
    const go = () => { for (let i = 0; i < 64 && left > 0; i++, left--) u.send(b, ${PORT}, "${HOSTS.ipv4}");
      if (left > 0) setImmediate(go); else u.close(); }; go();`;
  await runOutside(pod, flood);
  assert.ok(residentKib() < before + 64 * 1024, `${before} KiB before, ${residentKib()} KiB after`);
  one.socket.resume();
  await one.until("it is told", () => one.notices.some(({ kind }) => kind === "udp-dropped"));
  assert.equal(await known.ask(2), `one ${CLIENTS.ipv4} 2`);
  await one.tunnel.call("end", {});
  const got = one.flows.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const counts = one.notices.map((notice) => (notice.kind === "udp-dropped" ? notice.count : 0));
  const dropped = Math.max(...counts);
  t.diagnostic(`${got} came, ${dropped} were dropped, ${residentKib() - before} KiB more`);
  assert.ok(dropped > 0 && got + dropped <= 25_602);
});

test("what the session itself sends to the pod's port reaches the pod", {
  timeout: 120_000,
  skip: skipUnless("root"),
}, async (t) => {
  const pod = await startPod("root");
  t.after(() => pod.stop());
  const ids = ["--node-uid", "40404", "--node-gid", "40404"];
  const agent = await Agent.start("root", pod, ids, { program: ["dist/agent.js", ...ARGS] });
  t.after(() => agent.stop());
  const one = await UdpDeveloper.join(agent, "one");
  await one.tunnel.call("incoming.steal", UDP);
  for (const host of ["127.0.0.1", HOSTS.ipv4]) {
    const own = one.tunnel.open({ kind: "udp", host, port: PORT });
    const answer = new Promise<string>((resolve) => {
      own.onDatagram = (bytes) => resolve(String(Buffer.from(bytes)));
    });
    own.datagram(Buffer.from("x"));
    assert.equal(await answer, `pod ${host} 1`);
  }
  assert.equal(one.flows.length, 0);
});

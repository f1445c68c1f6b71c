import assert from "node:assert/strict";
import { test } from "node:test";
import { Agent, gone, skipUnless, type Who } from "./support/pod.ts";
import { ARGS, CLIENTS, clientOf, HOSTS, PORT, startPod, UdpDeveloper } from "./support/udp.ts";

const UDP = { port: PORT, protocol: "udp" } as const;

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 120_000, skip: skipUnless(who) };

  test(
    `${who}: what clients send is copied to every session that mirrors; the pod answers, and no rule is made`,
    options,
    async (t) => {
      const pod = await startPod(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, ARGS);
      t.after(() => agent.stop());
      const one = await UdpDeveloper.join(agent, "one");
      const two = await UdpDeveloper.join(agent, "two");
      const known = await clientOf(pod, HOSTS.ipv4);
      const six = await clientOf(pod, HOSTS.ipv6);
      const inside = await clientOf(pod, "127.0.0.1", PORT, pod.pid);
      t.after(() => [known, six, inside].map((each) => each.close()));
      assert.equal(await known.ask(), `pod ${CLIENTS.ipv4} 1`);
      for (const each of [one, two]) await each.tunnel.call("incoming.mirror", UDP);
      for (const bytes of [2, 3]) {
        assert.equal(await known.ask(bytes), `pod ${CLIENTS.ipv4} ${bytes}`);
        assert.equal(await six.ask(bytes), `pod ${CLIENTS.ipv6} ${bytes}`);
        assert.equal(await inside.ask(bytes), `pod 127.0.0.1 ${bytes}`);
      }
      const seen = (developer: UdpDeveloper): unknown[] =>
        developer.flows
          .map(({ client, local, bytes }) => ({ client, local, bytes }))
          .sort((a, b) => a.local.address.localeCompare(b.local.address));
      for (const developer of [one, two]) {
        await developer.until(
          "all copies",
          () =>
            developer.flows.length === 3 &&
            developer.flows.every(({ bytes }) => bytes.length === 2),
        );
        assert.deepEqual(seen(developer), [
          {
            client: { address: "127.0.0.1", port: inside.port },
            local: { address: "127.0.0.1", port: PORT },
            bytes: [2, 3],
          },
          {
            client: { address: CLIENTS.ipv4, port: known.port },
            local: { address: HOSTS.ipv4, port: PORT },
            bytes: [2, 3],
          },
          {
            client: { address: CLIENTS.ipv6, port: six.port },
            local: { address: HOSTS.ipv6, port: PORT },
            bytes: [2, 3],
          },
        ]);
      }
      assert.equal(pod.run("nft", "list", "ruleset"), "");
      // TCP of that number is another port.
      assert.equal(one.flows.length, 3);

      await one.tunnel.call("incoming.release", UDP);
      await one.until("the copies end", () => one.flows.every(({ end }) => end === "ECONNABORTED"));
      await two.tunnel.call("pause", {});
      assert.equal(await known.ask(4), `pod ${CLIENTS.ipv4} 4`);
      await two.tunnel.call("resume", {});
      assert.equal(await known.ask(5), `pod ${CLIENTS.ipv4} 5`);
      await two.until("a new flow", () => two.flows.at(-1)?.bytes[0] === 5);
      assert.equal(two.flows.length, 4);
      assert.equal(one.flows.length, 3);
    },
  );

  test(
    `${who}: a datagram in fragments is copied whole over IPv4, and counted over IPv6; one that the pod's own session sends has no copy`,
    options,
    async (t) => {
      const pod = await startPod(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, ARGS);
      t.after(() => agent.stop());
      const one = await UdpDeveloper.join(agent, "one");
      await one.tunnel.call("incoming.mirror", UDP);
      const own = one.tunnel.open({ kind: "udp", host: "127.0.0.1", port: PORT });
      const answered = new Promise<void>((resolve) => {
        own.onDatagram = () => resolve();
      });
      own.datagram(Buffer.from("own"));
      await answered;
      const known = await clientOf(pod, HOSTS.ipv4);
      t.after(() => known.close());
      const known6 = await clientOf(pod, HOSTS.ipv6);
      t.after(() => known6.close());
      assert.equal(await known.ask(9000), `pod ${CLIENTS.ipv4} 9000`);
      assert.equal(await known.ask(7), `pod ${CLIENTS.ipv4} 7`);
      assert.equal(await known6.ask(9000), `pod ${CLIENTS.ipv6} 9000`);
      assert.equal(await known6.ask(8), `pod ${CLIENTS.ipv6} 8`);
      await one.until("the copies", () => one.flows.length > 1 && one.notices.length > 0);
      await one.until("all of them", () => one.flows.flatMap(({ bytes }) => bytes).length === 3);
      // Both kinds come by sockets of their own: only within a flow there is an order.
      const byClient = new Map(one.flows.map(({ client, bytes }) => [client.address, bytes]));
      assert.deepEqual(
        byClient,
        new Map([
          [CLIENTS.ipv4, [9000, 7]],
          [CLIENTS.ipv6, [8]],
        ]),
      );
      assert.equal(one.flows.length, 2);
      assert.deepEqual(one.notices, [
        { kind: "udp-dropped", port: PORT, count: 1, why: "fragments" },
      ]);
    },
  );

  test(`${who}: the policy no-mirror holds for UDP`, options, async (t) => {
    const pod = await startPod(who);
    t.after(() => pod.stop());
    const agent = await Agent.serve(who, pod, [...ARGS, "--policy", "no-mirror"]);
    t.after(() => agent.stop());
    const one = await UdpDeveloper.join(agent, "one");
    await assert.rejects(one.tunnel.call("incoming.mirror", UDP), {
      errno: "EPERM",
      message: /no-mirror/,
    });
  });

  test(`${who}: a reader of packets that has ended is told`, options, async (t) => {
    const pod = await startPod(who);
    t.after(() => pod.stop());
    const agent = await Agent.serve(who, pod, ARGS);
    t.after(() => agent.stop());
    const one = await UdpDeveloper.join(agent, "one");
    const before = agent.children();
    await one.tunnel.call("incoming.mirror", UDP);
    const [reader] = agent.children().filter((pid) => !before.includes(pid));
    assert.ok(reader);
    process.kill(reader, "SIGKILL");
    await gone(reader);
    await one.until("the loss", () => one.notices.some(({ kind }) => kind === "mirror-lost"));
    const lost = one.notices.find(({ kind }) => kind === "mirror-lost");
    assert.ok(lost?.kind === "mirror-lost" && lost.protocol === "udp" && lost.port === PORT);
  });
}

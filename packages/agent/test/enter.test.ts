import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Agent, gone, Pod, skipUnless, type Who } from "./support/pod.ts";

const TIMEOUT = 40_000;

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: TIMEOUT, skip: skipUnless(who) };

  test(
    `${who}: a stolen port answers from the agent, and from the pod after its release`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.start(who, pod);
      t.after(() => agent.stop());
      const before = pod.connect();
      assert.equal(await before.ask(), "pod");
      await agent.call("steal", 8080, "a");
      assert.equal(await pod.once(), "stolen 127.0.0.1");
      assert.equal(await before.ask(), "pod", "a connection open before survives the start");
      const during = pod.connect();
      assert.match(await during.ask(), /^stolen/);
      await agent.call("release", 8080, "a");
      assert.equal(await pod.once(), "pod");
      assert.match(await during.ask(), /^stolen/, "a stolen connection survives the release");
      assert.equal(await before.ask(), "pod", "a connection open before survives the end");
      before.close();
      during.close();
    },
  );

  test(`${who}: a connection straight to the relay port is refused`, options, async (t) => {
    const pod = await Pod.start(who);
    t.after(() => pod.stop());
    const agent = await Agent.start(who, pod);
    t.after(() => agent.stop());
    await agent.call("steal", 8080, "a");
    const relay = /8080 : (\d+)/.exec(pod.run("nft", "list", "ruleset"))?.[1];
    assert.equal(await pod.once(Number(relay)), "ECONNREFUSED");
  });

  test(`${who}: a second session that wants the port learns who holds it`, options, async (t) => {
    const pod = await Pod.start(who);
    t.after(() => pod.stop());
    const agent = await Agent.start(who, pod);
    t.after(() => agent.stop());
    await agent.call("steal", 8080, "a");
    await agent.call("steal", 8080, "a");
    await assert.rejects(agent.call("steal", 8080, "b"), /EADDRINUSE .*stolen by a/);
    await agent.call("suspend", "a");
    assert.equal(await pod.once(), "pod");
    await agent.call("resume", "a");
    assert.match(await pod.once(), /^stolen/);
  });

  test(
    `${who}: a port is one agent's at a time, also when that one is killed`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const [first, second] = [await Agent.start(who, pod), await Agent.start(who, pod)];
      t.after(() => Promise.all([first.stop(), second.stop()]));
      await first.call("steal", 8080, "a");
      await assert.rejects(second.call("steal", 8080, "b"), /EADDRINUSE .*another session's agent/);
      await first.call("release", 8080, "a");
      await second.call("steal", 8080, "b");
      assert.match(await pod.once(), /^stolen/);
      await assert.rejects(first.call("steal", 8080, "a"), /EADDRINUSE/);
      process.kill(second.process.pid as number, "SIGKILL");
      await second.ended();
      await first.call("steal", 8080, "a");
      assert.match(await pod.once(), /^stolen/);
    },
  );

  for (const victim of ["node", "enter"]) {
    test(`${who}: kill -9 of ${victim} leaves no table and no process`, options, async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.start(who, pod);
      await agent.call("steal", 8080, "a");
      assert.match(pod.run("nft", "list", "tables"), /inpod-/);
      const node = await agent.call<number>("pid");
      const children = agent.children();
      assert.equal(children.length, 3, "file worker, Node, nft");
      process.kill(victim === "enter" ? (agent.process.pid as number) : node, "SIGKILL");
      await agent.ended();
      for (const child of children) await gone(child);
      assert.equal(pod.run("nft", "list", "tables"), "");
      assert.equal(await pod.once(), "pod");
    });
  }

  test(
    `${who}: kill -9 of nft leaves no table, is told, and stealing works again`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.start(who, pod);
      t.after(() => agent.stop());
      await agent.call("steal", 8080, "a");
      const nft = agent.child("nft");
      process.kill(nft, "SIGKILL");
      await gone(nft);
      assert.equal(pod.run("nft", "list", "tables"), "");
      for (let tries = 0; tries < 200; tries++) {
        if ((await agent.call<string[]>("events")).includes("steal-lost 8080")) break;
      }
      assert.deepEqual(await agent.call("events"), ["rules-lost", "steal-lost 8080"]);
      assert.equal(await pod.once(), "pod");
      await agent.call("steal", 8080, "a");
      assert.match(await pod.once(), /^stolen/);
    },
  );

  test(`${who}: Node and the file worker have no capability`, options, async (t) => {
    const pod = await Pod.start(who);
    t.after(() => pod.stop());
    const agent = await Agent.start(who, pod);
    t.after(() => agent.stop());
    // Its answer tells that Node has started, and dropped its rights before.
    const node = await agent.call<number>("pid");
    assert.ok(agent.children().includes(node));
    assert.equal(agent.children().length, 2);
    for (const child of agent.children()) {
      const status = readFileSync(`/proc/${child}/status`, "utf8");
      for (const set of ["Inh", "Prm", "Eff", "Bnd", "Amb"]) {
        assert.match(status, new RegExp(`^Cap${set}:\\s+0+$`, "m"));
      }
      assert.match(status, /^NoNewPrivs:\s+1$/m);
    }
  });

  test(
    `${who}: the description has hostname, ids and environment, odd bytes included`,
    options,
    async (t) => {
      const pod = await Pod.start(who, "ip addr add 10.7.7.7/32 dev lo", "", {
        ODD: 'line\nsecond=\u0001 "quoted" é',
        EMPTY: "",
      });
      t.after(() => pod.stop());
      const agent = await Agent.start(who, pod);
      t.after(() => agent.stop());
      const target = await agent.call<{
        hostname: string;
        uid: number;
        environment: [string, string][];
      }>("describe");
      const environment = new Map(target.environment);
      assert.equal(target.hostname, "pod-x");
      assert.equal(target.uid, 0);
      assert.equal(environment.get("EMPTY"), "");
      assert.equal(
        Buffer.from(environment.get("ODD") ?? "", "latin1").toString("utf8"),
        'line\nsecond=\u0001 "quoted" é',
      );
    },
  );

  test(`${who}: Node's clean end ends enter with code 0`, options, async (t) => {
    const pod = await Pod.start(who);
    t.after(() => pod.stop());
    const agent = await Agent.start(who, pod);
    await agent.call("steal", 8080, "a");
    await agent.call("exit", 0).catch(() => undefined);
    assert.equal(await agent.ended(), 0);
    assert.equal(pod.run("nft", "list", "tables"), "");
  });
}

test("a client in another namespace is stolen with its true address, and not beyond the rule's port", {
  timeout: TIMEOUT,
  skip: skipUnless("root"),
}, async (t) => {
  const pod = await Pod.start("root");
  t.after(() => pod.stop());
  const neighbour = await Pod.start("root");
  t.after(() => neighbour.stop());
  pod.run(
    "ip",
    "link",
    "add",
    "eth0",
    "type",
    "veth",
    "peer",
    "name",
    "eth0",
    "netns",
    String(neighbour.pid),
  );
  for (const [each, last] of [
    [pod, 2],
    [neighbour, 1],
  ] as const) {
    each.run("ip", "addr", "add", `10.77.0.${last}/24`, "dev", "eth0");
    each.run("ip", "link", "set", "eth0", "up");
  }
  const agent = await Agent.start("root", pod, ["--node-uid", "40404", "--node-gid", "40404"]);
  t.after(() => agent.stop());
  assert.deepEqual((await agent.call<{ addresses: string[] }>("describe")).addresses, [
    "10.77.0.2",
  ]);
  const before = neighbour.connect(8080, "10.77.0.2");
  assert.equal(await before.ask(), "pod");
  await agent.call("steal", 8080, "a");
  assert.equal(await before.ask(), "pod");
  assert.equal(await neighbour.once(8080, "10.77.0.2"), "stolen 10.77.0.1");
  const relay = /8080 : (\d+)/.exec(pod.run("nft", "list", "ruleset"))?.[1];
  assert.equal(await neighbour.once(Number(relay), "10.77.0.2"), "ECONNREFUSED");
  await agent.call("release", 8080, "a");
  assert.equal(await neighbour.once(8080, "10.77.0.2"), "pod");
  before.close();
});

test("the file worker has the target's ids, stays in its root, and never opens what is no file", {
  timeout: TIMEOUT,
  skip: skipUnless("root"),
}, async (t) => {
  // A tmpfs of the pod's own: nothing is left on this machine.
  const setup = `mount -t tmpfs none /mnt && cd /mnt && echo own >own && echo roots >roots && chown 1234 own &&
    chmod 600 own roots && mkfifo -m 666 fifo && truncate -s 1T sparse && ln -s ../../../../mnt/own up && ln -s own link`;
  const pod = await Pod.start("root", setup, "setpriv --reuid 1234 --regid 1234 --clear-groups");
  t.after(() => pod.stop());
  const agent = await Agent.start("root", pod, ["--node-uid", "40404", "--node-gid", "40404"]);
  t.after(() => agent.stop());
  const read = (path: string, limit = 1000): Promise<string> => agent.call("read", path, limit);
  assert.equal(await read("/mnt/own"), "own\n");
  assert.equal(await read("/mnt/up"), "own\n");
  assert.equal(await agent.call("readlink", "/mnt/link"), "own");
  await assert.rejects(read("/mnt/roots"), /^Error: EACCES/);
  await assert.rejects(read("/mnt/fifo"), /^Error: ENXIO/);
  assert.equal(await read("/mnt/sparse", 5), "\0\0\0\0\0");
  await assert.rejects(read("/mnt"), /^Error: EISDIR/);
  await assert.rejects(read("/proc/1/root/mnt/own"), /^Error: (ELOOP|EACCES)/);
  await assert.rejects(read("mnt/own"), /^Error: EINVAL/);
  pod.stop();
  for (let tries = 0; tries < 200; tries++) {
    if ((await agent.call<string[]>("events")).includes("target-gone")) break;
  }
  await assert.rejects(read("/mnt/own"), /^Error: ESTALE/);
});

test("a target that is not there is one error event and no process", {
  timeout: TIMEOUT,
}, async () => {
  const agent = Agent.spawn("root", ["--container-id", "0123456789abcdef", "--find-timeout", "0"]);
  assert.equal((await agent.event()).event, "listening");
  assert.equal((await agent.event()).errno, "ESRCH");
  assert.equal(await agent.ended(), 1);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { ARGS, Developer } from "./support/developer.ts";
import { Agent, gone, Pod, skipUnless, type Who } from "./support/pod.ts";

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 120_000, skip: skipUnless(who) };

  test(
    `${who}: what clients send is copied to every session that mirrors, the pod answers, no rule is made`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, ARGS);
      t.after(() => agent.stop());
      const one = await Developer.join(agent, "session-a");
      assert.equal((await one.tunnel.call("describe", {})).missing.mirror, undefined);
      // Open before: not mirrored, and told.
      const old = pod.connect();
      assert.equal(await old.ask(), "pod");
      await one.tunnel.call("incoming.mirror", { port: 8080 });
      assert.equal(await old.ask(), "pod");
      await one.until("the old connection is told", () => one.notices.length > 0);
      assert.deepEqual(one.notices, [
        { kind: "mirror-missed", port: 8080, what: "began-before", count: 1 },
      ]);
      assert.equal(await pod.once(), "pod");
      const copied = await one.copyOf("x");
      assert.equal(copied.header.client.address, "127.0.0.1");
      assert.deepEqual(copied.header.local, { address: "127.0.0.1", port: 8080 });
      // Its client was killed in the middle of it; the kernel says FIN or RST for it.
      await one.until("the end", () => copied.end !== "open");
      assert.equal(pod.run("nft", "list", "ruleset"), "");

      const two = await Developer.join(agent, "session-b");
      await two.tunnel.call("incoming.mirror", { port: 8080 });
      const kept = pod.connect(8080, "::1");
      assert.equal(await kept.ask(), "pod");
      assert.equal(await kept.ask(), "pod");
      for (const developer of [one, two]) {
        const { header, end } = await developer.copyOf("xx");
        assert.equal(header.client.address, "::1");
        assert.equal(end, "open");
      }
      await one.tunnel.call("incoming.release", { port: 8080 });
      assert.equal((await one.copyOf("xx")).end, "ECONNABORTED");
      assert.equal(await kept.ask(), "pod");
      await two.copyOf("xxx");
      assert.equal(one.copies.length, 2);
      kept.close();
      await two.until("the end", () => two.copies[0]?.end !== "open");
      old.close();
    },
  );

  test(
    `${who}: a paused session has no copies until it resumes; the program's own connections have none at all`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, ARGS);
      t.after(() => agent.stop());
      const one = await Developer.join(agent, "session-a");
      await one.tunnel.call("incoming.mirror", { port: 8080 });
      await one.tunnel.call("pause", {});
      assert.equal(await pod.once(), "pod");
      await one.tunnel.call("resume", {});
      const out = one.tunnel.open({ kind: "tcp", host: "127.0.0.1", port: 8080 });
      const answered = new Promise((resolve) => {
        out.onData = resolve;
      });
      out.write(Buffer.from("from the program itself"));
      await answered;
      out.end();
      const client = pod.connect();
      await client.ask();
      await client.ask();
      await one.copyOf("xx");
      assert.deepEqual(
        one.copies.map(({ bytes }) => bytes),
        ["xx"],
      );
      client.close();
    },
  );

  test(
    `${who}: what an agent that was killed has left in connection tracking keeps no client from being copied`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const killed = await Agent.serve(who, pod, ARGS);
      t.after(() => killed.stop());
      const thief = await Developer.join(killed, "session-a");
      await thief.tunnel.call("incoming.steal", { port: 8080 });
      const hosts = ["127.0.0.1", "::1"];
      // Taken and ended: its tracking knows for two minutes where it went.
      for (const host of hosts)
        assert.match(await pod.once(8080, host, 40_123), /^an answer.*closed$/);
      killed.process.kill("SIGKILL");
      await killed.ended();
      const agent = await Agent.serve(who, pod, ARGS);
      t.after(() => agent.stop());
      const one = await Developer.join(agent, "session-b");
      await one.tunnel.call("incoming.mirror", { port: 8080 });
      for (const [index, host] of hosts.entries()) {
        assert.equal(await pod.once(8080, host, 40_123), "pod");
        await one.until("the copy", () => one.copies.length === index + 1);
      }
    },
  );

  test(
    `${who}: the reader of packets has no right; when it is killed sessions are told, and the pod answers`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, ARGS);
      t.after(() => agent.stop());
      const one = await Developer.join(agent, "session-a");
      const before = agent.children();
      await one.tunnel.call("incoming.mirror", { port: 8080 });
      const [reader] = agent.children().filter((pid) => !before.includes(pid));
      assert.ok(reader);
      // It goes on behind the answer; the wall of system calls comes last.
      const deadline = performance.now() + 60_000;
      let status = "";
      while (!/^Seccomp:\s+2$/m.test(status) && performance.now() < deadline)
        status = pod.run("cat", `/proc/${reader}/status`);
      assert.match(status, /^CapPrm:\s+0+$/m);
      assert.match(status, /^CapEff:\s+0+$/m);
      assert.match(status, /^NoNewPrivs:\s+1$/m);
      assert.match(status, /^Seccomp:\s+2$/m);
      const client = pod.connect();
      await client.ask();
      await one.copyOf("x");
      pod.run("kill", "-9", String(reader));
      await one.until("the loss is told", () => one.notices.length > 0);
      assert.equal(one.notices[0]?.kind, "mirror-lost");
      await one.until("the copy is over", () => one.copies[0]?.end !== "open");
      assert.equal(await client.ask(), "pod");
      client.close();
      await assert.rejects(one.tunnel.call("incoming.mirror", { port: 8080 }), { errno: "EPIPE" });
      await one.tunnel.call("incoming.steal", { port: 8080 });
      await one.tunnel.call("end", {});
    },
  );

  test(`${who}: when the agent is killed the reader of packets ends, too`, options, async (t) => {
    const pod = await Pod.start(who);
    t.after(() => pod.stop());
    const agent = await Agent.serve(who, pod, ARGS);
    const one = await Developer.join(agent, "session-a");
    const before = agent.children();
    await one.tunnel.call("incoming.mirror", { port: 8080 });
    const [reader] = agent.children().filter((pid) => !before.includes(pid));
    assert.ok(reader);
    agent.process.kill("SIGKILL");
    await gone(reader);
    assert.equal(await pod.once(), "pod");
  });

  test(
    `${who}: what the target's owners forbid is refused by the agent, whatever a session asks`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, [...ARGS, "--policy", "no-mirror"]);
      t.after(() => agent.stop());
      const one = await Developer.join(agent, "session-a");
      await assert.rejects(one.tunnel.call("incoming.mirror", { port: 8080 }), {
        errno: "EPERM",
        message: "inpod.dev/policy of the target says no-mirror",
      });
      await one.tunnel.call("incoming.steal", { port: 8080 });
      await one.tunnel.call("end", {});
    },
  );
}

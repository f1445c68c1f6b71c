import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { SessionAbout } from "@inpod/protocol";
import { connectTunnel, rawFromPublicKey, type Tunnel, type TunnelHandlers } from "@inpod/tunnel";
import { FileClient } from "./support/file-client.ts";
import { Agent, Pod, skipUnless, type Who } from "./support/pod.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const args = (idleMs = 20_000, resumeMs = idleMs): string[] => [
  "--public-key",
  rawFromPublicKey(publicKey),
  "--idle-timeout-ms",
  String(idleMs),
  "--resume-timeout-ms",
  String(resumeMs),
  "--communication-timeout-ms",
  "20000",
];

function join(
  agent: Agent,
  sessionId: string,
  handlers: Partial<TunnelHandlers> = {},
  key = privateKey,
  about?: SessionAbout,
): Promise<Tunnel> {
  return connectTunnel(agent.dial(), {
    sessionId,
    privateKey: key,
    ...{ build: "test", about },
    handlers: { onStream: (channel) => channel.reset("ECONNREFUSED"), ...handlers },
  });
}

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 120_000, skip: skipUnless(who) };

  test(
    `${who}: a session steals, connects out, and after "end" the agent is gone with code 0`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, args());
      const tunnel = await join(agent, "session-a", {
        onStream: (channel) => {
          channel.onData = () => channel.write(Buffer.from(`${JSON.stringify(channel.header)}\n`));
          channel.accept({ kind: "incoming" });
        },
      });
      assert.equal((await tunnel.call("describe", {})).hostname, "pod-x");
      const files = new FileClient(tunnel);
      await assert.rejects(files.ask("look", { path: "/no/such", inlineLimit: 0 }), /ENOENT/);
      await tunnel.call("incoming.steal", { port: 8080 });
      const header = JSON.parse(await pod.once()) as {
        kind: string;
        client: { address: string };
        local: unknown;
      };
      assert.equal(header.kind, "incoming");
      assert.equal(header.client.address, "127.0.0.1");
      assert.deepEqual(header.local, { address: "127.0.0.1", port: 8080 });
      await tunnel.call("pause", {});
      assert.equal(await pod.once(), "pod");

      const out = tunnel.open({ kind: "tcp", host: "127.0.0.1", port: 8080 });
      const answered = new Promise<string>((resolve) => {
        out.onData = (bytes) => resolve(Buffer.from(bytes).toString());
      });
      out.write(Buffer.from("x"));
      await out.opened;
      assert.equal(await answered, "pod\n");
      const refused = tunnel.open({ kind: "tcp", host: "127.0.0.1", port: 9 });
      await assert.rejects(refused.opened, { errno: "ECONNREFUSED" });
      // Neither namespace has a route anywhere.
      const unreachable = tunnel.open({ kind: "tcp", host: "192.0.2.1", port: 9 });
      await assert.rejects(unreachable.opened, { errno: "ENETUNREACH" });

      await tunnel.call("resume", {});
      assert.match(await pod.once(), /incoming/);
      await tunnel.call("end", {});
      assert.equal(await pod.once(), "pod");
      tunnel.close("done");
      assert.equal(await agent.ended(), 0);
      assert.equal(pod.run("nft", "list", "tables"), "");
    },
  );

  test(
    `${who}: a session that another one has admitted speaks too, whichever came first, and the last to end ends the agent`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, [...args(), "--owner", "alice"]);
      t.after(() => agent.stop());
      const first = await join(agent, "session-a");
      await first.call("incoming.steal", { port: 8080 });
      const bob = generateKeyPairSync("ed25519");
      // The greeting of the second is with the agent, or on its way: it waits there.
      const joining = join(agent, "session-b", {}, bob.privateKey);
      await first.call("session.admit", {
        sessionId: "session-b",
        publicKey: rawFromPublicKey(bob.publicKey),
        owner: "bob",
      });
      const second = await joining;
      assert.equal((await second.call("describe", {})).hostname, "pod-x");
      await assert.rejects(second.call("incoming.steal", { port: 8080 }), {
        errno: "EADDRINUSE",
        message: /^port 8080 is stolen by alice since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/,
      });
      assert.deepEqual(await first.call("end", {}), { others: 1 });
      first.close("done");
      await first.closed;
      await second.call("incoming.steal", { port: 8080 });
      assert.deepEqual(await second.call("end", {}), { others: 0 });
      second.close("done");
      assert.equal(await agent.ended(), 0);
    },
  );

  test(
    `${who}: the status tells whose a port is and what came by it, not of who only asks`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, [...args(), "--owner", "alice"]);
      t.after(() => agent.stop());
      const about = { mode: "mesh", target: "service/web", machine: "laptop", detail: "x" };
      const first = await join(agent, "session-a", {}, privateKey, about);
      const asks = await join(agent, "session-b");
      const told = async () => {
        const { sessions, passed } = await asks.call("status", {});
        return {
          passed,
          sessions: sessions.map(({ sinceMs, ports, ...session }) => {
            assert.ok(Math.abs(Date.now() - sinceMs) < 60_000);
            return { ...session, ports: ports.map(({ sinceMs: _, ...port }) => port) };
          }),
        };
      };
      const alice = { sessionId: "session-a", owner: "alice", isConnected: true, about };
      assert.deepEqual(await told(), { sessions: [{ ...alice, ports: [] }], passed: [] });
      await first.call("incoming.mirror", { port: 8081 });
      await first.call("incoming.steal", { port: 8080 });
      await pod.once();
      const all = { port: 8080, protocol: "tcp", way: "steal", filter: undefined, isActive: true };
      const stolen = { ...all, connections: 1, requests: 0 };
      const mirrored = { ...all, way: "mirror", port: 8081, connections: 0, requests: 0 };
      const passed = [{ port: 8080, connections: 0, requests: 0 }];
      assert.deepEqual(await told(), {
        sessions: [{ ...alice, ports: [stolen, mirrored] }],
        passed,
      });
      await first.call("pause", {});
      assert.deepEqual((await told()).sessions[0]?.ports[0], { ...stolen, isActive: false });
      first.close("lost");
      await first.closed;
      // Its end of the tunnel hears of it later than ours; the test's own deadline is the limit.
      while ((await told()).sessions[0]?.isConnected !== false) await setImmediate();
    },
  );

  test(
    `${who}: who takes a port over has it, and who had it is told by whom`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, [...args(), "--owner", "alice"]);
      t.after(() => agent.stop());
      const notices: unknown[] = [];
      const first = await join(agent, "session-a", { onNotice: (notice) => notices.push(notice) });
      const answers = (name: string): Partial<TunnelHandlers> => ({
        onStream: (channel) => {
          channel.onData = () => channel.write(Buffer.from(`${name}\n`));
          channel.accept({ kind: "incoming" });
        },
      });
      await first.call("incoming.steal", { port: 8080 });
      const bob = { publicKey: rawFromPublicKey(publicKey), owner: "bob" };
      await first.call("session.admit", { sessionId: "session-b", ...bob });
      const second = await join(agent, "session-b", answers("bob"));
      await second.call("incoming.steal", { port: 8080, takesOver: true });
      assert.equal(await pod.once(), "bob");
      await first.call("describe", {}); // what was told before has come
      assert.deepEqual(notices, [
        { kind: "steal-lost", port: 8080, detail: "bob has taken it over" },
      ]);
      await assert.rejects(first.call("incoming.steal", { port: 8080 }), { errno: "EADDRINUSE" });
      // Of another's filter nothing is taken by who takes the rest.
      await first.call("incoming.steal", { port: 8080, filter: { header: "^x-user: ann$" } });
      await second.call("incoming.steal", { port: 8080, takesOver: true });
      const { sessions } = await second.call("status", {});
      assert.deepEqual(
        sessions.map(({ owner, ports }) => [owner, ports.map(({ filter }) => filter)]),
        [
          ["alice", ["header x-user = ann (any case)"]],
          ["bob", [undefined]],
        ],
      );
    },
  );

  test(
    `${who}: a session is asked to leave by another of its owner, and by nobody else`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, [...args(), "--owner", "alice"]);
      t.after(() => agent.stop());
      let asked: (notice: unknown) => void = () => {};
      const told = new Promise<unknown>((resolve) => {
        asked = resolve;
      });
      const first = await join(agent, "session-a", { onNotice: (notice) => asked(notice) });
      const bob = generateKeyPairSync("ed25519");
      const key = rawFromPublicKey(bob.publicKey);
      for (const [sessionId, owner] of [
        ["session-b", "bob"],
        ["session-c", "alice"],
      ] as const)
        await first.call("session.admit", { sessionId, publicKey: key, owner });
      const other = await join(agent, "session-b", {}, bob.privateKey);
      const about = { mode: "status", target: "", machine: "desk" };
      const own = await join(agent, "session-c", {}, bob.privateKey, about);
      const leave = (tunnel: Tunnel, sessionId: string) =>
        tunnel.call("session.leave", { sessionId });
      await assert.rejects(leave(other, "session-a"), { errno: "EPERM" });
      await assert.rejects(leave(own, "session-x"), { errno: "ESRCH" });
      await leave(own, "session-a");
      assert.deepEqual(await told, { kind: "leave-asked", detail: "from desk" });
      // One that is cut off cannot be told: it is over.
      await first.call("incoming.steal", { port: 8080 });
      first.close("lost");
      await first.closed;
      const ids = async () =>
        (await own.call("status", {})).sessions.map(({ sessionId }) => sessionId);
      const isLost = async () =>
        (await own.call("status", {})).sessions.some(({ isConnected }) => !isConnected);
      while (!(await isLost())) await setImmediate();
      await leave(own, "session-a");
      assert.deepEqual(await ids(), ["session-b"]);
      assert.equal(await pod.once(), "pod");
    },
  );

  test(
    `${who}: an admitted session has its own key and no other, and admitting takes a session`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, args());
      t.after(() => agent.stop());
      const first = await join(agent, "session-a");
      const bob = generateKeyPairSync("ed25519");
      const publicKey = rawFromPublicKey(bob.publicKey);
      await first.call("session.admit", { sessionId: "session-b", publicKey, owner: "bob" });
      const mallory = generateKeyPairSync("ed25519").privateKey;
      await assert.rejects(join(agent, "session-b", {}, mallory), { errno: "EACCES" });
      // The first session's key is not bob's either.
      await assert.rejects(join(agent, "session-b"), { errno: "EACCES" });
      await assert.rejects(
        first.call("session.admit", {
          sessionId: "session-c",
          publicKey: `${"A".repeat(42)}==`,
          owner: "x",
        }),
      );
    },
  );

  test(
    `${who}: what the target's policy forbids is not done, whatever the session asks`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const policy = "no-steal;deny-env=PA*";
      const agent = await Agent.serve(who, pod, [...args(), "--policy", policy]);
      t.after(() => agent.stop());
      const tunnel = await join(agent, "session-a");
      const { environment, missing } = await tunnel.call("describe", {});
      assert.deepEqual(
        environment.filter(([name]) => name.startsWith("PA")),
        [],
      );
      assert.match(missing.environment ?? "", /^1 variable is hidden by inpod.dev\/policy$/);
      await assert.rejects(tunnel.call("incoming.steal", { port: 8080 }), {
        errno: "EPERM",
        message: "inpod.dev/policy of the target says no-steal",
      });
      assert.equal(await pod.once(), "pod");
    },
  );

  test(
    `${who}: garbage and a wrong key do not hurt the session that is there`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, args());
      t.after(() => agent.stop());
      const tunnel = await join(agent, "session-a");
      await tunnel.call("incoming.steal", { port: 8080 });
      for (const garbage of [
        Buffer.alloc(70_000, 0xff),
        Buffer.alloc(9),
        Buffer.from("GET / HTTP/1.1\r\n\r\n"),
      ]) {
        const socket = agent.dial();
        socket.on("error", () => undefined);
        socket.end(garbage);
        socket.resume();
        // Not once(), which rejects on the reset that garbage may get.
        await new Promise((resolve) => socket.once("close", resolve));
      }
      const other = generateKeyPairSync("ed25519").privateKey;
      const wrong = await join(agent, "session-b", {}, other).then(
        (accepted) => accepted.closed.then(({ why }) => why),
        (error: Error) => error.message,
      );
      assert.match(wrong, /key/);
      const second = await join(agent, "session-c");
      await assert.rejects(second.call("incoming.steal", { port: 8080 }), {
        errno: "EADDRINUSE",
        message: /session-a/,
      });
      // What the session does not take is reset.
      assert.equal(await pod.once(), "ECONNRESET");
      assert.equal((await tunnel.call("describe", {})).hostname, "pod-x");
    },
  );

  test(
    `${who}: a lost tunnel gives the port back at once, and the agent ends when nobody comes`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, args(1500));
      const socket = agent.dial();
      const tunnel = await connectTunnel(socket, {
        sessionId: "session-a",
        privateKey,
        build: "test",
        handlers: { onStream: () => undefined },
      });
      await tunnel.call("incoming.steal", { port: 8080 });
      socket.resetAndDestroy();
      // A redialled tunnel of the same session finds its rule removed, and its port kept.
      const again = await join(agent, "session-b");
      await assert.rejects(again.call("incoming.steal", { port: 8080 }), { errno: "EADDRINUSE" });
      assert.equal(await pod.once(), "pod");
      again.close("done");
      assert.equal(await agent.ended(), 0);
      assert.equal(pod.run("nft", "list", "tables"), "");
    },
  );

  test(
    `${who}: a session that may come back is waited for beyond the time without a session`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, args(1, 20_000));
      t.after(() => agent.stop());
      const tunnel = await join(agent, "session-a");
      await tunnel.call("incoming.steal", { port: 8080 });
      tunnel.close("without a word of the end");
      // What the agent does at this end it does before it answers anybody.
      await tunnel.closed;
      for (let tries = 0; tries < 3; tries++) {
        const again = await join(agent, "session-a");
        await again.call("resume", {});
        assert.equal(await pod.once(), "ECONNRESET");
        again.close("again");
        await again.closed;
        // Who comes while the rule is being removed is reset.
        const deadline = performance.now() + 60_000;
        while ((await pod.once()) !== "pod")
          assert.ok(performance.now() < deadline, "the pod has its port again");
      }
    },
  );
}

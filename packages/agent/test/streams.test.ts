import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import type { Socket } from "node:net";
import { test } from "node:test";
import {
  type Channel,
  connectTunnel,
  rawFromPublicKey,
  type Tunnel,
  type TunnelHandlers,
} from "@inpod/tunnel";
import { Agent, Pod, skipUnless, type Who } from "./support/pod.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const args = [
  ...["--public-key", rawFromPublicKey(publicKey)],
  ...["--idle-timeout-ms", "20000", "--communication-timeout-ms", "20000"],
];

function dialIn(
  socket: Socket,
  sessionId = "session-a",
  handlers: Partial<TunnelHandlers> = {},
): Promise<Tunnel> {
  return connectTunnel(socket, {
    sessionId,
    privateKey,
    build: "test",
    handlers: { onStream: (channel) => channel.reset("ECONNREFUSED"), ...handlers },
  });
}

/** All that a channel says until its end. */
function content(channel: Channel): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  return new Promise((resolve, reject) => {
    channel.onReset = (errno) => reject(new Error(errno));
    channel.onEnd = () => {
      channel.end();
      resolve(Buffer.concat(chunks));
    };
    channel.onData = (bytes) => {
      chunks.push(bytes);
      channel.consumed(bytes.length);
    };
  });
}

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 120_000, skip: skipUnless(who) };
  const start = async (
    t: { after(run: () => unknown): void },
    setup = "",
  ): Promise<{ pod: Pod; agent: Agent; tunnel: Tunnel }> => {
    const pod = await Pod.start(who, setup);
    t.after(() => pod.stop());
    const agent = await Agent.serve(who, pod, args);
    t.after(() => agent.stop());
    return { pod, agent, tunnel: await dialIn(agent.dial()) };
  };

  test(
    `${who}: datagrams leave from the pod, and a port that nobody listens on refuses`,
    options,
    async (t) => {
      const { tunnel } = await start(t);
      const udp = tunnel.open({ kind: "udp", host: "127.0.0.1", port: 8080 });
      const answers: string[] = [];
      const answered = new Promise<void>((resolve) => {
        udp.onDatagram = (bytes) => {
          if (answers.push(Buffer.from(bytes).toString()) === 2) resolve();
        };
      });
      // Before it is open: nothing is lost by that.
      udp.datagram(Buffer.from("one"));
      udp.datagram(Buffer.alloc(0));
      const opened = await udp.opened;
      assert.ok(opened.kind === "udp");
      assert.equal(opened.local.address, "127.0.0.1");
      assert.deepEqual(opened.peer, { address: "127.0.0.1", port: 8080 });
      await answered;
      assert.deepEqual(answers.sort(), ["pod ", "pod one"]);
      const ended = content(udp);
      udp.end();
      await ended;

      const refused = tunnel.open({ kind: "udp", host: "127.0.0.1", port: 9 });
      const reset = new Promise((resolve) => {
        refused.onReset = resolve;
      });
      refused.datagram(Buffer.from("x"));
      assert.equal(await reset, "ECONNREFUSED");
      const unreachable = tunnel.open({ kind: "udp", host: "192.0.2.1", port: 9 });
      await assert.rejects(unreachable.opened, { errno: "ENETUNREACH" });
    },
  );

  test(
    `${who}: a session that comes back after a lost tunnel gets its port again at once`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, args);
      t.after(() => agent.stop());
      const handlers = (answer: string): Partial<TunnelHandlers> => ({
        onStream: (channel) => {
          channel.accept({ kind: "incoming" });
          channel.onData = (bytes) => channel.consumed(bytes.length);
          channel.write(Buffer.from(`${answer}\n`));
        },
      });
      const socket = agent.dial();
      const tunnel = await dialIn(socket, "session-a", handlers("first"));
      await tunnel.call("incoming.steal", { port: 8080 });
      assert.equal(await pod.once(), "first");
      for (const answer of ["second", "third"]) {
        // Noticed by the agent before or after the new tunnel: both must do.
        if (answer === "second") socket.resetAndDestroy();
        const again = await dialIn(agent.dial(), "session-a", handlers(answer));
        await again.call("incoming.steal", { port: 8080 });
        assert.equal(await pod.once(), answer);
      }
      const other = await dialIn(agent.dial(), "session-b");
      await assert.rejects(other.call("incoming.steal", { port: 8080 }), { errno: "EADDRINUSE" });
    },
  );
}

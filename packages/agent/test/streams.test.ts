import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  type Channel,
  connectTunnel,
  rawFromPublicKey,
  type Tunnel,
  type TunnelHandlers,
} from "@inpod/tunnel";
import { Agent, Pod, skipUnless, type Who } from "./support/pod.ts";
import { Random } from "./support/random.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const args = [
  ...["--public-key", rawFromPublicKey(publicKey)],
  ...["--idle-timeout-ms", "20000", "--communication-timeout-ms", "20000"],
];

const MEBI = 1024 * 1024;
const large = new Random(1).bytes(3 * MEBI);
const folder = mkdtempSync(join(tmpdir(), "inpod-agent-"));
after(() => rmSync(folder, { recursive: true }));
chmodSync(folder, 0o755);
const file = (name: string, content: Uint8Array | string, mode = 0o644): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
};
const paths = {
  large: file("large", large),
  empty: file("empty", ""),
  closed: file("closed", "secret", 0),
  four: file("four", Buffer.alloc(4 * MEBI)),
  huge: file("huge", Buffer.alloc(8 * MEBI + 1)),
};

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
  const options = { timeout: 40_000, skip: skipUnless(who) };
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
    `${who}: files come whole, or with the errno that open(2) would give`,
    options,
    async (t) => {
      const { tunnel } = await start(t);
      const open = (path: string, limitBytes = 4 * MEBI) =>
        tunnel.open({ kind: "file", path, limitBytes });
      const whole = open(paths.large);
      const received = content(whole);
      const opened = await whole.opened;
      assert.ok(opened.kind === "file");
      assert.equal(opened.stat.size, large.length);
      assert.ok((await received).equals(large));
      assert.equal((await content(open(paths.empty))).length, 0);
      // The kernel says 0 bytes of these; they have some.
      assert.match((await content(open("/proc/1/status"))).toString(), /^Name:/);

      for (const [path, limitBytes, errno] of [
        [paths.large, large.length - 1, "EFBIG"],
        ["/proc/1/status", 10, "EFBIG"],
        [paths.huge, 16 * MEBI, "EFBIG"],
        [folder, 1000, "EISDIR"],
        [join(folder, "none"), 1000, "ENOENT"],
        [join(paths.large, "below"), 1000, "ENOTDIR"],
        [paths.closed, 1000, "EACCES"],
        ["/dev/null", 1000, "EOPNOTSUPP"],
        [`/${"a".repeat(300)}`, 1000, "ENAMETOOLONG"],
      ] as const) {
        await assert.rejects(open(path, limitBytes).opened, { errno }, `${path}, ${limitBytes}`);
      }
      const stat = statSync(paths.large);
      const asked = await tunnel.call("file.stat", { path: paths.large, follow: true });
      assert.deepEqual([asked.ino, asked.mode], [String(stat.ino), stat.mode]);
      await assert.rejects(tunnel.call("file.access", { path: paths.closed, mode: 4 }), {
        errno: "EACCES",
      });
    },
  );

  test(
    `${who}: a session that takes nothing gets one window of a file, and the rest when it does`,
    options,
    async (t) => {
      const { tunnel } = await start(t);
      const channel = tunnel.open({ kind: "file", path: paths.large, limitBytes: 4 * MEBI });
      const chunks: Uint8Array[] = [];
      let length = 0;
      let isConsumed = false;
      let windowFilled = (): void => undefined;
      const window = new Promise<void>((resolve) => {
        windowFilled = resolve;
      });
      const ended = new Promise<void>((resolve, reject) => {
        channel.onEnd = resolve;
        channel.onReset = (errno) => reject(new Error(errno));
      });
      channel.onData = (bytes) => {
        chunks.push(bytes);
        length += bytes.length;
        if (length >= 256 * 1024) windowFilled();
        if (isConsumed) channel.consumed(bytes.length);
      };
      await window;
      // Whatever was sent before this answer is here.
      await tunnel.call("describe", {});
      assert.equal(length, 256 * 1024);
      isConsumed = true;
      channel.consumed(length);
      await ended;
      assert.ok(Buffer.concat(chunks).equals(large));
    },
  );

  test(
    `${who}: of files that nobody reads the agent holds 32 MiB, and the next waits for room`,
    options,
    async (t) => {
      const { tunnel } = await start(t);
      const open = () => tunnel.open({ kind: "file", path: paths.four, limitBytes: 4 * MEBI });
      const held = Array.from({ length: 8 }, open);
      await Promise.all(held.map(({ opened }) => opened));
      const next = open();
      let isOpened = false;
      const opened = next.opened.then(() => {
        isOpened = true;
      });
      await tunnel.call("file.stat", { path: paths.four, follow: true });
      assert.equal(isOpened, false);
      held[0]?.reset("ECANCELED");
      await opened;
      for (const channel of [...held, next]) channel.reset("ECANCELED");
      assert.equal((await content(open())).length, 4 * MEBI);
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

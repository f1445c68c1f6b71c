import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { AnswerReader, Enter, Failure, Worker } from "@inpod/agent";
import { encodeFileRequest } from "@inpod/protocol";
import { Agent, gone, Pod, skipUnless, type Who } from "./support/pod.ts";
import { Random } from "./support/random.ts";

const fuzzer = join(dirname(fileURLToPath(import.meta.url)), "support/fuzzer.ts");
const program = ["--import", "tsx", fuzzer];

const ORDINARY = "setpriv --reuid 12345 --regid 12345 --clear-groups";

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 120_000, skip: skipUnless(who) };

  test(
    `${who}: enter answers each request, whatever its fields, and keeps its rules in order`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.start(who, pod, [], { program });
      t.after(() => agent.stop());
      assert.equal(await agent.call("control-requests", 1), 300);
      agent.process.kill("SIGTERM");
      assert.deepEqual(await agent.event(), { event: "ended", why: "SIGTERM" });
      assert.equal(await agent.ended(), 0);
      assert.equal(pod.run("nft", "list", "tables"), "");
    },
  );

  for (const [order, what, errno] of [
    ["control-noise", "bytes that are no request end enter and all its children", "EPROTO"],
    ["control-deaf", "a Node that takes no answers for 5 s ends all", "ETIMEDOUT"],
    ["control-half", "a Node that closes its control socket ends all", "EPIPE"],
  ] as const) {
    test(`${who}: ${what}`, options, async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.start(who, pod, [], { program });
      t.after(() => agent.stop());
      await agent.call("pid");
      const children = agent.children();
      assert.equal(await agent.call(order, 2), true);
      const { event, errno: reported } = await agent.event();
      assert.deepEqual([event, reported], ["error", errno]);
      assert.equal(await agent.ended(), 1);
      for (const child of children) await gone(child);
    });
  }

  test(
    `${who}: the file worker answers each question, whatever its fields, and goes on`,
    options,
    async (t) => {
      // With root's ids it would open this machine's own files for writing.
      const pod = await Pod.start(who, "", who === "root" ? ORDINARY : "");
      t.after(() => pod.stop());
      const agent = await Agent.start(who, pod, [], { program });
      t.after(() => agent.stop());
      assert.equal(await agent.call("files-requests", 3), 0);
    },
  );

  test(
    `${who}: whatever is asked of files in whatever order has an answer that can be read`,
    options,
    async (t) => {
      // The pod goes on changing the same names.
      const shuffle =
        "while :; do mkdir -p a/c; echo x > a/c/e; ln -s ../a b; mv b a/b; rm -rf a; mkfifo b; rm -f b; done";
      const setup = `mount -t tmpfs -o size=8m,mode=777 none /mnt; (cd /mnt; ${shuffle}) 2>/dev/null &`;
      const pod = await Pod.start(who, setup, who === "root" ? ORDINARY : "");
      t.after(() => pod.stop());
      const agent = await Agent.start(who, pod, [], { program });
      t.after(() => agent.stop());
      const outcomes = await agent.call<Record<string, number>>("files-work", 6);
      // Or else it has tested nothing but refusals; which of them meet what they need is chance.
      const done = Object.keys(outcomes).filter((outcome) => outcome.endsWith(" ok"));
      assert.ok(done.length >= 20, JSON.stringify(outcomes));
    },
  );

  test(
    `${who}: bytes that are no question end the file worker, and nothing else`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.start(who, pod, [], { program });
      t.after(() => agent.stop());
      assert.equal(await agent.call("files-noise", 4), "the file worker has ended");
      assert.equal(await agent.call("control-requests", 5), 300);
    },
  );
}

/** A socket whose other end says `bytes`, cut anywhere, and then ends. Greeted as a worker is, it says the mark first. */
function speaking(bytes: Buffer, random: Random): Duplex {
  let mark: Buffer = Buffer.alloc(0);
  const socket = new Duplex({
    read: () => undefined,
    write: (said: Buffer, _encoding, done) => {
      if (said.length === 32) mark = said;
      done();
    },
  });
  setImmediate(() => {
    socket.push(random.bytes(random.below(3)));
    for (let at = 0; at < mark.length; at += 5) socket.push(mark.subarray(at, at + 5));
    for (let at = 0; at < bytes.length; ) {
      const length = 1 + random.below(200);
      socket.push(bytes.subarray(at, at + length));
      at += length;
    }
    socket.push(null);
  });
  return socket;
}

/** Messages to ids that were asked and others, mostly with lengths that are right. */
function messages(random: Random): Buffer {
  const parts: Buffer[] = [];
  for (let each = 0; each < 20; each++) {
    const message = random.bytes(8 + random.below(200));
    if (random.below(10) > 0) message.writeUInt32LE(message.length - 4, 0);
    message.writeUInt32LE(random.below(4), 4);
    if (message.length >= 16 && random.below(2)) message.fill(0, 8, 16);
    parts.push(message);
  }
  return Buffer.concat(parts);
}

test("Node survives whatever enter and the file worker say, and no question of it waits for ever", {
  timeout: 120_000,
}, async () => {
  let answered = 0;
  for (let seed = 1; seed <= 300; seed++) {
    const random = new Random(seed);
    const bytes = seed % 3 ? messages(random) : random.bytes(1000);
    const enter = new Enter(speaking(bytes, random));
    enter.onEvent = ({ kind }) =>
      assert.match(kind, /^(target-gone|rules-lost|worker-gone|worker-ready)$/);
    const worker = new Worker(speaking(bytes, random));
    worker.onEvent = () => undefined;
    if (seed % 4) worker.started(random.bytes(32));
    else worker.gone("EIO", "no worker");
    const results = await Promise.allSettled([
      enter.describe(),
      enter.steal(80, 1000),
      enter.container("a".repeat(64)),
      worker.ask((id) => encodeFileRequest(id, { op: "statfs", path: "/" }), 10_000),
      worker.ask((id) => encodeFileRequest(id, { op: "forget" }), 10_000),
    ]);
    for (const result of results) {
      if (result.status === "fulfilled") answered++;
      else assert.ok(result.reason instanceof Failure, String(result.reason));
    }
  }
  // Or else the loop has tested nothing but refusals.
  assert.ok(answered > 10, `${answered} were answered`);
});

test("answers are the same wherever their bytes are cut", () => {
  const random = new Random(7);
  const bodies = Array.from({ length: 40 }, () => random.bytes(4 + random.below(300)));
  const stream = Buffer.concat(
    bodies.map((body) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(body.length);
      return Buffer.concat([length, body]);
    }),
  );
  for (const step of [1, 2, 3, 5, 64, 1000, stream.length]) {
    const reader = new AnswerReader();
    const answers: Buffer[] = [];
    for (let at = 0; at < stream.length; at += step) {
      answers.push(...reader.push(stream.subarray(at, at + step)));
    }
    assert.deepEqual(answers.map(String), bodies.map(String));
  }
});

test("an answer that is too long or too short to be one is EPROTO", () => {
  for (const length of [0, 3, 16 * 1024 * 1024 + 1, 0xffffffff]) {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(length);
    assert.throws(() => new AnswerReader().push(bytes), { errno: "EPROTO" });
  }
});

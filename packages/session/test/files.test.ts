import assert from "node:assert/strict";
import { test } from "node:test";
import { TunnelFailure } from "@inpod/tunnel";
import { begun, errnoOf, STAT } from "./support.ts";

const enoent = (): never => {
  throw new TunnelFailure("ENOENT", "no such file");
};

test("an answer is kept for one second", async (t) => {
  const { agent, session } = await begun(t);
  let nowMs = 0;
  t.mock.method(performance, "now", () => nowMs);
  for (nowMs of [0, 500, 999]) assert.deepEqual(await session.files.stat("/etc/hosts"), STAT);
  assert.deepEqual(agent.asked.slice(1), ["file.stat /etc/hosts"]);
  nowMs = 1000;
  await session.files.stat("/etc/hosts");
  assert.equal(agent.asked.length, 3);
});

test("stat, lstat, access and readlink of one path are different questions, and so are access's modes", async (t) => {
  const { agent, session } = await begun(t);
  agent.answers["file.readlink"] = () => ({ target: "/run" });
  const { files } = session;
  await Promise.all([files.stat("/a"), files.lstat("/a"), files.access("/a", 4)]);
  await Promise.all([files.access("/a", 2), files.readlink("/a")]);
  assert.equal(agent.asked.length, 6);
});

test("that there is no file is an answer, and kept", async (t) => {
  const { agent, session } = await begun(t);
  agent.answers["file.stat"] = enoent;
  assert.equal(await errnoOf(session.files.stat("/no")), "ENOENT");
  assert.equal(await errnoOf(session.files.stat("/no")), "ENOENT");
  assert.equal(agent.asked.length, 2);
});

test("a failure that is no answer is asked again", async (t) => {
  const { agent, session } = await begun(t);
  agent.answers["file.stat"] = () => {
    throw new TunnelFailure("EIO", "bug");
  };
  assert.equal(await errnoOf(session.files.stat("/a")), "EIO");
  assert.equal(await errnoOf(session.files.stat("/a")), "EIO");
  assert.equal(agent.asked.length, 3);
});

test("equal questions under way are asked once", async (t) => {
  const { agent, session } = await begun(t);
  const stats = await Promise.all(Array.from({ length: 20 }, () => session.files.stat("/a")));
  assert.equal(stats.length, 20);
  assert.equal(agent.asked.length, 2);
});

test("after a redial nothing that was known counts", async (t) => {
  const { agent, session, watched } = await begun(t);
  await session.files.stat("/a");
  const resumed = watched.next("resumed");
  agent.cut();
  await resumed;
  await session.files.stat("/a");
  assert.equal(agent.asked.filter((asked) => asked === "file.stat /a").length, 2);
});

test("a content is read with its stat, in as many parts as it comes, and never kept", async (t) => {
  const { agent, session } = await begun(t);
  let reads = 0;
  agent.onStream = (channel) => {
    assert.equal(channel.header.kind, "file");
    reads++;
    channel.accept({ kind: "file", stat: STAT });
    channel.write(Buffer.from("he"));
    channel.write(Buffer.from("llo"));
    channel.end();
  };
  for (let i = 0; i < 2; i++) {
    const { stat, content } = await session.files.read("/etc/hosts", 100);
    assert.deepEqual([stat, content.toString()], [STAT, "hello"]);
  }
  assert.equal(reads, 2);
});

test("a content larger than the first window arrives whole, an empty one is empty", async (t) => {
  const { agent, session } = await begun(t);
  for (const size of [3_000_000, 0]) {
    agent.onStream = (channel) => {
      channel.accept({ kind: "file", stat: { ...STAT, size } });
      channel.write(Buffer.alloc(size, 7));
      channel.end();
    };
    assert.equal((await session.files.read("/data", 4_000_000)).content.length, size);
  }
});

test("beyond the limit it is EFBIG, also when the agent sends more than was asked for", async (t) => {
  const { agent, session } = await begun(t);
  agent.onStream = (channel) => channel.reset("EFBIG");
  assert.equal(await errnoOf(session.files.read("/data", 10)), "EFBIG");
  const told = new Promise<string>((resolve) => {
    agent.onStream = (channel) => {
      channel.accept({ kind: "file", stat: STAT });
      channel.onReset = resolve;
      channel.write(Buffer.alloc(11));
    };
  });
  assert.equal(await errnoOf(session.files.read("/data", 10)), "EFBIG");
  assert.equal(await told, "EFBIG");
});

test("a content that stops coming is given up after 10 s, and the agent is told", async (t) => {
  const { agent, session } = await begun(t);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let arrived: () => void = () => {};
  const part = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  const told = new Promise<string>((resolve) => {
    agent.onStream = (channel) => {
      channel.accept({ kind: "file", stat: STAT });
      channel.write(Buffer.from("he"));
      channel.onReset = resolve;
      arrived();
    };
  });
  const failed = errnoOf(session.files.read("/data", 10));
  await part;
  t.mock.timers.tick(10_000);
  assert.equal(await failed, "ETIMEDOUT");
  assert.equal(await told, "ETIMEDOUT");
});

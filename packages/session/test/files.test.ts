import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import {
  encodeFileAnswer,
  encodeFileEvent,
  encodeFileFailure,
  type FileAttributes,
  type FileRequest,
  MAX_REQUEST,
  MessageCutter,
  parseFileRequest,
} from "@inpod/protocol";
import type { IncomingChannel } from "@inpod/tunnel";
import { begun, errnoOf, type TestAgent } from "./support.ts";

const ATTRIBUTES: FileAttributes = {
  mode: 0o100644,
  nlink: 1,
  uid: 0,
  gid: 0,
  blksize: 4096,
  flags: 0,
  size: 5,
  ino: 42n,
  dev: 1n,
  rdev: 0n,
  blocks: 8,
  atimeNs: 1n,
  mtimeNs: 2n,
  ctimeNs: 3n,
};

type Answer = (id: number, request: FileRequest, channel: IncomingChannel) => void;

/** Takes streams of files; what is asked on them is answered by the function that it returns with. */
function serve(agent: TestAgent, answer: Answer): { asked: string[]; streams: IncomingChannel[] } {
  const served = { asked: [] as string[], streams: [] as IncomingChannel[] };
  agent.onStream = (channel) => {
    assert.equal(channel.header.kind, "files");
    served.streams.push(channel);
    const messages = new MessageCutter(MAX_REQUEST);
    channel.onData = (bytes) => {
      for (const message of messages.push(bytes)) {
        const { id, request } = parseFileRequest(message);
        served.asked.push("path" in request ? `${request.op} ${request.path}` : request.op);
        answer(id, request, channel);
      }
      channel.consumed(bytes.length);
    };
    channel.accept({ kind: "files", isReadOnly: false });
  };
  return served;
}

const found = (id: number, path: string, content?: Uint8Array): Uint8Array =>
  encodeFileAnswer(id, "chain", {
    records: [{ kind: "entry", path, attributes: ATTRIBUTES, content }],
  });

async function answering(t: TestContext, answer: Answer) {
  const { agent, session, watched } = await begun(t);
  return { agent, session, watched, ...serve(agent, answer) };
}

test("questions go over one stream, and their answers may come in any order", async (t) => {
  const waiting: (() => void)[] = [];
  const { session, streams } = await answering(t, (id, request, channel) => {
    const path = request.op === "chain" ? request.path : "";
    waiting.push(() => channel.write(found(id, path)));
    if (waiting.length === 3) for (const answer of waiting.reverse()) answer();
  });
  const all = await Promise.all(["/a", "/b", "/c"].map((path) => session.files.chain(path)));
  assert.deepEqual(
    all.map((records) => records[0]?.path),
    ["/a", "/b", "/c"],
  );
  assert.equal(streams.length, 1);
});

test("an errno of the target arrives as it is, an event that nobody asked for is nothing", async (t) => {
  const { session } = await answering(t, (id, _, channel) => {
    channel.write(encodeFileEvent({ kind: "leases-lost" }));
    channel.write(encodeFileFailure(id, 13));
  });
  assert.equal(await errnoOf(session.files.access("/a", 4)), "EACCES");
});

test("a small content comes with its name, a larger one in parts, and none beyond the limit", async (t) => {
  const large = Buffer.alloc(2_500_000, "x");
  const { session, asked } = await answering(t, (id, request, channel) => {
    switch (request.op) {
      case "chain":
        channel.write(
          request.path === "/small"
            ? found(id, "/small", Buffer.from("hello"))
            : found(id, "/large"),
        );
        return;
      case "open":
        channel.write(encodeFileAnswer(id, "open", { attributes: ATTRIBUTES }));
        return;
      case "read": {
        const content = large.subarray(request.offset, request.offset + request.size);
        channel.write(encodeFileAnswer(id, "read", { content }));
        return;
      }
      default:
        channel.write(encodeFileAnswer(id, "close", {}));
    }
  });
  const { files } = session;
  assert.equal((await files.read("/small", 100)).content.toString(), "hello");
  assert.deepEqual(asked, ["chain /small"]);
  assert.ok((await files.read("/large", 3_000_000)).content.equals(large));
  assert.deepEqual(asked.slice(1, 6), ["chain /large", "open /large", "read", "read", "read"]);
  assert.equal(await errnoOf(files.read("/large", 1_000_000)), "EFBIG");
  assert.equal(await errnoOf(files.read("/small", 4)), "EFBIG");
});

test("a tunnel that is cut before the answer: the question is asked again over the next one", async (t) => {
  let answers = 0;
  const { agent, session, asked } = await answering(t, (id, _, channel) => {
    if (++answers === 1) agent.cut();
    else channel.write(found(id, "/a"));
  });
  assert.equal((await session.files.chain("/a")).length, 1);
  assert.deepEqual(asked, ["chain /a", "chain /a"]);
});

test("a container that ended is ESTALE, and what is asked after it reaches the next one", async (t) => {
  let isNew = false;
  const { session, streams } = await answering(t, (id, _, channel) => {
    if (isNew) channel.write(found(id, "/a"));
    else channel.reset("ESTALE");
  });
  assert.equal(await errnoOf(session.files.chain("/a")), "ESTALE");
  isNew = true;
  assert.equal((await session.files.chain("/a")).length, 1);
  assert.equal(streams.length, 2);
});

test("an answer that never comes is given up after 10 s, one that is none ends the stream", async (t) => {
  const { agent, session, streams } = await answering(t, () => {});
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const arrived = once(agent.events, "files");
  const { onStream } = agent;
  agent.onStream = (channel) => {
    onStream(channel);
    agent.events.emit("files");
  };
  const late = errnoOf(session.files.chain("/a"));
  await arrived;
  t.mock.timers.tick(10_000);
  assert.equal(await late, "ETIMEDOUT");
  t.mock.timers.reset();
  const told = new Promise<string>((resolve) => {
    for (const stream of streams) stream.onReset = resolve;
  });
  streams[0]?.write(Buffer.from([1, 0, 0, 0, 0]));
  assert.equal(await told, "EPROTO");
});

test("the link opens as many streams as are asked for, after a loss over the next tunnel, and waits for it", async (t) => {
  const { agent, session, watched, streams } = await answering(t, () => {});
  const [control] = await Promise.all([
    session.filesLink.open("control"),
    session.filesLink.open("bulk"),
  ]);
  assert.equal(streams.length, 2);
  const reset = new Promise<string>((resolve) => {
    control.onReset = resolve;
  });
  const lost = watched.next("tunnel-lost");
  let dial = (): void => {};
  agent.beforeDial = () =>
    new Promise((resolve) => {
      dial = resolve;
    });
  const redialled = once(agent.events, "dialled");
  agent.cut();
  assert.equal(await reset, "ECONNRESET");
  await lost;
  const next = session.filesLink.open("control");
  await redialled;
  assert.equal(streams.length, 2);
  dial();
  (await next).reset("ECANCELED");
  assert.equal(streams.length, 3);
});

test("without any further tunnel the link says so", async (t) => {
  const { session } = await begun(t);
  await session.end();
  assert.equal(await errnoOf(session.filesLink.open("control")), "ECONNRESET");
});

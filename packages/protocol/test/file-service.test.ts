import assert from "node:assert/strict";
import { test } from "node:test";
import {
  answerLimit,
  changesFiles,
  encodeFileAnswer,
  encodeFileEvent,
  encodeFileFailure,
  encodeFileRequest,
  FILE_OPERATIONS,
  type FileAnswers,
  type FileAttributes,
  type FileEvent,
  type FileOperation,
  type FileRequest,
  fileRequestId,
  MAX_ANSWER,
  MAX_REQUEST,
  MAX_TRANSFER,
  MessageCutter,
  OPEN_FLAGS,
  ProtocolError,
  parseAnswerHeader,
  parseFileAnswer,
  parseFileEvent,
  parseFileRequest,
  SESSION_AT,
} from "../src/index.ts";
import { parseStreamHeader, parseStreamOpened } from "../src/parse.ts";

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));
const attributes: FileAttributes = {
  mode: 0o100644,
  nlink: 1,
  uid: 33,
  gid: 33,
  blksize: 4096,
  flags: 1,
  size: 2 ** 40,
  ino: 2n ** 64n - 1n,
  dev: 66305n,
  rdev: 0n,
  blocks: 8,
  atimeNs: -1n,
  mtimeNs: 1_700_000_000_123_456_789n,
  ctimeNs: 0n,
};
const path = "/srv/caf\xe9 \xff\n";

const REQUESTS: readonly FileRequest[] = [
  { op: "look", path: "/", inlineLimit: 4096 },
  { op: "chain", path: "//a/../b/", inlineLimit: 1, maxBytes: 2, listing: true, lease: true },
  { op: "list", path, cookie: 2n ** 63n, maxEntries: 1, maxBytes: 2, inlineLimit: 3, lease: true },
  { op: "tree", path, maxEntries: 1, maxBytes: 2, inlineLimit: 3, contents: true },
  { op: "readlink", path },
  { op: "access", path, mode: 7 },
  { op: "statfs", path },
  { op: "getxattr", path, name: "user.a" },
  { op: "listxattr", path },
  { op: "open", handle: 2 ** 32 - 1, path, flags: OPEN_FLAGS.create, mode: 0o7777 },
  { op: "read", handle: 1, offset: Number.MAX_SAFE_INTEGER, size: MAX_TRANSFER },
  { op: "write", handle: 1, offset: 0, content: bytes("two\0lines"), append: true },
  { op: "write", handle: 1, offset: 7, content: bytes("") },
  { op: "close", handle: 1 },
  { op: "fstat", handle: 1 },
  { op: "fsync", handle: 1, dataOnly: true },
  { op: "fallocate", handle: 1, mode: 3, offset: 4096, length: 2 ** 40 },
  { op: "lseek", handle: 1, offset: 9, whence: 4 },
  { op: "copy", from: 1, fromOffset: 2, to: 3, toOffset: 4, length: 5 },
  {
    ...{ op: "setattr", handle: 0, path, mask: 255, mode: 0o644, uid: 1, gid: 2, size: 3 },
    ...{ atimeNs: -5n, mtimeNs: 6n },
  },
  { op: "mkdir", path, mode: 0o1777 },
  { op: "unlink", path },
  { op: "rmdir", path },
  { op: "symlink", target: "../..//x", path },
  { op: "link", from: path, to: "/b" },
  { op: "rename", from: path, to: "/b", flags: 2 },
  { op: "mknod", path, mode: 0o010644 },
  { op: "setxattr", path, name: "user.a", flags: 1, value: bytes("\0\xff") },
  { op: "removexattr", path, name: "user.a" },
  { op: "lock", handle: 1, kind: 1, offset: 0, length: 0, flock: true },
  { op: "forget", leasesOnly: true },
];

const made = { attributes };
const ANSWERS: { readonly [Op in FileOperation]: FileAnswers[Op] } = {
  look: { attributes, content: bytes("content\0") },
  chain: {
    records: [
      { kind: "entry", path: "/a", attributes, content: undefined },
      { kind: "entry", path: "/a/link", attributes, content: bytes("../b") },
      { kind: "negative", path: "/b" },
      { kind: "listed", path: "/", attributes },
    ],
  },
  list: {
    ...{ nextCookie: 2n ** 64n - 1n, isLeased: true, attributes },
    records: [{ kind: "entry", path: "new\nline", attributes, content: bytes("") }],
  },
  tree: {
    isComplete: false,
    records: [
      { kind: "entry", path: "a", attributes, content: undefined },
      { kind: "listed", path: "", attributes },
      { kind: "cut", path: "a", attributes },
    ],
  },
  readlink: { target: "/\xff" },
  access: {},
  statfs: {
    ...{ blocks: 1n, bfree: 2n, bavail: 3n, files: 4n, ffree: 5n },
    ...{ bsize: 6, frsize: 7, namelen: 255, type: 0xef53 },
  },
  getxattr: { value: bytes("value\0") },
  listxattr: { names: bytes("user.a\0user.b\0") },
  open: made,
  read: { content: bytes("some bytes") },
  write: { written: 9, offset: 2 ** 40, attributes },
  close: {},
  fstat: made,
  fsync: {},
  fallocate: made,
  lseek: { offset: 4096 },
  copy: { copied: 3, attributes },
  setattr: made,
  mkdir: made,
  unlink: {},
  rmdir: {},
  symlink: made,
  link: made,
  rename: {},
  mknod: made,
  setxattr: {},
  removexattr: {},
  lock: {},
  forget: {},
};

const EVENTS: readonly FileEvent[] = [
  { kind: "invalidate", directory: "/", name: "caf\xe9", what: "changed" },
  { kind: "invalidate", directory: "/a/b", name: "", what: "gone" },
  { kind: "leases-lost" },
];

const operations = Object.keys(FILE_OPERATIONS) as FileOperation[];
const rest = (framed: Uint8Array): Uint8Array => framed.subarray(4);
const joined = (parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));

test("what one end asks is what the other understands, with every field", () => {
  assert.deepEqual(new Set(REQUESTS.map(({ op }) => op)), new Set(operations), "all are tried");
  for (const [index, request] of REQUESTS.entries()) {
    const framed = encodeFileRequest(index + 1, request, 0x1234);
    assert.equal(
      new DataView(framed.buffer, framed.byteOffset).getUint16(SESSION_AT, true),
      0x1234,
    );
    assert.ok(framed.length - 4 <= MAX_REQUEST);
    assert.deepEqual(parseFileRequest(rest(framed)), { id: index + 1, session: 0x1234, request });
    assert.equal(fileRequestId(rest(framed)), index + 1);
  }
});

test("what one end answers is what the other understands, and so are failures and events", () => {
  for (const op of operations) {
    const { id, errno, body } = parseAnswerHeader(rest(encodeFileAnswer(7, op, ANSWERS[op])));
    assert.deepEqual([id, errno], [7, 0]);
    assert.deepEqual(parseFileAnswer(op, body), ANSWERS[op], op);
  }
  assert.deepEqual(parseAnswerHeader(rest(encodeFileFailure(9, 28))), {
    ...{ id: 9, errno: 28, body: new Uint8Array(0) },
  });
  for (const event of EVENTS) {
    const { id, body } = parseAnswerHeader(rest(encodeFileEvent(event)));
    assert.equal(id, 0);
    assert.deepEqual(parseFileEvent(body), event);
  }
  assert.equal(parseFileEvent(bytes("\x09later")), undefined, "an event of a newer agent");
});

test("messages are the same wherever their bytes are cut, one at a time too", () => {
  const framed = REQUESTS.map((request, index) => encodeFileRequest(index + 1, request));
  const stream = joined(framed);
  for (const step of [1, 2, 3, 5, 7, 64, stream.length]) {
    const cutter = new MessageCutter(MAX_REQUEST);
    const messages: Uint8Array[] = [];
    for (let at = 0; at < stream.length; at += step)
      for (const message of cutter.push(stream.subarray(at, at + step)))
        messages.push(Uint8Array.from(message));
    assert.deepEqual(
      messages,
      framed.map((one) => Uint8Array.from(rest(one))),
    );
    assert.equal(cutter.keptBytes, 0);
  }
});

test("a message that is too long is refused by its length alone, before room is made for it", () => {
  const length = (value: number): Uint8Array => {
    const head = new Uint8Array(4);
    new DataView(head.buffer).setUint32(0, value, true);
    return head;
  };
  for (const value of [0, 7, MAX_ANSWER + 1, 0xffff_ffff]) {
    const cutter = new MessageCutter(MAX_ANSWER);
    assert.throws(() => [...cutter.push(length(value))], ProtocolError);
    assert.equal(cutter.keptBytes, 0);
  }
});

test("a request or an answer that is one byte short or long is refused", () => {
  // These end with "all that is left", or have records, which may end anywhere between two.
  const open = new Set<FileOperation>(["write", "setxattr", "getxattr", "listxattr", "read"]);
  for (const request of REQUESTS) {
    const message = rest(encodeFileRequest(1, request));
    if (!open.has(request.op)) {
      const longer = joined([message, bytes("\0")]);
      assert.throws(() => parseFileRequest(longer), ProtocolError, request.op);
      assert.throws(() => parseFileRequest(message.subarray(0, -1)), ProtocolError, request.op);
    }
  }
  for (const op of operations) {
    const { body } = parseAnswerHeader(rest(encodeFileAnswer(1, op, ANSWERS[op])));
    if (open.has(op)) continue;
    assert.throws(() => parseFileAnswer(op, joined([body, bytes("\0")])), ProtocolError, op);
    if (body.length > 0)
      assert.throws(() => parseFileAnswer(op, body.subarray(0, -1)), ProtocolError, op);
  }
});

for (const bad of [
  "",
  "etc",
  "//",
  "/a/",
  "/a//b",
  "/.",
  "/a/..",
  "/../b",
  "/a\0b",
  `/${"x".repeat(256)}`,
  `/${"x/".repeat(2048)}x`,
]) {
  const shown = JSON.stringify(bad.length > 20 ? `${bad.slice(0, 8)}… (${bad.length})` : bad);
  test(`no path of a request or of a record is ${shown}`, () => {
    const request = encodeFileRequest(1, { op: "look", path: bad, inlineLimit: 0 });
    assert.throws(() => parseFileRequest(rest(request)), ProtocolError);
    const records = [{ kind: "negative", path: bad }] as const;
    const chain = encodeFileAnswer(1, "chain", { records });
    assert.throws(() => parseFileAnswer("chain", chain.subarray(12)), ProtocolError);
    const event = { kind: "invalidate", directory: bad, name: "", what: "gone" } as const;
    assert.throws(() => parseFileEvent(encodeFileEvent(event).subarray(12)), ProtocolError);
  });
}

test("the names in a listing cannot lead out of its directory", () => {
  for (const name of ["..", ".", "/etc", "a/../b", "a/", "a//b", "a\0"]) {
    const records = [{ kind: "entry", path: name, attributes, content: undefined }] as const;
    const tree = encodeFileAnswer(1, "tree", { isComplete: true, records });
    assert.throws(() => parseFileAnswer("tree", tree.subarray(12)), ProtocolError, name);
  }
  for (const name of ["a/b", "..", "\0"]) {
    const event = { kind: "invalidate", directory: "/", name, what: "changed" } as const;
    assert.throws(() => parseFileEvent(encodeFileEvent(event).subarray(12)), ProtocolError, name);
  }
});

test("which requests change files is known of each, and of OPEN by its flags", () => {
  const writing = "write fallocate copy setattr mkdir unlink rmdir symlink link rename mknod";
  const expected = new Set(`${writing} setxattr removexattr`.split(" "));
  for (const request of REQUESTS)
    if (request.op !== "open") assert.equal(changesFiles(request), expected.has(request.op));
  const open = { op: "open", handle: 1, path: "/", mode: 0 } as const;
  for (const flags of [0, OPEN_FLAGS.directory, OPEN_FLAGS.sync, OPEN_FLAGS.append])
    assert.equal(changesFiles({ ...open, flags }), false);
  for (const flags of [1, 2, 3, OPEN_FLAGS.create, OPEN_FLAGS.truncate, OPEN_FLAGS.create | 1])
    assert.equal(changesFiles({ ...open, flags }), true);
});

test("room is kept for what an answer may have, and never more than an answer is let have", () => {
  const huge = 0xffff_ffff;
  const listing = { maxEntries: huge, maxBytes: huge, inlineLimit: huge } as const;
  for (const request of [
    { op: "tree", path: "/", ...listing },
    { op: "read", handle: 1, offset: 0, size: huge },
    { op: "look", path: "/", inlineLimit: huge },
  ] as const)
    assert.ok(answerLimit(request) > MAX_TRANSFER && answerLimit(request) <= MAX_ANSWER);
  assert.ok(answerLimit({ op: "close", handle: 1 }) < 10_000);
});

test("a size that no number holds is the largest that one does", () => {
  const { body } = parseAnswerHeader(rest(encodeFileAnswer(1, "fstat", made)));
  new DataView(body.buffer, body.byteOffset).setBigUint64(24, 2n ** 64n - 1n, true);
  assert.equal(parseFileAnswer("fstat", body).attributes.size, Number.MAX_SAFE_INTEGER);
});

test("any bytes are a message or a ProtocolError, and mutated ones too", () => {
  let state = 7;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const samples = [
    ...REQUESTS.map((request) => rest(encodeFileRequest(1, request))),
    ...operations.map((op) => rest(encodeFileAnswer(1, op, ANSWERS[op]))),
    ...EVENTS.map((event) => rest(encodeFileEvent(event))),
  ];
  let understood = 0;
  const attempt = (run: () => unknown): void => {
    try {
      run();
      understood++;
    } catch (error) {
      assert.ok(error instanceof ProtocolError, String(error));
    }
  };
  for (let round = 0; round < 20_000; round++) {
    const message = Uint8Array.from(samples[random(samples.length)] as Uint8Array);
    for (let each = random(4); each > 0; each--) message[random(message.length)] = random(256);
    const cut = random(5) ? message : message.subarray(0, random(message.length));
    attempt(() => parseFileRequest(cut));
    attempt(() => {
      const { body } = parseAnswerHeader(cut);
      parseFileEvent(body);
      parseFileAnswer(operations[random(operations.length)] as FileOperation, body);
    });
  }
  assert.ok(understood > 1000, `${understood} were understood`);
});

test("a stream of the file service says of itself only its kind, and whether writing is allowed", () => {
  assert.deepEqual(parseStreamHeader({ kind: "files", path: "/" }), { kind: "files" });
  assert.deepEqual(parseStreamOpened({ kind: "files", isReadOnly: true }), {
    ...{ kind: "files", isReadOnly: true },
  });
  assert.deepEqual(parseStreamOpened({ kind: "files" }), { kind: "files", isReadOnly: false });
});

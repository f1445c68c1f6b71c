/**
 * Runs in Node's place below enter, and says to its two sockets what no Node would say. Each connection to the
 * inherited port is one order, as for the driver: [what, seed].
 */
import { createServer, Socket } from "node:net";
import { AnswerReader, NODE_FDS } from "@inpod/agent";
import {
  encodeFileRequest,
  FILE_OPERATIONS,
  type FileOperation,
  type FileRequest,
  parseAnswerHeader,
  parseFileAnswer,
} from "@inpod/protocol";
import { Random } from "./random.ts";

const control = new Socket({ fd: NODE_FDS.control, readable: true, writable: true });
const files = new Socket({ fd: NODE_FDS.files, readable: true, writable: true });
for (const socket of [control, files]) socket.on("error", () => undefined);

/** By id. Events have id 0. */
function answersOf(socket: Socket, prefixBytes = 0): Map<number, Buffer> {
  const answers = new Map<number, Buffer>();
  const reader = new AnswerReader();
  let left = prefixBytes;
  socket.on("data", (chunk: Buffer) => {
    const from = Math.min(left, chunk.length);
    left -= from;
    for (const answer of reader.push(chunk.subarray(from)))
      answers.set(answer.readUInt32LE(0), answer);
    socket.emit("answers");
  });
  return answers;
}
const controlAnswers = answersOf(control);
const filesAnswers = answersOf(files, 32);

async function until(socket: Socket, isDone: () => boolean): Promise<void> {
  while (!isDone()) await new Promise((resolve) => socket.once("answers", resolve));
}

const COUNT = 300;

/** How many of the requests with known operations and any fields were answered, each with an errno. */
async function controlRequests(random: Random): Promise<number> {
  const answered = (): number => controlAnswers.size - (controlAnswers.has(0) ? 1 : 0);
  const before = answered();
  for (let each = 1; each <= COUNT; each++) {
    const operation = random.pick([1, 2, 3, 4, 5, 6, 11, 12]);
    // That of CONTAINER has an id: digits, or anything.
    const rest = random.below(2) ? Buffer.alloc(64, "a") : random.bytes(64);
    // That of OTHER_END begins with the version of IP, and how it is meant.
    if (operation === 12) rest.set([random.pick([0, 4, 6]), random.below(3)]);
    const hasRest = operation === 6 || operation === 12;
    const request = Buffer.concat([random.bytes(12), hasRest ? rest : Buffer.alloc(0)]);
    request.writeUInt8(operation, 0);
    // Few ports, so that what was stolen is released, stolen again and asked for twice.
    request.writeUInt16LE(random.pick([0, 1, 22, 80, 8080, 65535]), 2);
    request.writeUInt32LE(0x1000 + each, 8);
    // Cut anywhere: a request may come in two parts.
    const cut = random.below(request.length);
    control.write(request.subarray(0, cut));
    control.write(request.subarray(cut));
  }
  await until(control, () => answered() === before + COUNT);
  return COUNT;
}

const PATHS = [
  "/",
  "/etc/hostname",
  "/proc/self/status",
  "/proc/self/fd/0",
  "/dev/zero",
  "/..",
  "/a//b/.",
];

/** As Node greets a worker, who says it back: what enter's first event says. */
async function mark(): Promise<Buffer> {
  await until(control, () => controlAnswers.has(0));
  return (controlAnswers.get(0) as Buffer).subarray(12);
}

/** Operations that change nothing, and some that there are not. */
const READING = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 19, 20, 21, 23, 64, 240, 255];

async function filesRequests(random: Random): Promise<number> {
  // Half of a question to another worker comes first: it is passed over.
  files.write(Buffer.concat([random.bytes(9), Buffer.from("/some/path"), await mark()]));
  for (let each = 1; each <= COUNT; each++) {
    const path = random.pick([
      Buffer.from(random.pick(PATHS)),
      Buffer.concat([Buffer.from("/"), random.bytes(random.below(4000))]),
      random.bytes(1 + random.below(300)),
      Buffer.alloc(4095, "/"),
    ]);
    const length = Buffer.alloc(2);
    length.writeUInt16LE(random.below(20) ? path.length : random.below(65536));
    const request = Buffer.concat([
      random.bytes(12),
      ...(random.below(2) ? [random.bytes(4)] : []),
      length,
      path,
      random.bytes(random.below(30)),
    ]);
    request.writeUInt32LE(request.length - 4, 0);
    request.writeUInt32LE(each, 4);
    request.writeUInt8(random.pick(READING), 8);
    files.write(request);
  }
  await until(files, () => filesAnswers.size === COUNT);
  files.write(encodeFileRequest(0xffffffff, { op: "look", path: "/", inlineLimit: 0 }));
  await until(files, () => filesAnswers.has(0xffffffff));
  return filesAnswers.get(0xffffffff)?.readInt32LE(4) ?? -1;
}

const NAMES = [
  "/mnt/a",
  "/mnt/b",
  "/mnt/a/c",
  "/mnt/b/d",
  "/mnt/a/c/e",
  "/mnt",
  "/",
  "/proc/self/stat",
];

/** A request that may be right, of any operation, on few names and handles so that they meet. */
function anyRequest(random: Random): FileRequest {
  const path = random.pick(NAMES);
  const other = random.pick(NAMES);
  const handle = random.below(4);
  const size = random.pick([0, 1, 100, 70_000, 1 << 20, 2 ** 31, 2 ** 32 - 1]);
  const offset = random.pick([0, 0, 1, 4096, 2 ** 40, Number.MAX_SAFE_INTEGER]);
  const mode = random.below(0o10000);
  const limits = {
    maxEntries: size,
    maxBytes: random.pick([0, 65_536, 2 ** 31]),
    inlineLimit: size,
  };
  const flags = { lease: random.below(2) === 0, contents: random.below(2) === 0 };
  const name = random.pick(["user.a", "user.b", "security.capability", "system.posix_acl_access"]);
  const content = random.bytes(random.pick([0, 1, 5000]));
  switch (random.pick(Object.keys(FILE_OPERATIONS) as FileOperation[])) {
    case "look":
      return { op: "look", path, inlineLimit: size };
    case "chain":
      return {
        ...{ op: "chain", path: `${path}/../${other}//.`, inlineLimit: size, maxBytes: size },
        ...{ listing: flags.contents, lease: flags.lease },
      };
    case "list":
      return { op: "list", path, cookie: BigInt(random.below(3)), ...limits, ...flags };
    case "tree":
      // Not of the whole machine, again and again.
      return { op: "tree", path: path.startsWith("/mnt") ? path : "/mnt", ...limits, ...flags };
    case "readlink":
      return { op: "readlink", path };
    case "access":
      return { op: "access", path, mode: random.below(9) };
    case "statfs":
      return { op: "statfs", path };
    case "getxattr":
      return { op: "getxattr", path, name };
    case "listxattr":
      return { op: "listxattr", path };
    case "open":
      return { op: "open", handle, path, flags: random.below(0o200000), mode };
    case "forget":
      if (random.below(10) === 0) return { op: "forget", leasesOnly: random.below(3) > 0 };
      // Or else few handles would be open at a time.
      return { op: "open", handle, path: "/mnt/stays", flags: 0o102, mode: 0o600 };
    case "read":
      return { op: "read", handle, offset, size };
    case "write":
      return { op: "write", handle, offset, content, append: flags.lease };
    case "close":
      return random.below(4) ? { op: "fstat", handle } : { op: "close", handle };
    case "fstat":
      return { op: "fstat", handle };
    case "fsync":
      return { op: "fsync", handle, dataOnly: flags.lease };
    case "fallocate":
      return { op: "fallocate", handle, mode: random.below(130), offset, length: size };
    case "lseek":
      return { op: "lseek", handle, offset, whence: random.below(6) };
    case "copy":
      return {
        ...{ op: "copy", from: handle, fromOffset: offset },
        ...{ to: random.below(4), toOffset: 0, length: size },
      };
    case "setattr":
      return {
        ...{ op: "setattr", handle, path, mask: random.below(256), mode, uid: 12345, gid: 12345 },
        ...{ size: offset, atimeNs: BigInt(offset), mtimeNs: -BigInt(offset) },
      };
    case "mkdir":
      return { op: "mkdir", path, mode };
    case "unlink":
      return { op: "unlink", path };
    case "rmdir":
      return { op: "rmdir", path };
    case "symlink":
      return { op: "symlink", target: random.pick([other, "..", "x", "/proc/self/fd/0"]), path };
    case "link":
      return { op: "link", from: other, to: path };
    case "rename":
      return { op: "rename", from: other, to: path, flags: random.below(5) };
    case "mknod":
      return { op: "mknod", path, mode: mode | (random.below(16) << 12) };
    case "setxattr":
      return { op: "setxattr", path, name, flags: random.below(4), value: content };
    case "removexattr":
      return { op: "removexattr", path, name };
    case "lock":
      return {
        op: "lock",
        handle,
        kind: random.below(4),
        offset,
        length: size,
        flock: flags.lease,
      };
  }
}

/** What was answered to each operation: "ok", or how often not. Every answer is what the session's end can read. */
async function filesWork(random: Random): Promise<Record<string, number>> {
  files.write(await mark());
  const outcomes: Record<string, number> = {};
  for (let round = 0; round < 40; round++) {
    const asked = new Map<number, FileOperation>();
    for (let each = 1; each <= 200; each++) {
      const id = round * 1000 + each;
      const request = anyRequest(random);
      const bytes = Buffer.from(encodeFileRequest(id, request, random.below(3)));
      // Some are bent, but for who asks what; the path stays where it may do no harm.
      if (random.below(10) === 0) bytes[bytes.length - 1 - random.below(3)] = random.below(256);
      asked.set(id, request.op);
      files.write(bytes);
    }
    await until(files, () => [...asked.keys()].every((id) => filesAnswers.has(id)));
    for (const [id, op] of asked) {
      const { errno, body } = parseAnswerHeader(filesAnswers.get(id) as Buffer);
      if (errno === 0) parseFileAnswer(op, body);
      const outcome = `${op} ${errno === 0 ? "ok" : "failed"}`;
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      filesAnswers.delete(id);
    }
  }
  return outcomes;
}

async function order(what: string, seed: number): Promise<unknown> {
  const random = new Random(seed);
  switch (what) {
    case "pid":
      return process.pid;
    case "control-requests":
      return controlRequests(random);
    case "files-requests":
      return filesRequests(random);
    case "files-work":
      return filesWork(random);
    case "control-noise":
      control.write(random.bytes(4096));
      return true;
    case "control-deaf": {
      // Its answers are more than any socket holds.
      const describe = Buffer.alloc(12);
      describe.writeUInt8(5, 0);
      describe.writeUInt32LE(1, 8);
      control.pause();
      control.write(Buffer.concat(Array.from({ length: 20_000 }, () => describe)));
      return true;
    }
    case "control-half":
      control.end(random.bytes(7));
      return true;
    case "files-noise":
      // Not the event that says that there is a worker: the one after.
      files.write(Buffer.concat([await mark(), random.bytes(4096)]));
      controlAnswers.delete(0);
      await until(control, () => controlAnswers.has(0));
      return controlAnswers.get(0)?.toString("latin1", 12);
    default:
      throw new Error(what);
  }
}

createServer((socket) => {
  socket.on("error", () => undefined);
  socket.once("data", (line) => {
    const [what, seed] = JSON.parse(line.toString()) as [string, number];
    order(what, seed).then(
      (result) => socket.end(JSON.stringify({ result })),
      (error: Error) => socket.end(JSON.stringify({ errno: "EIO", detail: error.message })),
    );
  });
}).listen({ fd: NODE_FDS.listen });

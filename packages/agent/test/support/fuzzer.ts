/**
 * Runs in Node's place below enter, and says to its two sockets what no Node would say. Each connection to the
 * inherited port is one order, as for the driver: [what, seed].
 */
import { createServer, Socket } from "node:net";
import { AnswerReader, NODE_FDS } from "@inpod/agent";
import { Random } from "./random.ts";

const control = new Socket({ fd: NODE_FDS.control, readable: true, writable: true });
const files = new Socket({ fd: NODE_FDS.files, readable: true, writable: true });
for (const socket of [control, files]) socket.on("error", () => undefined);

/** By id. Events have id 0. */
function answersOf(socket: Socket): Map<number, Buffer> {
  const answers = new Map<number, Buffer>();
  const reader = new AnswerReader();
  socket.on("data", (chunk: Buffer) => {
    for (const answer of reader.push(chunk)) answers.set(answer.readUInt32LE(0), answer);
    socket.emit("answers");
  });
  return answers;
}
const controlAnswers = answersOf(control);
const filesAnswers = answersOf(files);

async function until(socket: Socket, isDone: () => boolean): Promise<void> {
  while (!isDone()) await new Promise((resolve) => socket.once("answers", resolve));
}

const COUNT = 300;

/** How many of the requests with known operations and any fields were answered, each with an errno. */
async function controlRequests(random: Random): Promise<number> {
  const before = controlAnswers.size;
  for (let each = 1; each <= COUNT; each++) {
    const request = random.bytes(12);
    request.writeUInt8(1 + random.below(5), 0);
    // Few ports, so that what was stolen is released, stolen again and asked for twice.
    request.writeUInt16LE(random.pick([0, 1, 22, 80, 8080, 65535]), 2);
    request.writeUInt32LE(0x1000 + each, 8);
    // Cut anywhere: a request may come in two parts.
    const cut = random.below(12);
    control.write(request.subarray(0, cut));
    control.write(request.subarray(cut));
  }
  await until(control, () => controlAnswers.size === before + COUNT);
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

async function filesRequests(random: Random): Promise<number> {
  for (let each = 1; each <= COUNT; each++) {
    const path = random.pick([
      Buffer.from(random.pick(PATHS)),
      Buffer.concat([Buffer.from("/"), random.bytes(random.below(4000))]),
      random.bytes(1 + random.below(300)),
      Buffer.alloc(4095, "/"),
    ]);
    const request = Buffer.concat([random.bytes(16), path]);
    request.writeUInt32LE(request.length - 4, 0);
    request.writeUInt32LE(each, 4);
    request.writeUInt8(random.below(7), 8);
    files.write(request);
  }
  await until(files, () => filesAnswers.size === COUNT);
  const last = Buffer.from("\0\0\0\0\xff\xff\xff\xff\x01\x01\0\0\0\0\0\0/", "latin1");
  last.writeUInt32LE(last.length - 4, 0);
  files.write(last);
  await until(files, () => filesAnswers.has(0xffffffff));
  return filesAnswers.get(0xffffffff)?.readInt32LE(4) ?? -1;
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
      files.write(random.bytes(4096));
      // enter says so: an event.
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

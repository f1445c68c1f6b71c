/**
 * Runs in Node's place below enter: each connection to the inherited port is one request, JSON in and JSON
 * out, for the real clients of the two sockets. Stolen connections are answered "stolen <their client>".
 */
import { createServer, Socket } from "node:net";
import { constants } from "node:os";
import {
  Enter,
  Failure,
  type Holder,
  NODE_FDS,
  OwnEnds,
  Ports,
  RecordReader,
  Target,
  Worker,
} from "@inpod/agent";
import {
  encodeFileRequest,
  type FileAnswers,
  type FileOperation,
  type FileRequest,
  parseAnswerHeader,
  parseFileAnswer,
} from "@inpod/protocol";

const enter = new Enter(new Socket({ fd: NODE_FDS.control, readable: true, writable: true }));
const worker = new Worker(new Socket({ fd: NODE_FDS.files, readable: true, writable: true }));
const events: string[] = [];
const ports = new Ports(enter, () => undefined, new OwnEnds(), 50);
const target = new Target(enter, worker, () => undefined, 2000);
enter.onEvent = (event) => {
  if (event.kind === "rules-lost") void ports.rulesLost(event.detail);
  else if (event.kind !== "capture-lost") target.take(event);
  // The first is no news.
  if (event.kind !== "worker-ready" || events.length > 0) events.push(event.kind);
};
const seen = { packets: 0, lost: 0 };
const records = new RecordReader({
  onPacket: () => {
    seen.packets++;
  },
  onLost: (count) => {
    seen.lost += count;
  },
});
new Socket({ fd: NODE_FDS.packets, readable: true, writable: false })
  .on("data", (chunk: Buffer) => records.push(chunk))
  .on("error", () => undefined);
const holders = new Map<string, Holder>();
const holder = (id: string): Holder => {
  const known = holders.get(id) ?? {
    id,
    name: id,
    take: (socket) => {
      socket.on("data", () => socket.write(`stolen ${socket.remoteAddress}\n`));
      socket.on("end", () => socket.end());
      socket.resume();
    },
    open: () => undefined,
    connectionsKept: (port, detail) => events.push(`connections-kept ${port}: ${detail}`),
    certificates: () => [],
    tlsUntouched: () => undefined,
    stealLost: (port) => events.push(`steal-lost ${port}`),
  };
  holders.set(id, known);
  return known;
};

const names = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
async function ask<R extends FileRequest>(request: R): Promise<FileAnswers[R["op"]]> {
  const message = await worker.ask((id) => encodeFileRequest(id, request), 15_000);
  const { errno, body } = parseAnswerHeader(message);
  if (errno !== 0) throw new Failure(names.get(errno) ?? "EIO", request.op);
  return parseFileAnswer(request.op as FileOperation, body) as FileAnswers[R["op"]];
}

const lookAt = async (path: string): Promise<{ size: number }> => {
  const { attributes } = await ask({ op: "look", path, inlineLimit: 0 });
  return { size: attributes.size };
};

let handle = 1;
/** At most so many bytes of what a path means, links followed. */
async function read(path: string, size: number): Promise<string> {
  const { records } = await ask({ op: "chain", path, inlineLimit: 0, maxBytes: 1 << 20 });
  const end = records.at(-1)?.path ?? "/";
  const own = handle++;
  await ask({ op: "open", handle: own, path: end, flags: 0, mode: 0 });
  try {
    const { content } = await ask({ op: "read", handle: own, offset: 0, size });
    return Buffer.from(content).toString("latin1");
  } finally {
    await ask({ op: "close", handle: own }).catch(() => undefined);
  }
}

async function answer(method: string, a: unknown, b: unknown): Promise<unknown> {
  switch (method) {
    case "describe":
      return enter.describe();
    case "pid":
      return process.pid;
    case "events":
      return events;
    case "steal":
      return ports.steal(a as number, holder(b as string));
    case "takeOver":
      return ports.steal(a as number, holder(b as string), { flush: true });
    case "rawFlush":
      return enter.flush(a as number, b as "idle" | "all");
    case "rawSteal":
      return enter.steal(a as number, b as number);
    case "mirror":
      return enter.mirror(a as number);
    case "unmirror":
      return enter.unmirror(a as number);
    case "packets":
      return seen;
    case "release":
      return ports.release(a as number, holder(b as string));
    case "suspend":
      return ports.suspend(holder(a as string), "test");
    case "resume":
      return ports.resume(holder(a as string));
    case "container":
      return target.container(a as string);
    case "rawContainer":
      return enter.container(a as string);
    case "look":
      return lookAt(a as string);
    case "readlink":
      return (await ask({ op: "readlink", path: a as string })).target;
    case "read":
      return read(a as string, b as number);
    case "exit":
      return setImmediate(() => process.exit(a as number)) && undefined;
    default:
      throw new Failure("ENOSYS", method);
  }
}

createServer((socket) => {
  socket.on("error", () => undefined);
  socket.once("data", (line) => {
    const [method, a, b] = JSON.parse(line.toString()) as [string, unknown, unknown];
    answer(method, a, b).then(
      (result) => socket.end(JSON.stringify({ result })),
      (error: Failure) => socket.end(JSON.stringify({ errno: error.errno, detail: error.message })),
    );
  });
}).listen({ fd: NODE_FDS.listen });

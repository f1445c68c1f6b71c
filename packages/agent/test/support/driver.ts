/**
 * Runs in Node's place below enter: each connection to the inherited port is one request, JSON in and JSON
 * out, for the real clients of the two sockets. Stolen connections are answered "stolen <their client>".
 */
import { createServer, Socket } from "node:net";
import {
  Enter,
  Failure,
  Files,
  type Holder,
  NODE_FDS,
  OwnEnds,
  Ports,
  RecordReader,
  Target,
  Worker,
} from "@inpod/agent";

const enter = new Enter(new Socket({ fd: NODE_FDS.control, readable: true, writable: true }));
const worker = new Worker(new Socket({ fd: NODE_FDS.files, readable: true, writable: true }));
const files = new Files(worker, 15_000);
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
    stealLost: (port) => events.push(`steal-lost ${port}`),
  };
  holders.set(id, known);
  return known;
};

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
    case "stat":
      return files.stat(a, b);
    case "readlink":
      return files.readlink(a);
    case "access":
      return files.access(a, b);
    case "read": {
      const { content } = await files.read(a, b);
      return content.toString("latin1");
    }
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

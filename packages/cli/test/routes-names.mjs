// A name server of A, AAAA and PTR records that writes down what it is asked. Its argument is JSON: address, log, records
// ("TYPE name" → values). UDP answers beyond what the client takes are truncated; TCP has them whole.
import { createSocket } from "node:dgram";
import { appendFileSync } from "node:fs";
import { createServer } from "node:net";

const TYPES = { 1: "A", 12: "PTR", 28: "AAAA", 41: "OPT" };
const { address, log, records } = JSON.parse(process.argv[2]);

const words = (name) =>
  Buffer.concat([
    ...name.split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label)])),
    Buffer.of(0),
  ]);
const groups = (text) => {
  const [head, tail = ""] = text.split("::").map((part) => part.split(":").filter(Boolean));
  const zeros = Array(8 - head.length - tail.length).fill("0");
  return [...head, ...zeros, ...tail].flatMap((group) => [
    Number.parseInt(group, 16) >> 8,
    Number.parseInt(group, 16) & 255,
  ]);
};
const DATA = {
  A: (value) => Buffer.from(value.split(".").map(Number)),
  AAAA: (value) => Buffer.from(groups(value)),
  PTR: words,
};

function answer(query, how) {
  const labels = [];
  let at = 12;
  for (; query[at] > 0; at += query[at] + 1)
    labels.push(query.toString("latin1", at + 1, at + 1 + query[at]));
  const end = at + 5;
  const name = labels.join(".").toLowerCase();
  const number = query.readUInt16BE(at + 1);
  const type = TYPES[number] ?? String(number);
  appendFileSync(log, `${how} ${type} ${name}\n`);
  // u8 0 · u16 41 · u16 size of datagrams · u32 flags · u16 length
  const hasOpt = query.readUInt16BE(10) === 1 && query[end] === 0;
  const size = hasOpt ? query.readUInt16BE(end + 3) : 512;
  const isKnown = Object.keys(records).some((key) => key.endsWith(` ${name}`));
  const data = (records[`${type} ${name}`] ?? []).map((value) => {
    const bytes = DATA[type](value);
    const head = Buffer.alloc(12);
    head.writeUInt16BE(0xc00c, 0);
    head.writeUInt16BE(number, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt32BE(1, 6); // soon forgotten by whoever keeps it
    head.writeUInt16BE(bytes.length, 10);
    return Buffer.concat([head, bytes]);
  });
  const opt = hasOpt ? [Buffer.from([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0])] : [];
  const all = Buffer.concat([...data, ...opt]);
  const isWhole = how === "tcp" || end + all.length <= size;
  const head = Buffer.from(query.subarray(0, end));
  head.writeUInt16BE((isKnown ? 0x8580 : 0x8583) | (isWhole ? 0 : 0x0200), 2);
  head.writeUInt16BE(isWhole ? data.length : 0, 6);
  head.writeUInt16BE(0, 8);
  head.writeUInt16BE(opt.length, 10);
  return Buffer.concat([head, ...(isWhole ? [all] : opt)]);
}

const udp = createSocket("udp4");
udp.on("message", (query, from) => udp.send(answer(query, "udp"), from.port, from.address));
const tcp = createServer((socket) => {
  let pending = Buffer.alloc(0);
  socket.on("error", () => socket.destroy());
  socket.on("data", (bytes) => {
    pending = Buffer.concat([pending, bytes]);
    while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
      const reply = answer(pending.subarray(2, 2 + pending.readUInt16BE(0)), "tcp");
      pending = pending.subarray(2 + pending.readUInt16BE(0));
      socket.write(Buffer.from([reply.length >> 8, reply.length & 255]));
      socket.write(reply);
    }
  });
});
tcp.listen(53, address, () => udp.bind(53, address, () => console.log("it listens")));

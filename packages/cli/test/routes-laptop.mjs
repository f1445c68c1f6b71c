// The office's name server, on 127.0.0.77: www.example.com and db.shop are there, nothing else is. With an argument also
// its way to an API server.
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";

const KNOWN = { "www.example.com": [192, 0, 2, 80], "db.shop": [192, 0, 2, 81] };
const socket = createSocket("udp4");
socket.on("message", (message, { address, port }) => {
  const labels = [];
  let at = 12;
  for (; message[at] > 0; at += message[at] + 1)
    labels.push(message.toString("latin1", at + 1, at + 1 + message[at]));
  const end = at + 5;
  const known = KNOWN[labels.join(".").toLowerCase()];
  const isAsked = known !== undefined && message.readUInt16BE(at + 1) === 1;
  const head = Buffer.from(message.subarray(0, end));
  head.writeUInt16BE(known ? 0x8180 : 0x8183, 2);
  head.writeUInt16BE(isAsked ? 1 : 0, 6);
  head.writeUInt32BE(0, 8);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, ...(known ?? [])]);
  socket.send(isAsked ? Buffer.concat([head, record]) : head, port, address);
});
// The way out of the laptop that leads to an API server: a unix socket, which is of no network.
const [way] = process.argv.slice(2);
if (way !== undefined)
  createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ path: way, allowHalfOpen: true });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      from.on("error", () => to.destroy());
      from.pipe(to);
    }
  }).listen(6443, "127.0.0.1");

socket.bind(53, "127.0.0.77", () => process.stdout.write(`${process.pid}\n`));

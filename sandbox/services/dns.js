// A name server for one fixed table of A records: enough of RFC 1035 for real resolvers. It knows no EDNS, so
// over UDP every answer beyond 512 bytes is truncated and has to be asked again over TCP.
import dgram from "node:dgram";
import net from "node:net";

const HEADER_BYTES = 12;
const UDP_LIMIT_BYTES = 512;
const TCP_IDLE_MS = 10_000;
const RECORD_BYTES = 16;
const TTL_SECONDS = 5;
const TYPE_A = 1;
const CLASS_IN = 1;
const FLAGS = {
  response: 0x8000,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
};
const RCODE = { noError: 0, formatError: 1, nameError: 3 };
/** A pointer to offset 12, where the question's name is (RFC 1035, 4.1.4). */
const NAME_OF_QUESTION = 0xc00c;

/**
 * @param {Buffer} query one message without TCP's length prefix
 * @param {Readonly<Record<string, readonly string[]>>} records lower-case name without the last dot → IPv4 addresses
 * @param {number} limitBytes beyond it the answer has the TC bit and the records that fit
 * @returns {Buffer | undefined} undefined: no query at all, stay silent
 */
export function answer(query, records, limitBytes) {
  if (query.length < HEADER_BYTES || query.readUInt16BE(2) & FLAGS.response) return undefined;
  const question = parseQuestion(query);
  if (question === undefined) return message(query, RCODE.formatError, 0, undefined, []);
  const addresses = Object.hasOwn(records, question.name) ? records[question.name] : undefined;
  if (addresses === undefined) return message(query, RCODE.nameError, 0, question, []);
  const asked = question.type === TYPE_A && question.class === CLASS_IN ? addresses : [];
  const whole = message(query, RCODE.noError, 0, question, asked);
  if (whole.length <= limitBytes) return whole;
  // As usual servers do, what fits is sent: musl before 1.2.4 takes it and never asks over TCP.
  const fitting = Math.floor((limitBytes - HEADER_BYTES - question.wire.length) / RECORD_BYTES);
  return message(query, RCODE.noError, FLAGS.truncated, question, asked.slice(0, fitting));
}

function parseQuestion(query) {
  if (query.readUInt16BE(4) !== 1) return undefined;
  const labels = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = query[at];
    // Pointers (two high bits) make no sense in the first name of a message.
    if (length === undefined || length > 63) return undefined;
    at += 1;
    if (length === 0) break;
    if (at + length > query.length) return undefined;
    labels.push(query.toString("latin1", at, at + length).toLowerCase());
    at += length;
  }
  if (at + 4 > query.length) return undefined;
  return {
    name: labels.join("."),
    type: query.readUInt16BE(at),
    class: query.readUInt16BE(at + 2),
    wire: query.subarray(HEADER_BYTES, at + 4),
  };
}

function message(query, rcode, flags, question, addresses) {
  const header = Buffer.alloc(HEADER_BYTES);
  query.copy(header, 0, 0, 2);
  const asked = query.readUInt16BE(2) & FLAGS.recursionDesired;
  // Recursion is said to be available (0x0080): resolvers that ask for it warn or go elsewhere otherwise.
  header.writeUInt16BE(FLAGS.response | FLAGS.authoritative | 0x0080 | flags | asked | rcode, 2);
  header.writeUInt16BE(question === undefined ? 0 : 1, 4);
  header.writeUInt16BE(addresses.length, 6);
  const parts = [header, ...(question === undefined ? [] : [question.wire])];
  for (const address of addresses) {
    const record = Buffer.alloc(RECORD_BYTES); // u16 name · u16 type · u16 class · u32 ttl · u16 length · 4 bytes
    record.writeUInt16BE(NAME_OF_QUESTION, 0);
    record.writeUInt16BE(TYPE_A, 2);
    record.writeUInt16BE(CLASS_IN, 4);
    record.writeUInt32BE(TTL_SECONDS, 6);
    record.writeUInt16BE(4, 10);
    record.set(address.split(".").map(Number), 12);
    parts.push(record);
  }
  return Buffer.concat(parts);
}

/** Serves `records` on port 53 of `address`, UDP and TCP. Resolves when both listen. */
export async function serveNames(address, records) {
  const udp = dgram.createSocket("udp4");
  udp.on("message", (query, from) => {
    const reply = answer(query, records, UDP_LIMIT_BYTES);
    if (reply !== undefined) udp.send(reply, from.port, from.address);
  });
  const tcp = net.createServer((socket) => serveStream(socket, records));
  await Promise.all([
    new Promise((resolve, reject) => udp.once("error", reject).bind(53, address, resolve)),
    new Promise((resolve, reject) => tcp.once("error", reject).listen(53, address, resolve)),
  ]);
}

/** RFC 1035, 4.2.2: every message has its length before it as u16. */
function serveStream(socket, records) {
  let pending = Buffer.alloc(0);
  socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  socket.on("data", (bytes) => {
    pending = Buffer.concat([pending, bytes]);
    while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
      const end = 2 + pending.readUInt16BE(0);
      const reply = answer(pending.subarray(2, end), records, 0xffff);
      pending = pending.subarray(end);
      if (reply === undefined) return socket.destroy();
      const length = Buffer.alloc(2);
      length.writeUInt16BE(reply.length);
      socket.write(Buffer.concat([length, reply]));
    }
  });
}

/**
 * Questions for names that are this machine's: addresses by its own resolver, with its files, whatever it asks; of other
 * types by its name servers. The answer is in the form of the one that the pod's name server would have sent.
 */

import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { isIPv4, isIPv6 } from "node:net";
import { type DnsQuestion, parseResolvConf, questionIn } from "@inpod/session";
import { parseAddress } from "../rules/addresses.ts";

const TYPE = { a: 1, aaaa: 28 } as const;
const RCODE = { noError: 0, serverFailure: 2, nameError: 3 } as const;
/** As long as glibc's default timeout for each server. */
const ANSWER_MS = 5000;
/** What is looked up may have changed the next time. */
const TTL_SECONDS = 5;
/** Of one answer: it fits into 512 bytes with a long name. */
const MAX_ADDRESSES = 8;
const HEADER_BYTES = 12;
const DNS_PORT = 53;
/** A pointer to the question's name (RFC 1035, 4.1.4). */
const NAME_OF_QUESTION = 0xc00c;
/** QR, RA; of the question RD is kept. */
const ANSWER_FLAGS = 0x8080;

export async function answerLocally(message: Buffer): Promise<Buffer | undefined> {
  const question = questionIn(message);
  if (question === undefined || question.isAnswer) return undefined;
  const { type } = question;
  if (type !== TYPE.a && type !== TYPE.aaaa) return forward(message);
  let found: readonly string[];
  try {
    const all = await lookup(question.name, { all: true });
    found = all.map(({ address }) => address);
  } catch (error) {
    const isUnknown = (error as NodeJS.ErrnoException).code === "ENOTFOUND";
    return answer(message, question, isUnknown ? RCODE.nameError : RCODE.serverFailure, []);
  }
  const isWanted = type === TYPE.a ? isIPv4 : isIPv6;
  return answer(message, question, RCODE.noError, found.filter(isWanted));
}

/** There is no such name. */
export function answerNotFound(message: Buffer): Buffer | undefined {
  const question = questionIn(message);
  return question && !question.isAnswer
    ? answer(message, question, RCODE.nameError, [])
    : undefined;
}

function answer(
  message: Buffer,
  { name, type }: DnsQuestion,
  rcode: number,
  addresses: readonly string[],
): Buffer {
  // The name with its length octets and the root's, then type and class.
  const questionBytes = name === "" ? 5 : name.length + 6;
  const head = Buffer.from(message.subarray(0, HEADER_BYTES + questionBytes));
  const sent = addresses.slice(0, MAX_ADDRESSES);
  head.writeUInt16BE((head.readUInt16BE(2) & 0x7900) | ANSWER_FLAGS | rcode, 2);
  head.writeUInt16BE(sent.length, 6);
  head.writeUInt32BE(0, 8); // no authorities and nothing additional, EDNS neither
  const records = sent.flatMap((text) => {
    const bytes = parseAddress(text.split("%")[0] ?? "")?.bytes;
    if (bytes === undefined) return [];
    const record = Buffer.alloc(12);
    record.writeUInt16BE(NAME_OF_QUESTION, 0);
    record.writeUInt16BE(type, 2);
    record.writeUInt16BE(1, 4); // IN
    record.writeUInt32BE(TTL_SECONDS, 6);
    record.writeUInt16BE(bytes.length, 10);
    return [record, Buffer.from(bytes)];
  });
  return Buffer.concat([head, ...records]);
}

/** Undefined: nobody answers, and the program's resolver asks again. */
async function forward(message: Buffer): Promise<Buffer | undefined> {
  const text = await readFile("/etc/resolv.conf", "latin1").catch(() => "");
  const [server = "127.0.0.1"] = parseResolvConf(text).nameservers;
  const socket = createSocket(isIPv6(server) ? "udp6" : "udp4");
  return new Promise((resolve) => {
    const end = (result: Buffer | undefined): void => {
      clearTimeout(timer);
      socket.close();
      resolve(result);
    };
    const timer = setTimeout(() => end(undefined), ANSWER_MS);
    socket.on("error", () => end(undefined));
    socket.on("message", (reply) => {
      if (questionIn(reply)?.id === questionIn(message)?.id) end(reply);
    });
    // A callback of connect() would be given its error, as of a machine without a network, and nobody else told.
    socket.once("connect", () => socket.send(message));
    socket.connect(DNS_PORT, server);
  });
}

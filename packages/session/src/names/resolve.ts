/**
 * What a name is in the target: its /etc/hosts first, then its name servers with its search domains, asked from there,
 * as a libc does it.
 */
import { randomInt } from "node:crypto";
import type { ByteString } from "@inpod/protocol";
import type { Channel, OutgoingChannel } from "@inpod/tunnel";
import { addressesIn, canBeAsked, type DnsQuestion, query, questionIn, TYPE } from "./message.ts";
import { addressesInHosts, candidates, ndotsOf, parseResolvConf } from "./resolv-conf.ts";

const DNS_PORT = 53;
/** resolv.conf(5)'s defaults are 5 s and 2 attempts; who waits here for a connection asks again sooner. */
const ANSWER_MS = 2000;
const ATTEMPTS = 2;
/** Servers that leave out IPv6 do it in silence: with an address nobody waits for the other kind any longer. */
const OTHER_FAMILY_MS = 250;
/** MAXNS of glibc and musl. */
const MAX_SERVERS = 3;
/** A message over TCP has its length before it, as u16. */
const MAX_MESSAGE = 0x1_0000 + 2;
const RCODES: Readonly<Record<number, string>> = { 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED" };
/** RFC 6761, 6.3. Files that name it come first. */
const LOOPBACK: readonly string[] = ["127.0.0.1", "::1"];
/** Of what is in a file. */
const FILE_TTL_SECONDS = 30;

/** The target's, as bytes; empty where it has none. */
export interface NameFiles {
  readonly hosts: ByteString;
  readonly resolvConf: ByteString;
}

/** A session's, as a rule. */
export interface AskedFrom {
  openUdp(host: string, port: number): OutgoingChannel;
  connectTcp(host: string, port: number): Promise<{ readonly channel: Channel }>;
  /** How long one name server is waited for. Default: 2 s. */
  readonly answerMs?: number;
}

export interface Resolved {
  /** Empty: there is no such name, or nobody has answered. */
  readonly addresses: readonly string[];
  /** How long that may be believed. */
  readonly ttlSeconds: number;
  /** What was found where: for people. */
  readonly words: readonly string[];
  /** No name server has answered: it may be known the next time. */
  readonly isSilent: boolean;
}

/** @param name in any case, and with a final dot if no search domain is to be tried. Never rejects. */
export async function resolveName(
  name: string,
  { hosts, resolvConf }: NameFiles,
  from: AskedFrom,
): Promise<Resolved> {
  const asked = name.toLowerCase();
  const bare = asked.replace(/\.$/, "");
  const listed = addressesInHosts(hosts, bare);
  if (listed.length > 0) return ofFile(listed, "/etc/hosts");
  if (bare === "localhost" || bare.endsWith(".localhost")) return ofFile(LOOPBACK, "RFC 6761");
  const { nameservers, searchDomains } = parseResolvConf(resolvConf);
  const words: string[] = [];
  const wanted = candidates(asked, searchDomains, ndotsOf(resolvConf)).filter(canBeAsked);
  if (wanted.length === 0) words.push("no name that DNS can have");
  for (const candidate of wanted) {
    const answer = await askServers(candidate, nameservers.slice(0, MAX_SERVERS), from);
    if (answer.kind === "addresses") {
      const { addresses, ttlSeconds, server } = answer;
      const said = `${server} answers for ${candidate}: ${addresses.join(", ")}`;
      return { addresses, ttlSeconds, words: [said], isSilent: false };
    }
    words.push(`${candidate}: ${answer.why}`);
    // Each further name would wait as long.
    if (answer.kind === "silent") return { ...notFound(words), isSilent: true };
  }
  return notFound(words);
}

const ofFile = (addresses: readonly string[], where: string): Resolved => ({
  addresses,
  ttlSeconds: FILE_TTL_SECONDS,
  words: [`${where}: ${addresses.join(", ")}`],
  isSilent: false,
});

const notFound = (words: readonly string[]): Resolved => ({
  addresses: [],
  ttlSeconds: 0,
  words: [`it does not resolve: ${words.join("; ")}`],
  isSilent: false,
});

type Answer =
  | {
      readonly kind: "addresses";
      readonly addresses: readonly string[];
      readonly ttlSeconds: number;
      readonly server: string;
    }
  | { readonly kind: "none" | "silent"; readonly why: string };

async function askServers(
  name: string,
  servers: readonly string[],
  from: AskedFrom,
): Promise<Answer> {
  let why = "there is no name server";
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    for (const server of servers) {
      const heard = await askServer(name, server, from);
      const addresses = [...new Set(heard.flatMap((each) => each.addresses))];
      if (addresses.length > 0) {
        const ttlSeconds = Math.min(...heard.map((each) => each.ttlSeconds));
        return { kind: "addresses", addresses, ttlSeconds, server };
      }
      const [first] = heard;
      if (first !== undefined)
        return {
          kind: "none",
          why: `${server} says ${RCODES[first.rcode] ?? "it has no address"}`,
        };
      why = `${server} does not answer`;
    }
  }
  return { kind: "silent", why };
}

interface Heard extends DnsQuestion {
  readonly addresses: readonly string[];
  readonly ttlSeconds: number;
}

/** Both questions from one socket, as libc does it. What is too long for a datagram is asked for again over TCP. */
async function askServer(name: string, server: string, from: AskedFrom): Promise<Heard[]> {
  const heard = await askOverUdp(name, server, from);
  const cut = heard.filter(({ isTruncated }) => isTruncated);
  if (cut.length === 0) return heard;
  const whole = await Promise.all(
    cut.map(async (each) => (await askOverTcp(name, each.type, server, from)) ?? each),
  );
  return [...heard.filter(({ isTruncated }) => !isTruncated), ...whole];
}

async function askOverUdp(name: string, server: string, from: AskedFrom): Promise<Heard[]> {
  const heard = new Map<number, Heard>();
  const types: readonly number[] = [TYPE.a, TYPE.aaaa];
  const ids = new Map(types.map((type) => [type, randomInt(0x1_0000)]));
  let timer: NodeJS.Timeout | undefined;
  let channel: OutgoingChannel;
  try {
    channel = from.openUdp(server, DNS_PORT);
  } catch {
    return []; // there is no tunnel now
  }
  try {
    await new Promise<void>((resolve) => {
      const end = (): void => resolve();
      timer = setTimeout(end, from.answerMs ?? ANSWER_MS);
      channel.opened.catch(end);
      channel.onReset = end;
      channel.onDatagram = (message) => {
        const answer = heardIn(message);
        if (answer === undefined || answer.name !== name || ids.get(answer.type) !== answer.id)
          return;
        heard.set(answer.type, answer);
        if (heard.size === ids.size) end();
        else if (answer.addresses.length > 0) {
          clearTimeout(timer);
          timer = setTimeout(end, Math.min(OTHER_FAMILY_MS, from.answerMs ?? ANSWER_MS));
        }
      };
      for (const [type, id] of ids) channel.datagram(query(id, name, type));
    });
  } finally {
    clearTimeout(timer);
    channel.reset("ECONNRESET");
  }
  return [...heard.values()];
}

async function askOverTcp(
  name: string,
  type: number,
  server: string,
  from: AskedFrom,
): Promise<Heard | undefined> {
  const id = randomInt(0x1_0000);
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, from.answerMs ?? ANSWER_MS, undefined);
  });
  const connected = from.connectTcp(server, DNS_PORT);
  const asked = connected.then(({ channel }) => {
    if (isOver) channel.reset("ECONNRESET");
    return isOver ? undefined : exchange(channel, query(id, name, type));
  });
  try {
    const message = await Promise.race([asked, late]);
    const answer = message && heardIn(message);
    return answer?.id === id && answer.name === name && answer.type === type ? answer : undefined;
  } catch {
    return undefined; // it cannot be asked that way
  } finally {
    isOver = true;
    clearTimeout(timer);
    asked.catch(() => {});
    connected.then(
      ({ channel }) => channel.reset("ECONNRESET"),
      () => {},
    );
  }
}

/** One message there and one back. Undefined: it ends before that. */
function exchange(channel: Channel, question: Uint8Array): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    let pending = Buffer.alloc(0);
    channel.onData = (bytes) => {
      channel.consumed(bytes.length);
      if (pending.length + bytes.length > MAX_MESSAGE) return;
      pending = Buffer.concat([pending, bytes]);
      const length = pending.length < 2 ? undefined : pending.readUInt16BE(0);
      if (length !== undefined && pending.length >= 2 + length)
        resolve(pending.subarray(2, 2 + length));
    };
    channel.onEnd = () => resolve(undefined);
    channel.onReset = () => resolve(undefined);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(question.length);
    channel.write(Buffer.concat([length, question]));
  });
}

function heardIn(message: Uint8Array): Heard | undefined {
  const question = questionIn(message);
  if (question === undefined || !question.isAnswer) return undefined;
  const records = addressesIn(message);
  return {
    ...question,
    addresses: records.map(({ address }) => address),
    ttlSeconds: Math.min(...records.map(({ ttlSeconds }) => ttlSeconds)),
  };
}

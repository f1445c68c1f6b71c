/**
 * What a name is in the pod: its /etc/hosts first, then its name servers with its search domains, asked from there, as a
 * libc does it.
 */
import { randomInt } from "node:crypto";
import { isIP } from "node:net";
import { addressesIn, type DnsQuestion, parseResolvConf, questionIn } from "@inpod/layer/rules";
import type { Session } from "@inpod/session";
import type { Resolved } from "./network.ts";

const DNS_PORT = 53;
/** resolv.conf(5)'s defaults are 5 s and 2 attempts; nobody waits that long for an explanation. */
const ANSWER_MS = 2000;
/** MAXNS of glibc and musl. */
const MAX_SERVERS = 3;
const MAX_FILE = 64 * 1024;
const MAX_SEARCH = 16;
const TYPES = { A: 1, AAAA: 28 } as const;
const RCODES: Readonly<Record<number, string>> = { 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED" };

export interface PodNames {
  readonly hosts: string;
  readonly resolvConf: string;
}

export async function podNames(session: Pick<Session, "files">): Promise<PodNames> {
  const read = async (path: string): Promise<string> => {
    try {
      return (await session.files.read(path, MAX_FILE)).content.toString("latin1");
    } catch {
      return "";
    }
  };
  const [hosts, resolvConf] = await Promise.all([read("/etc/hosts"), read("/etc/resolv.conf")]);
  return { hosts, resolvConf };
}

/** Lower case without a final dot. */
export async function resolveInPod(
  name: string,
  { hosts, resolvConf }: PodNames,
  session: Pick<Session, "openUdp">,
): Promise<Resolved> {
  const listed = addressesInHosts(hosts, name);
  if (listed.length > 0) return { addresses: listed, words: [`/etc/hosts: ${listed.join(", ")}`] };
  const { nameservers, searchDomains } = parseResolvConf(resolvConf);
  const words: string[] = [];
  for (const candidate of candidates(name, searchDomains, ndotsOf(resolvConf))) {
    const answer = await askServers(candidate, nameservers.slice(0, MAX_SERVERS), session);
    if (answer.kind === "addresses") {
      const { addresses, server } = answer;
      return { addresses, words: [`${server} answers for ${candidate}: ${addresses.join(", ")}`] };
    }
    words.push(`${candidate}: ${answer.why}`);
    if (answer.kind === "silent") break; // each further name would wait as long
  }
  return { addresses: [], words: [`it does not resolve: ${words.join("; ")}`] };
}

/** hosts(5): an address, then names; "#" begins a comment. */
export function addressesInHosts(hosts: string, name: string): string[] {
  const found = hosts.split("\n").flatMap((line) => {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    const isIt = names.some((each) => each.toLowerCase().replace(/\.$/, "") === name);
    return isIt && isIP(address) !== 0 ? [address] : [];
  });
  return [...new Set(found)];
}

export function ndotsOf(resolvConf: string): number {
  const found = [...resolvConf.matchAll(/^options\b.*?\bndots:(\d{1,2})\b/gm)].at(-1)?.[1];
  return Math.min(Number(found ?? 1), 15);
}

/** In the order in which resolv.conf(5) has them asked. */
export function candidates(name: string, search: readonly string[], ndots: number): string[] {
  const dots = name.split(".").length - 1;
  const below = search.slice(0, MAX_SEARCH).map((domain) => `${name}.${domain}`);
  return dots >= ndots ? [name, ...below] : [...below, name];
}

type Answer =
  | { readonly kind: "addresses"; readonly addresses: readonly string[]; readonly server: string }
  | { readonly kind: "none" | "silent"; readonly why: string };

async function askServers(
  name: string,
  servers: readonly string[],
  session: Pick<Session, "openUdp">,
): Promise<Answer> {
  let why = "there is no name server";
  for (const server of servers) {
    const answers = await Promise.all(
      Object.values(TYPES).map((type) => askServer(name, type, server, session)),
    );
    const heard = answers.filter((each) => each !== undefined);
    const addresses = [...new Set(heard.flatMap((each) => each.addresses))];
    if (addresses.length > 0) return { kind: "addresses", addresses, server };
    const [first] = heard;
    if (first !== undefined)
      return { kind: "none", why: `${server} says ${RCODES[first.rcode] ?? "it has no address"}` };
    why = `${server} does not answer`;
  }
  return { kind: "silent", why };
}

interface Heard extends DnsQuestion {
  readonly addresses: readonly string[];
}

async function askServer(
  name: string,
  type: number,
  server: string,
  session: Pick<Session, "openUdp">,
): Promise<Heard | undefined> {
  const id = randomInt(0x1_0000);
  let timer: NodeJS.Timeout | undefined;
  try {
    const channel = session.openUdp(server, DNS_PORT);
    try {
      return await new Promise<Heard | undefined>((resolve) => {
        timer = setTimeout(() => resolve(undefined), ANSWER_MS);
        channel.opened.catch(() => resolve(undefined));
        channel.onReset = () => resolve(undefined);
        channel.onDatagram = (message) => {
          const question = questionIn(message);
          if (question?.id !== id || !question.isAnswer) return;
          resolve({ ...question, addresses: addressesIn(message).map(({ address }) => address) });
        };
        channel.datagram(query(id, name, type));
      });
    } finally {
      channel.reset("ECONNRESET");
    }
  } catch {
    return undefined; // no tunnel, or a server that is none
  } finally {
    clearTimeout(timer);
  }
}

/** RFC 1035, 4.1: one question, recursion desired. */
export function query(id: number, name: string, type: number): Buffer {
  const labels = name.split(".").map((label) => Buffer.from(label, "latin1"));
  const head = Buffer.from([id >> 8, id & 0xff, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
  const question = labels.flatMap((label) => [Buffer.from([label.length & 63]), label]);
  return Buffer.concat([head, ...question, Buffer.from([0, 0, type, 0, 1])]);
}

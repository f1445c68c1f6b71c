/** Names as the target resolves them: an agent's end that the test writes plays its name servers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { TunnelFailure } from "@inpod/tunnel";
import { questionIn, TYPE } from "../src/names/message.ts";
import { TargetNames } from "../src/names/target-names.ts";
import { begun, errnoOf, type TestAgent } from "./support.ts";

const RESOLV_CONF = "search shop.svc svc\nnameserver 10.0.0.53\noptions ndots:5\n";

interface Answer {
  readonly rcode?: number;
  readonly addresses?: readonly string[];
  readonly isTruncated?: boolean;
  readonly ttl?: number;
}

/** What a name server says to a question. */
function reply(message: Uint8Array, { rcode = 0, addresses = [], isTruncated, ttl = 5 }: Answer) {
  const head = Buffer.from(message);
  head.writeUInt16BE(0x8180 | rcode | (isTruncated ? 0x0200 : 0), 2);
  head.writeUInt16BE(addresses.length, 6);
  const records = addresses.map((address) => {
    const bytes = address.includes(":")
      ? Buffer.from(address.replaceAll(":", ""), "hex")
      : Buffer.from(address.split(".").map(Number));
    const record = Buffer.alloc(12);
    record.writeUInt16BE(0xc00c, 0);
    record.writeUInt16BE(address.includes(":") ? TYPE.aaaa : TYPE.a, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(ttl, 6);
    record.writeUInt16BE(bytes.length, 10);
    return Buffer.concat([record, bytes]);
  });
  return Buffer.concat([head, ...records]);
}

type Zone = (
  name: string,
  type: number,
  asked: { server: string; by: string },
) => Answer | undefined;

/** Questions so far: "udp 10.0.0.53 api.shop.svc A". */
function serve(agent: TestAgent, zone: Zone): string[] {
  const asked: string[] = [];
  const answer = (message: Uint8Array, by: string, server: string): Buffer | undefined => {
    const question = questionIn(message);
    assert.ok(question);
    const { name, type } = question;
    asked.push(`${by} ${server} ${name} ${type === TYPE.a ? "A" : "AAAA"}`);
    const found = zone(name, type, { server, by });
    return found && reply(message, found);
  };
  agent.onStream = (channel) => {
    const { header } = channel;
    if (header.kind !== "udp" && header.kind !== "tcp") return channel.reset("EINVAL");
    const end = { address: header.host, port: header.port };
    channel.accept({ kind: header.kind, local: { address: "10.1.1.1", port: 1 }, peer: end });
    channel.onDatagram = (message) => {
      const said = answer(message, "udp", header.host);
      if (said) channel.datagram(said);
    };
    channel.onData = (bytes) => {
      channel.consumed(bytes.length);
      const said = answer(bytes.subarray(2), "tcp", header.host);
      if (!said) return;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(said.length);
      // In two parts, as streams come.
      channel.write(Buffer.concat([length, said.subarray(0, 5)]));
      channel.write(said.subarray(5));
    };
  };
  return asked;
}

async function names(
  t: Parameters<typeof begun>[0],
  zone: Zone,
  files: Readonly<Record<string, string>> = {},
  now?: () => number,
  answerMs?: number,
) {
  const { agent, session } = await begun(t);
  const asked = serve(agent, zone);
  const all: Readonly<Record<string, string>> = { "/etc/resolv.conf": RESOLV_CONF, ...files };
  const reads: string[] = [];
  const target = new TargetNames(
    {
      readFile: async (path) => {
        reads.push(path);
        const content = all[path];
        if (content === undefined) throw new TunnelFailure("ENOENT", "none");
        return content;
      },
      openUdp: (host, port) => session.openUdp(host, port),
      connectTcp: (host, port) => session.connectTcp(host, port),
      ...(answerMs === undefined ? {} : { answerMs }),
    },
    now,
  );
  return { target, asked, reads };
}

const only =
  (wanted: string, addresses: readonly string[]): Zone =>
  (name, type) =>
    name !== wanted
      ? { rcode: 3 }
      : { addresses: addresses.filter((each) => each.includes(":") === (type === TYPE.aaaa)) };

test("a short name is looked for by the target's search domains, both families at once", async (t) => {
  const { target, asked } = await names(
    t,
    only("api.svc", ["10.0.0.7", "20010db8000000000000000000000001:"]),
  );
  assert.deepEqual(await target.lookup("API"), ["10.0.0.7", "2001:db8:0:0:0:0:0:1"]);
  assert.deepEqual(
    asked.map((line) => line.replace("udp 10.0.0.53 ", "")),
    ["api.shop.svc A", "api.shop.svc AAAA", "api.svc A", "api.svc AAAA"],
  );
});

test("a final dot, the target's /etc/hosts and localhost ask nobody more than they must", async (t) => {
  const { target, asked } = await names(t, only("api", ["10.0.0.7"]), {
    "/etc/hosts": "10.9.9.9 db.internal db\n",
  });
  assert.deepEqual(await target.lookup("db"), ["10.9.9.9"]);
  assert.deepEqual(await target.lookup("localhost"), ["127.0.0.1", "::1"]);
  assert.deepEqual(asked, []);
  assert.deepEqual(await target.lookup("api."), ["10.0.0.7"]);
  assert.deepEqual(asked, ["udp 10.0.0.53 api A", "udp 10.0.0.53 api AAAA"]);
});

test("what is too long for a datagram is asked for over TCP", async (t) => {
  const many = Array.from({ length: 50 }, (_, at) => `10.0.1.${at + 1}`);
  const { target, asked } = await names(t, (_, type, { by }) =>
    type !== TYPE.a
      ? {}
      : by === "tcp"
        ? { addresses: many }
        : { addresses: many.slice(0, 2), isTruncated: true },
  );
  assert.deepEqual(await target.lookup("large.example."), many);
  assert.equal(asked.at(-1), "tcp 10.0.0.53 large.example A");
});

test("a server that leaves one family out in silence, or says nothing at all, holds nobody up for long", async (t) => {
  const { target } = await names(
    t,
    (_, type, { server }) =>
      server === "10.0.0.1" || type === TYPE.aaaa ? undefined : { addresses: ["10.0.0.7"] },
    { "/etc/resolv.conf": "nameserver 10.0.0.1\nnameserver 10.0.0.2\n" },
    undefined,
    300,
  );
  assert.deepEqual(await target.lookup("api"), ["10.0.0.7"]);
});

test("a name that nobody knows is ENOENT, one about which nobody answers EAGAIN, both with what was asked", async (t) => {
  const { target } = await names(
    t,
    (name) => (name.endsWith("silent") ? undefined : { rcode: name === "b.shop.svc" ? 2 : 3 }),
    {},
    undefined,
    300,
  );
  assert.equal(await errnoOf(target.lookup("a.")), "ENOENT");
  await assert.rejects(
    target.lookup("b"),
    /b\.shop\.svc: 10\.0\.0\.53 says SERVFAIL; b\.svc: .*NXDOMAIN/,
  );
  await assert.rejects(target.lookup("..".repeat(9)), /no name that DNS can have/);
  assert.equal(await errnoOf(target.lookup("silent.")), "EAGAIN");
});

test("an answer counts for its TTL, half a minute at most; who asks at once shares one question", async (t) => {
  let now = 0;
  let address = "10.0.0.7";
  const { target, asked, reads } = await names(
    t,
    (name, type) =>
      type === TYPE.a ? { addresses: [address], ttl: name === "long" ? 600 : 5 } : {},
    {},
    () => now,
  );
  const [one, other] = await Promise.all([target.lookup("api."), target.lookup("api.")]);
  assert.deepEqual([one, other, asked.length], [["10.0.0.7"], ["10.0.0.7"], 2]);
  await target.lookup("long.");
  address = "10.0.0.8";
  now = 4_999;
  assert.deepEqual(await target.lookup("api."), ["10.0.0.7"]);
  now = 5_001;
  assert.deepEqual(await target.lookup("api."), ["10.0.0.8"]);
  now = 29_000;
  assert.deepEqual(await target.lookup("long."), ["10.0.0.7"]);
  now = 31_000;
  assert.deepEqual(await target.lookup("long."), ["10.0.0.8"]);
  assert.equal(reads.length, 4, "the files are read anew after half a minute");
  target.forget();
  address = "10.0.0.9";
  assert.deepEqual(await target.lookup("api."), ["10.0.0.9"]);
});

/** Whatever address the pod's server listens on: taken, filtered and passed on, and copied. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { connectTunnel, rawFromPublicKey, type Tunnel } from "@inpod/tunnel";
import { Place, POD, STRANGER } from "./support/outside.ts";
import { Agent, skipUnless, type Who } from "./support/pod.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const ARGS = [
  ...["--public-key", rawFromPublicKey(publicKey), "--idle-timeout-ms", "20000"],
  ...["--communication-timeout-ms", "20000"],
];

/** From where it is asked: of an address that only loopback has, outsiders know nothing. */
interface Listener {
  readonly port: number;
  readonly host: string;
  readonly isV6Only?: boolean;
  readonly outside: readonly string[];
  readonly inside: readonly string[];
}
const LISTENERS: readonly Listener[] = [
  { port: 8101, host: "0.0.0.0", outside: [POD.v4], inside: ["127.0.0.1", POD.v4] },
  { port: 8102, host: "::", outside: [POD.v4, POD.v6], inside: ["127.0.0.1", "::1", POD.v6] },
  { port: 8103, host: "::", isV6Only: true, outside: [POD.v6], inside: ["::1", POD.v6] },
  { port: 8104, host: POD.v4, outside: [POD.v4], inside: [POD.v4] },
  { port: 8105, host: POD.v6, outside: [POD.v6], inside: [POD.v6] },
  { port: 8106, host: "127.0.0.1", outside: [], inside: ["127.0.0.1"] },
  { port: 8107, host: "::1", outside: [], inside: ["::1"] },
];

const SERVERS = `const all=${JSON.stringify(LISTENERS)};let left=all.length;for(const {port,host,isV6Only} of all)
  require("http").createServer((q,a)=>a.end("pod "+q.socket.remoteAddress.replace("::ffff:","")))
  .listen({port,host,ipv6Only:!!isV6Only},()=>--left||console.log("ready"))`;

const request = (user: string): string =>
  `GET / HTTP/1.1\r\nHost: a\r\nX-User: ${user}\r\nConnection: close\r\n\r\n`;

/** How each stream's client is known to the session, and what came. */
interface Developer {
  readonly tunnel: Tunnel;
  readonly came: { client: string; local: string; bytes: string }[];
}

async function developer(agent: Agent): Promise<Developer> {
  const came: Developer["came"] = [];
  const tunnel = await connectTunnel(agent.dial(), {
    sessionId: "me",
    privateKey,
    build: "test",
    handlers: {
      onStream: (channel) => {
        const { header } = channel;
        if (header.kind !== "incoming") return channel.reset("EINVAL");
        const one = { client: header.client.address, local: header.local.address, bytes: "" };
        came.push(one);
        channel.onData = (bytes) => {
          one.bytes += Buffer.from(bytes).toString("latin1");
          channel.consumed(bytes.length);
          if (!one.bytes.endsWith("\r\n\r\n")) return;
          const body = `me ${header.client.address}`;
          const head = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n`;
          channel.write(Buffer.from(`${head}Connection: close\r\n\r\n${body}`));
          channel.end();
        };
        channel.accept({ kind: "incoming" });
      },
    },
  });
  return { tunnel, came };
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`not within 60 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The last line of what a server answers. */
async function ask(
  place: Place,
  from: "outside" | "inside",
  host: string,
  port: number,
  user: string,
) {
  const talker = await (from === "outside" ? place.talk(port, host) : place.talkInside(port, host));
  try {
    talker.say(request(user));
    let answer = "";
    for (;;) {
      const more = await talker.next();
      if (more === "end") return answer.split("\r\n").at(-1);
      answer += more;
      if (/^E[A-Z]+$/.test(more)) return more;
    }
  } finally {
    talker.close();
  }
}

const ASKED = LISTENERS.flatMap(({ port, outside, inside }) => [
  ...outside.map((host) => ({ port, host, from: "outside" as const })),
  ...inside.map((host) => ({ port, host, from: "inside" as const })),
]);
const nameOf = ({ port, host, from }: (typeof ASKED)[number]): string =>
  `${from} to ${host} at ${LISTENERS.find((each) => each.port === port)?.host} (${port})`;
/** Whom a server sees that is asked directly. */
const clientOf = ({ host, from }: (typeof ASKED)[number]): string =>
  from === "inside" ? host : host === POD.v4 ? STRANGER.v4 : STRANGER.v6;

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 240_000, skip: skipUnless(who) };

  async function setUp(t: { after(run: () => unknown): void }) {
    const place = await Place.start(who, SERVERS);
    t.after(() => place.stop());
    const agent = await Agent.serve(who, place.pod, ARGS);
    t.after(() => agent.stop());
    return { place, ...(await developer(agent)) };
  }

  test(`${who}: wherever the pod's server listens, its port is taken whole`, options, async (t) => {
    const { place, tunnel } = await setUp(t);
    for (const each of ASKED)
      assert.equal(await ask(place, each.from, each.host, each.port, "x"), `pod ${clientOf(each)}`);
    for (const { port } of LISTENERS) await tunnel.call("incoming.steal", { port, flush: true });
    for (const each of ASKED) {
      const answer = await ask(place, each.from, each.host, each.port, "x");
      assert.match(answer ?? "", /^me /, nameOf(each));
    }
    for (const { port } of LISTENERS) await tunnel.call("incoming.release", { port });
    for (const each of ASKED)
      assert.equal(await ask(place, each.from, each.host, each.port, "x"), `pod ${clientOf(each)}`);
  });

  test(
    `${who}: wherever the pod's server listens, what a filter leaves reaches it`,
    options,
    async (t) => {
      const { place, tunnel } = await setUp(t);
      const filter = { header: "^x-user: me$" };
      for (const { port } of LISTENERS) await tunnel.call("incoming.steal", { port, filter });
      for (const each of ASKED) {
        const mine = await ask(place, each.from, each.host, each.port, "me");
        assert.match(mine ?? "", /^me /, nameOf(each));
        const others = await ask(place, each.from, each.host, each.port, "other");
        assert.equal(others, `pod ${clientOf(each)}`, nameOf(each));
      }
      // From outside, too, who listens on loopback alone is reached from there.
      for (const [port, host, loopback] of [
        [8106, POD.v4, "127.0.0.1"],
        [8107, POD.v6, "::1"],
      ] as const)
        assert.equal(await ask(place, "outside", host, port, "other"), `pod ${loopback}`);
    },
  );

  test(
    `${who}: wherever the pod's server listens, its clients are copied, each once`,
    options,
    async (t) => {
      const { place, tunnel, came } = await setUp(t);
      for (const { port } of LISTENERS) await tunnel.call("incoming.mirror", { port });
      for (const each of ASKED) {
        const user = `u${came.length}`;
        const answer = await ask(place, each.from, each.host, each.port, user);
        assert.equal(answer, `pod ${clientOf(each)}`);
        await until(nameOf(each), () => came.some(({ bytes }) => bytes === request(user)));
        const { client, local } = came.find(({ bytes }) => bytes === request(user)) ?? {};
        assert.deepEqual([client, local], [clientOf(each), each.host], nameOf(each));
      }
      assert.equal(came.length, ASKED.length);
    },
  );
}

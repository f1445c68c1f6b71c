/** Filters on connections of HTTP/2: each stream on its way to the pod or to a developer, and back. */
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import type { Http2Server } from "node:http2";
import { createRequire } from "node:module";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { connectTunnel, duplexOf, rawFromPublicKey, type Tunnel } from "@inpod/tunnel";
import { Http2Talk } from "./support/http2-talk.ts";
import { Place, POD, STRANGER } from "./support/outside.ts";
import { Agent, skipUnless, type Who } from "./support/pod.ts";

const SERVER = fileURLToPath(new URL("support/http2-server.cjs", import.meta.url));
const { http2Server } = createRequire(import.meta.url)(SERVER) as {
  http2Server(name: string): Http2Server;
};
const PORT = 8081;
const SERVERS = `require("${SERVER}").http2Server("pod").listen(${PORT},"::",()=>console.log("ready"))`;

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const ARGS = ["--public-key", rawFromPublicKey(publicKey)];
for (const name of ["idle", "resume", "communication"]) ARGS.push(`--${name}-timeout-ms`, "20000");

interface Session {
  readonly tunnel: Tunnel;
  /** How many streams came. */
  readonly streams: { count: number };
}

async function session(agent: Agent, id: string): Promise<Session> {
  const streams = { count: 0 };
  const server = http2Server(id);
  const tunnel = await connectTunnel(agent.dial(), {
    sessionId: id,
    privateKey,
    build: "test",
    handlers: {
      onStream: (channel) => {
        streams.count++;
        const { header } = channel;
        channel.accept({ kind: "incoming" });
        server.once("session", (accepted) => {
          if (header.kind === "incoming") Object.assign(accepted, { peer: header.client.address });
        });
        server.emit("connection", duplexOf(channel));
      },
    },
  });
  return { tunnel, streams };
}

interface Scene {
  readonly place: Place;
  readonly agent: Agent;
  readonly me: Session;
  talk(host?: string): Http2Talk;
}

/** A developer "me" has the streams with `x-user: me`. */
async function scene(
  who: Who,
  t: TestContext,
  filter: Readonly<Record<string, unknown>> = BY_USER,
): Promise<Scene> {
  const place = await Place.start(who, SERVERS);
  t.after(() => place.stop());
  const agent = await Agent.serve(who, place.pod, ARGS);
  t.after(() => agent.stop());
  const me = await session(agent, "me");
  await me.tunnel.call("incoming.steal", { port: PORT, filter });
  const talk = (host: string = POD.v4): Http2Talk => {
    const inside = (words: string[]): string[] => place.pod.inside(words, place.outside);
    const client = new Http2Talk(inside, host, PORT);
    t.after(() => client.close());
    return client;
  };
  return { place, agent, me, talk };
}

const BY_USER = { header: "^x-user: me$" };
const ME = { "x-user": "me" };
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Of the first GOAWAY among these frames. */
function goawayCode(frames: string): number | undefined {
  const bytes = Buffer.from(frames, "latin1");
  for (let at = 0; at + 17 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
    if (bytes[at + 3] === 7) return bytes.readUInt32BE(at + 13);
  }
  return undefined;
}

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 240_000, skip: skipUnless(who) };

  test(`${who}: the streams of one connection go to different places`, options, async (t) => {
    const { me, talk } = await scene(who, t);
    const client = talk();
    const asked = Array.from({ length: 40 }, (_, at) =>
      client.ask({ headers: { ":path": `/${at}`, ...(at % 2 === 0 ? ME : {}) } }),
    );
    for (const [at, { text, status }] of (await Promise.all(asked)).entries()) {
      assert.equal(status, 200);
      assert.equal(text, `${at % 2 === 0 ? "me" : "pod"} ${STRANGER.v4} 1 GET /${at} `);
    }
    assert.equal(me.streams.count, 1);
    // It is the pod's, which may come after the first answer of somebody else.
    await client.until("extended CONNECT", (told) => told.enableConnectProtocol === true);
    const six = talk(POD.v6);
    assert.match((await six.ask({})).text ?? "", new RegExp(`^pod ${STRANGER.v6} \\d+ GET / $`));
    assert.equal((await six.ask({ headers: ME })).text, `me ${STRANGER.v6} 2 GET / `);
  });

  test(
    `${who}: trailers, 1xx, repeated and secret fields, bodies, HEAD and resets pass, alike on both ways`,
    options,
    async (t) => {
      const { talk } = await scene(who, t);
      const client = talk();
      for (const [name, user] of [
        ["pod", {}],
        ["me", ME],
      ] as const) {
        const trailed = await client.ask({
          headers: { ":path": "/trailers", ":method": "POST", te: "trailers", ...user },
          body: "x",
          trailers: { "x-sum": "7" },
        });
        assert.deepEqual([trailed.info, trailed.status, trailed.text], [[103], 200, name]);
        assert.equal(trailed.trailers?.["x-sum"], "7");
        const cookies = trailed.raw?.filter((text) => /^[ab]=/.test(text));
        assert.deepEqual(cookies, ["a=1", "b=2"]);
        const raw = await client.ask({
          headers: { ":path": "/raw", z: "1", "x-a": ["1", "2"], authorization: "secret", ...user },
          secret: ["authorization"],
        });
        const seen = JSON.parse(raw.text ?? "") as { raw: string[]; secret: string[] };
        assert.deepEqual(seen.secret, ["authorization"]);
        const own = Object.entries({ z: "1", ...user }).flat();
        const regular = seen.raw.slice(seen.raw.indexOf("z"));
        assert.deepEqual(regular.slice(0, 8), [
          "z",
          "1",
          "x-a",
          "1",
          "x-a",
          "2",
          "authorization",
          "secret",
        ]);
        assert.deepEqual(regular.slice(8), own.slice(2));
        const size = 3_000_000;
        const sent = await client.ask({
          headers: { ":path": "/digest", ":method": "POST", ...user },
          size,
        });
        assert.equal(sent.text, sha256(Buffer.alloc(size, "x")));
        const got = await client.ask({ headers: { ":path": `/bytes?${size}`, ...user } });
        assert.deepEqual([got.length, got.hash], [size, sha256(Buffer.alloc(size, "b"))]);
        const head = await client.ask({ headers: { ":method": "HEAD", ...user } });
        assert.deepEqual([head.status, head.length], [204, 0]);
        const reset = await client.ask({ headers: { ":path": "/reset", ...user } });
        assert.deepEqual([reset.status, reset.code], [undefined, 11]);
        const hanging = client.begin({ headers: { ":path": "/hangs", ...user }, isOpen: true });
        await client.until("its answer", ({ event, id }) => event === "data" && id === hanging);
        client.act("cancel", hanging, { code: 8 });
        await client.done(hanging);
        assert.equal((await client.ask({ headers: { ":path": "/last-code", ...user } })).text, "8");
      }
    },
  );

  test(`${who}: streams in both directions, also for extended CONNECT`, options, async (t) => {
    const { talk } = await scene(who, t);
    const client = talk();
    await client.until("extended CONNECT", (told) => told.enableConnectProtocol === true);
    for (const [path, said] of [
      ["/echo", "one"],
      ["/socket", "websocket one"],
    ] as const) {
      for (const user of [{}, ME]) {
        const connect = { ":method": "CONNECT", ":protocol": "websocket" };
        const method = path === "/socket" ? connect : { ":method": "POST" };
        const id = client.begin({ headers: { ...method, ":path": path, ...user }, isOpen: true });
        await client.until("the response", (told) => told.event === "response" && told.id === id);
        client.act("write", id, { text: "one" });
        await client.until(said, (told) => told.id === id && told.text === said);
        client.act("end", id);
        if (path === "/echo") assert.equal((await client.done(id)).text, "one");
      }
    }
  });

  test(
    `${who}: who comes or goes while a connection is open gets, or loses, its next stream`,
    options,
    async (t) => {
      const { me, talk, agent } = await scene(who, t);
      await me.tunnel.call("session.admit", {
        sessionId: "bob",
        publicKey: rawFromPublicKey(publicKey),
        owner: "bob",
      });
      const client = talk();
      const whose = async (name: string): Promise<string | undefined> =>
        (await client.ask({ headers: { "x-user": name } })).text?.split(" ")[0];
      assert.deepEqual([await whose("me"), await whose("bob")], ["me", "pod"]);
      const bob = await session(agent, "bob");
      await bob.tunnel.call("incoming.steal", { port: PORT, filter: { header: "^x-user: bob$" } });
      assert.deepEqual([await whose("me"), await whose("bob")], ["me", "bob"]);
      const held = client.begin({ headers: { ":path": "/hangs", ...ME }, isOpen: true });
      const kept = client.begin({ headers: { ":path": "/hangs" }, isOpen: true });
      for (const id of [held, kept]) {
        await client.until("its answer", (told) => told.event === "data" && told.id === id);
      }
      // Its streams are broken off, and only its.
      await me.tunnel.call("end", {});
      assert.equal((await client.done(held)).code, 2);
      assert.deepEqual([await whose("me"), await whose("bob")], ["pod", "bob"]);
      assert.equal(
        client.told.some(({ event, id }) => event === "done" && id === kept),
        false,
      );
    },
  );

  test(
    `${who}: when stealing ends the client is told, and what is open goes on`,
    options,
    async (t) => {
      const { me, talk } = await scene(who, t);
      const client = talk();
      const ids = [{}, ME].map((user) =>
        client.begin({ headers: { ":path": "/echo", ":method": "POST", ...user }, isOpen: true }),
      );
      for (const id of ids) {
        await client.until("the response", (told) => told.event === "response" && told.id === id);
      }
      await me.tunnel.call("incoming.release", { port: PORT });
      const { code } = await client.until("GOAWAY", ({ event }) => event === "goaway");
      assert.equal(code, 0);
      for (const id of ids) {
        client.act("write", id, { text: "still" });
        await client.until("an echo", (told) => told.id === id && told.text === "still");
        client.act("end", id);
        const { text, code: end } = await client.done(id);
        assert.deepEqual([text, end], ["still", 0]);
      }
      await client.until("the end", ({ event }) => event === "close");
      assert.match((await talk().ask({ headers: ME })).text ?? "", /^pod /);
    },
  );

  test(`${who}: a body decides`, options, async (t) => {
    const { talk } = await scene(who, t, {
      body: { body: "json", query: "$.user", exact: "me" },
    });
    const client = talk();
    for (const [body, whose] of [
      ['{"user":"me"}', "me"],
      ['{"user":"you"}', "pod"],
      ["{", "pod"],
    ] as const) {
      const { text } = await client.ask({ headers: { ":method": "POST" }, body });
      assert.match(text ?? "", new RegExp(`^${whose} .* POST / \\${body[0]}`));
      assert.ok(text?.endsWith(body));
    }
    assert.match((await client.ask({})).text ?? "", /^pod /);
    // Without its end it matches nothing after a second or two, also where each part of it came in time.
    const late = client.begin({
      headers: { ":path": "/hangs", ":method": "POST" },
      isOpen: true,
    });
    client.act("write", late, { text: '{"user":' });
    await client.until("pod", (told) => told.id === late && told.text === "pod");
    const long = await client.ask({
      headers: { ":path": "/digest", ":method": "POST" },
      size: 200_000,
    });
    assert.equal(long.raw?.[long.raw.indexOf("x-name") + 1], "pod");
  });

  test(`${who}: a reader that stops stops its sender, and nobody else`, options, async (t) => {
    const { agent, talk } = await scene(who, t);
    const client = talk();
    // node:http2's client takes 64 KiB of a stream that is not read.
    const paused = client.begin({ headers: { ":path": "/bytes?300000000" }, isPaused: true });
    await client.until("the response", (told) => told.event === "response" && told.id === paused);
    const poured = client.begin({
      headers: { ":path": "/hangs", ":method": "POST" },
      isOpen: true,
    });
    client.act("pour", poured, { size: 300_000_000 });
    for (let each = 0; each < 20; each++) {
      assert.match((await client.ask({})).text ?? "", /^pod /);
      assert.match((await client.ask({ headers: ME })).text ?? "", /^me /);
    }
    const sent = client.told.flatMap((told) => (told.event === "poured" ? [told.sent ?? 0] : []));
    assert.ok(Math.max(...sent) < 4_000_000, `${Math.max(...sent)} bytes were taken`);
    const { readFileSync } = await import("node:fs");
    const status = readFileSync(`/proc/${agent.child("node")}/status`, "utf8");
    const residentKib = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
    assert.ok(residentKib < 200 * 1024, `the agent has ${residentKib} KiB`);
    client.act("resume", paused);
    assert.equal((await client.done(paused)).code, 0);
  });

  test(
    `${who}: a pod that says goodbye lets the client go, and the next connection is served`,
    options,
    async (t) => {
      const { talk } = await scene(who, t);
      const client = talk();
      const left = await client.ask({ headers: { ":path": "/leave" } });
      assert.deepEqual([left.text, left.code], ["pod", 0]);
      await client.until("GOAWAY", ({ event, code }) => event === "goaway" && code === 0);
      await client.until("the end", ({ event }) => event === "close");
      const next = talk();
      // A developer's goodbye is not the client's.
      assert.equal((await next.ask({ headers: { ":path": "/leave", ...ME } })).text, "me");
      assert.match((await next.ask({ headers: ME })).text ?? "", /^me .* 2 GET/);
      assert.match((await next.ask({})).text ?? "", /^pod /);
      assert.equal(
        next.told.some(({ event }) => event === "goaway"),
        false,
      );
    },
  );

  test(
    `${who}: bytes that nobody should send end their connection, and no other`,
    options,
    async (t) => {
      const { place, talk } = await scene(who, t);
      const client = talk();
      assert.match((await client.ask({})).text ?? "", /^pod /);
      const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
      const settings = "\0\0\0\x04\0\0\0\0\0";
      const frame = (type: number, flags: number, streamId: number, payload: string): string =>
        String.fromCharCode(
          0,
          payload.length >> 8,
          payload.length & 255,
          type,
          flags,
          0,
          0,
          0,
          streamId,
        ) + payload;
      for (const [what, bytes, code] of [
        ["a frame that is too long", "\x7f\xff\xff\0\0\0\0\0\x01", 6],
        ["fields that cannot be decoded", frame(1, 5, 1, "\xff\xff\xff\xff\xff"), 9],
        ["DATA of no stream", frame(0, 0, 0, "x"), 1],
        ["no SETTINGS first", "", 1],
        ["a window of nothing", frame(8, 0, 0, "\0\0\0\0"), 1],
        ["CONTINUATION without an end", frame(1, 0, 1, "") + frame(9, 0, 1, "").repeat(70), 11],
      ] as const) {
        const talker = await place.talk(PORT);
        talker.say(preface + (bytes === "" ? frame(6, 0, 0, "12345678") : settings + bytes));
        let said = "";
        for (let next = await talker.next(); next !== "end"; next = await talker.next())
          said += next;
        assert.equal(goawayCode(said), code, what);
        talker.close();
      }
      assert.match((await client.ask({})).text ?? "", /^pod /);
      assert.match((await client.ask({ headers: ME })).text ?? "", /^me /);
    },
  );
}

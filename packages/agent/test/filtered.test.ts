/** Filters on a real pod: who gets a request, what the pod's own server sees, and what is left. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import type { Socket } from "node:net";
import { test } from "node:test";
import { connectTunnel, duplexOf, rawFromPublicKey, type Tunnel } from "@inpod/tunnel";
import { POD as ADDRESS, Place } from "./support/outside.ts";
import { Agent, skipUnless, type Who } from "./support/pod.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const args = (...more: string[]): string[] => [
  "--public-key",
  rawFromPublicKey(publicKey),
  "--idle-timeout-ms",
  "20000",
  "--resume-timeout-ms",
  "20000",
  "--communication-timeout-ms",
  "20000",
  ...more,
];

const { v4: POD, v6: POD6 } = ADDRESS;

/**
 * Written for `node -e`: HTTP on 8081 and on 8082 of loopback only, a server that speaks first on 8083, and on 8084
 * one that resets in the middle of its answer, at the letter b. Each HTTP answer says who asked, over how many
 * connections, and what.
 */
const SERVERS = `const h=(n)=>require("http").createServer((q,a)=>{let b="";q.on("data",c=>b+=c);
  q.on("end",()=>a.end(["pod",q.socket.remoteAddress.replace("::ffff:",""),n.c,q.method,q.url,b].join(" ")))})
  .on("connection",()=>n.c++).on("upgrade",(q,s)=>{s.write("HTTP/1.1 101 x\\r\\nConnection: upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n");s.pipe(s)});
  h({c:0}).listen(8081,"::");h({c:0}).listen(8082,"127.0.0.1");
  require("net").createServer(s=>s.on("error",()=>{}).on("data",b=>/b$/.test(b)?
  Object.assign(s,{resetAndClosing:true}).destroy():s.write("HTTP/1.1 200 x\\r\\n\\r\\nhalf"))).listen(8084,"::");
  require("net").createServer(s=>{s.on("error",()=>{});s.write("220 hello\\r\\n");s.on("data",b=>s.write("echo "+b))})
  .listen(8083,"::",()=>console.log("ready"))`;

/**
 * Written for `node -e`: sends each argument after the fourth when what was answered contains the one before it
 * (`""` for nothing); prints all that is answered before the end, or after the last expectation.
 */
const CLIENT = `const [,host,port,...steps]=process.argv;const s=require("net").connect({host,port:+port});
  let got="",seen=0;const next=()=>{while(steps.length&&got.slice(seen).includes(steps[0])){
  seen=got.length;steps.shift();if(!steps.length){console.log(JSON.stringify(got));process.exit()}
  s.write(steps.shift())}};s.setEncoding("latin1");s.on("connect",next);s.on("data",b=>{got+=b;next()});
  s.on("error",e=>{console.log(JSON.stringify(e.code+" "+got));process.exit()});s.on("end",()=>{console.log(JSON.stringify(got+"<end>"));process.exit()})`;

interface Session {
  readonly tunnel: Tunnel;
  /** How many streams came. */
  readonly streams: { count: number };
}

/** A developer whose program is a server of node:http that answers with `name` and the peer it is told. */
async function session(agent: Agent, id: string): Promise<Session> {
  const streams = { count: 0 };
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("latin1").on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      const peer = (request.socket as Socket & { peer?: string }).peer;
      response.end(`${id} ${peer} ${request.method} ${request.url} ${body}`);
    });
  });
  server.on("upgrade", (_, socket) => {
    socket.write("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    socket.pipe(socket);
  });
  const tunnel = await connectTunnel(agent.dial(), {
    sessionId: id,
    privateKey,
    build: "test",
    handlers: {
      onStream: (channel) => {
        streams.count++;
        const duplex = duplexOf(channel);
        if (channel.header.kind === "incoming") {
          Object.assign(duplex, { peer: channel.header.client.address });
        }
        channel.accept({ kind: "incoming" });
        server.emit("connection", duplex);
      },
    },
  });
  return { tunnel, streams };
}

const get = (path: string, user?: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\n${user === undefined ? "" : `X-User: ${user}\r\n`}\r\n`;
const user = (name: string) => ({ header: `^x-user: ${name}$` });

/** What a client outside is answered: see CLIENT. */
async function talk(
  { pod, outside }: Place,
  host: string,
  port: number,
  ...steps: string[]
): Promise<string> {
  const client = [process.execPath, "-e", CLIENT, host, String(port), ...steps];
  const inNamespace = ["nsenter", "--net", "--target", String(outside), ...client];
  return JSON.parse(await pod.output(...inNamespace)) as string;
}

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 240_000, skip: skipUnless(who) };

  test(
    `${who}: each request goes to who wants it, the others to the pod, which sees the true client`,
    options,
    async (t) => {
      const place = await Place.start(who, SERVERS);
      const { pod } = place;
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, args());
      t.after(() => agent.stop());
      const me = await session(agent, "me");
      await me.tunnel.call("incoming.steal", { port: 8081, filter: user("me") });
      const answer = await talk(
        place,
        POD,
        8081,
        "",
        get("/1"),
        "pod",
        get("/2", "me"),
        "me",
        get("/3"),
        "/3",
        get("/4", "me"),
        "/4",
      );
      assert.match(answer, /pod 198\.18\.7\.9 1 GET \/1 /);
      assert.match(answer, /me 198\.18\.7\.9 GET \/2 /);
      assert.match(answer, /pod 198\.18\.7\.9 1 GET \/3 /, "over the same connection");
      assert.match(answer, /me 198\.18\.7\.9 GET \/4 /);
      assert.equal(me.streams.count, 1);
      // Pipelined, in order.
      const piped = await talk(
        place,
        POD,
        8081,
        "",
        get("/a", "me") + get("/b") + get("/c", "me"),
        "/c",
      );
      assert.deepEqual(piped.match(/GET \/[abc]/g), ["GET /a", "GET /b", "GET /c"]);
      const six = await talk(place, POD6, 8081, "", get("/1"), "/1");
      assert.match(six, /pod 2001:db8:7::9 \d+ GET \/1/);
      // Nothing of a passed connection stays.
      assert.doesNotMatch(pod.run("nft", "list", "ruleset"), /elements = \{ \d+ \. 8081/);
    },
  );

  test(
    `${who}: disjoint filters live side by side, a conflict names its holder, and whoever ends leaves the others`,
    options,
    async (t) => {
      const place = await Place.start(who, SERVERS);
      const { pod } = place;
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, args());
      t.after(() => agent.stop());
      const ann = await session(agent, "ann");
      await ann.tunnel.call("session.admit", {
        sessionId: "bob",
        publicKey: rawFromPublicKey(publicKey),
        owner: "bob",
      });
      await ann.tunnel.call("session.admit", {
        sessionId: "eve",
        publicKey: rawFromPublicKey(publicKey),
        owner: "eve",
      });
      const [bob, eve] = [await session(agent, "bob"), await session(agent, "eve")];
      await ann.tunnel.call("incoming.steal", { port: 8081, filter: user("ann") });
      await bob.tunnel.call("incoming.steal", { port: 8081, filter: user("bob") });
      await assert.rejects(
        eve.tunnel.call("incoming.steal", { port: 8081, filter: { header: "^x-user: a" } }),
        (error: Error & { errno?: string }) => {
          assert.equal(error.errno, "EADDRINUSE");
          assert.match(
            error.message,
            /8081 .* since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: header x-user = ann/,
          );
          return true;
        },
      );
      await assert.rejects(
        eve.tunnel.call("incoming.steal", { port: 8081, filter: { header: "(" } }),
        { errno: "EINVAL" },
      );
      const whose = async (name?: string): Promise<string | undefined> =>
        /\b(pod|ann|bob|eve) /.exec(await talk(place, POD, 8081, "", get("/", name), "GET"))?.[1];
      assert.deepEqual(
        [await whose("ann"), await whose("bob"), await whose()],
        ["ann", "bob", "pod"],
      );
      // Without a filter: everything that nobody else wants.
      await eve.tunnel.call("incoming.steal", { port: 8081 });
      assert.deepEqual(
        [await whose("ann"), await whose("bob"), await whose()],
        ["ann", "bob", "eve"],
      );
      await ann.tunnel.call("pause", {});
      assert.deepEqual(
        [await whose("ann"), await whose("bob"), await whose()],
        ["eve", "bob", "eve"],
      );
      await ann.tunnel.call("resume", {});
      assert.equal(await whose("ann"), "ann");
      await eve.tunnel.call("incoming.release", { port: 8081 });
      assert.deepEqual(
        [await whose("ann"), await whose("bob"), await whose()],
        ["ann", "bob", "pod"],
      );
      await bob.tunnel.call("end", {});
      assert.deepEqual(
        [await whose("ann"), await whose("bob"), await whose()],
        ["ann", "pod", "pod"],
      );
      // Another filter takes the place of the one before.
      await ann.tunnel.call("incoming.steal", { port: 8081, filter: user("bob") });
      assert.deepEqual(
        [await whose("ann"), await whose("bob"), await whose()],
        ["pod", "ann", "pod"],
      );
      await ann.tunnel.call("incoming.release", { port: 8081 });
      assert.deepEqual(
        [await whose("ann"), await whose("bob"), await whose()],
        ["pod", "pod", "pod"],
      );
    },
  );

  test(
    `${who}: what is not HTTP/1, or cannot be read, is the pod's at once and as it came`,
    options,
    async (t) => {
      const place = await Place.start(who, SERVERS);
      const { pod } = place;
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, args());
      t.after(() => agent.stop());
      const { tunnel, streams } = await session(agent, "me");
      for (const port of [8081, 8082, 8083]) {
        await tunnel.call("incoming.steal", { port, filter: user("me") });
      }
      assert.equal(
        await talk(place, POD, 8083, "220 hello\r\n", "HELO x\r\n", "HELO x\r\n"),
        "220 hello\r\necho HELO x\r\n",
      );
      assert.equal(
        await talk(place, POD, 8083, "", "\x02\x01", "\x01"),
        "220 hello\r\necho \x02\x01",
      );
      const bad =
        "GET / HTTP/1.1\r\nX-User: me\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
      assert.match(await talk(place, POD, 8081, "", bad, "400"), /^HTTP\/1\.1 400 /);
      assert.equal(streams.count, 0);
      // A server on loopback only is reached from there.
      assert.match(await talk(place, POD, 8082, "", get("/"), "GET"), /pod 127\.0\.0\.1 1 GET \//);
      assert.match(await talk(place, POD, 8082, "", get("/", "me"), "GET"), /me 198\.18\.7\.9 GET/);
    },
  );

  test(`${who}: an upgrade is its destination's for good, on either side`, options, async (t) => {
    const place = await Place.start(who, SERVERS);
    const { pod } = place;
    t.after(() => pod.stop());
    const agent = await Agent.serve(who, pod, args());
    t.after(() => agent.stop());
    const { tunnel } = await session(agent, "me");
    await tunnel.call("incoming.steal", { port: 8081, filter: user("me") });
    for (const name of ["me", "other"]) {
      const head = get("/", name).replace(
        "\r\n\r\n",
        "\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
      );
      const answer = await talk(
        place,
        POD,
        8081,
        "",
        head,
        "101",
        "one",
        "one",
        get("/x", "me"),
        "/x",
      );
      assert.match(answer, /^HTTP\/1\.1 101 x\r\n.*\r\n\r\noneGET \/x/s);
    }
  });

  test(`${who}: an answer that the pod's server resets does not look whole`, options, async (t) => {
    const place = await Place.start(who, SERVERS);
    const { pod } = place;
    t.after(() => pod.stop());
    const words = [
      "",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na",
      "half",
      "b",
      "?",
    ];
    const direct = await talk(place, POD, 8084, ...words);
    assert.equal(direct, "ECONNRESET HTTP/1.1 200 x\r\n\r\nhalf");
    const agent = await Agent.serve(who, pod, args());
    t.after(() => agent.stop());
    const { tunnel } = await session(agent, "me");
    await tunnel.call("incoming.steal", { port: 8084, filter: user("me") });
    assert.equal(await talk(place, POD, 8084, ...words), direct);
    const raw = await talk(place, POD, 8084, "", "\x01a", "half", "b", "?");
    assert.equal(raw, direct, "what is no HTTP");
  });

  test(`${who}: a body decides, also one that waits for a 100`, options, async (t) => {
    const place = await Place.start(who, SERVERS);
    const { pod } = place;
    t.after(() => pod.stop());
    const agent = await Agent.serve(who, pod, args());
    t.after(() => agent.stop());
    const { tunnel } = await session(agent, "me");
    const filter = { body: { body: "json", query: "$.user", exact: "me" } };
    await tunnel.call("incoming.steal", { port: 8081, filter });
    const post = (body: string, ...more: string[]) =>
      [`POST / HTTP/1.1`, "Host: a", ...more, `Content-Length: ${body.length}`, "", ""].join(
        "\r\n",
      );
    for (const [body, whose] of [
      ['{"user":"me"}', "me"],
      ['{"user":"you"}', "pod"],
      ["{", "pod"],
    ] as const) {
      assert.match(
        await talk(place, POD, 8081, "", post(body) + body, "POST"),
        new RegExp(`${whose} 198.*POST / `),
      );
      const waited = await talk(
        place,
        POD,
        8081,
        "",
        post(body, "Expect: 100-continue"),
        "100 Continue",
        body,
        "POST",
      );
      assert.match(
        waited,
        new RegExp(`^HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 .*${whose} 198.*POST / `, "s"),
      );
    }
  });

  test(`${who}: with the policy steal-with-filter-only a filter is needed`, options, async (t) => {
    const place = await Place.start(who, SERVERS);
    const { pod } = place;
    t.after(() => pod.stop());
    const agent = await Agent.serve(who, pod, args("--policy", "steal-with-filter-only"));
    t.after(() => agent.stop());
    const { tunnel } = await session(agent, "me");
    await assert.rejects(tunnel.call("incoming.steal", { port: 8081 }), { errno: "EPERM" });
    await tunnel.call("incoming.steal", { port: 8081, filter: user("me") });
    assert.match(await talk(place, POD, 8081, "", get("/", "me"), "GET"), /me 198/);
  });
}

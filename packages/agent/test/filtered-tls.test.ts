/** Filters inside TLS: who ends it, with which certificate, and what goes untouched to the pod's own server. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import type { Socket } from "node:net";
import { test } from "node:test";
import type { AgentNotice, TlsFacts } from "@inpod/protocol";
import { type Certificate, makeCertificate } from "@inpod/sandbox";
import { connectTunnel, duplexOf, rawFromPublicKey, type Tunnel } from "@inpod/tunnel";
import { Agent, Pod, skipUnless, type Who } from "./support/pod.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const ARGS = ["--public-key", rawFromPublicKey(publicKey)];
for (const each of ["idle", "resume", "communication"]) ARGS.push(`--${each}-timeout-ms`, "20000");

const ofPod = makeCertificate({ names: ["orders.test", "*.orders.test"] });
const other = makeCertificate({ names: ["other.test"] });
const [PLAIN_PORT, HTTPS, H2, MTLS, MTLS12, RAW] = [8081, 8443, 8444, 8445, 8446, 8447];

/**
 * Written for `node -e`. Each HTTP answer says: the pod, whose address, over how many connections, for which name, what,
 * and what was asked. On 8447 there is TLS, and inside it no HTTP.
 */
const SERVERS = `const {CERT:cert,KEY:key}=process.env,o={cert,key};
  const h=(n)=>[(q,a)=>a.end(["pod",q.socket.remoteAddress.replace("::ffff:",""),n.c,q.socket.servername,q.url].join(" ")),n];
  const on=(s,n,p)=>s.on("secureConnection",()=>n.c++).listen(p,"::");
  const https=require("https"),go=(opts,p)=>{const [f,n]=h({c:0});on(https.createServer({...o,...opts},f),n,p)};
  require("http").createServer((q,a)=>a.end("pod plain")).listen(${PLAIN_PORT},"::");
  go({},${HTTPS});go({requestCert:true,rejectUnauthorized:false},${MTLS});
  go({requestCert:true,rejectUnauthorized:true,maxVersion:"TLSv1.2"},${MTLS12});
  require("tls").createServer({...o,ALPNProtocols:["h2","http/1.1","echo"]},s=>{s.on("error",()=>{});
    s.on("data",b=>s.write(s.alpnProtocol+" "+b))}).listen(${H2},"::");
  require("tls").createServer(o,s=>{s.on("error",()=>{});s.write("hello\\n");s.pipe(s)})
    .listen(${RAW},"::",()=>console.log("ready"))`;

const SETUP = `ready=$(mktemp -u); mkfifo "$ready"; ${process.execPath} -e "$SERVERS" >"$ready" & read -r _ <"$ready"; rm "$ready"
  ip addr add 198.18.7.1/32 dev lo`;
const POD = "198.18.7.1";

/**
 * Written for `node -e`: a client of TLS that writes each argument after the fourth when what was answered contains the
 * one before it. Prints, as JSON, what was agreed on, whose certificate it saw, and all that was answered.
 */
const CLIENT = `const [,port,options,...steps]=process.argv;const o=JSON.parse(options);let got="",seen=0;
  const done=(error)=>{console.log(JSON.stringify({error,got,...facts}));process.exit()};let facts={};
  const s=require("tls").connect({host:"${POD}",port:+port,rejectUnauthorized:false,...o},()=>{
    facts={alpn:s.alpnProtocol,version:s.getProtocol(),name:s.getPeerCertificate().subject.CN};next()});
  const next=()=>{while(got.slice(seen).includes(steps[0])){seen=got.length;steps.shift();if(!steps.length)done();
    else s.write(steps.shift())}};
  s.setEncoding("latin1");s.on("data",b=>{got+=b;next()});s.on("error",e=>done(e.code));s.on("end",()=>done("end"))`;

interface Talk {
  readonly error?: string;
  readonly got: string;
  readonly alpn: string | false;
  readonly version: string;
  readonly name: string;
}

async function talk(pod: Pod, port: number, options: object, ...steps: string[]): Promise<Talk> {
  const client = [process.execPath, "-e", CLIENT, String(port), JSON.stringify(options), ...steps];
  return JSON.parse(await pod.output(...client)) as Talk;
}

interface Session {
  readonly tunnel: Tunnel;
  readonly notices: AgentNotice[];
  readonly tls: (TlsFacts | undefined)[];
}

/** A developer whose program answers with its name what was inside TLS. */
async function session(agent: Agent, id: string): Promise<Session> {
  const notices: AgentNotice[] = [];
  const tls: (TlsFacts | undefined)[] = [];
  const server = createServer((request, response) => {
    response.end(`${id} ${request.url}`);
  });
  const tunnel = await connectTunnel(agent.dial(), {
    sessionId: id,
    privateKey,
    build: "test",
    handlers: {
      onNotice: (notice) => notices.push(notice),
      onStream: (channel) => {
        if (channel.header.kind === "incoming") tls.push(channel.header.tls);
        channel.accept({ kind: "incoming" });
        server.emit("connection", duplexOf(channel) as Socket);
      },
    },
  });
  return { tunnel, notices, tls };
}

const get = (path: string, user = "somebody"): string =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\nX-User: ${user}\r\n\r\n`;
const FILTER = { header: "^x-user: me$" };
const given = ({ cert, key }: Certificate, ports?: readonly number[]) => ({
  cert,
  key,
  ...(ports === undefined ? {} : { ports }),
});

interface Place {
  readonly pod: Pod;
  readonly agent: Agent;
  readonly me: Session;
}

async function place(who: Who, t: { after(run: () => unknown): void }): Promise<Place> {
  const pod = await Pod.start(who, SETUP, "", { SERVERS, CERT: ofPod.cert, KEY: ofPod.key });
  t.after(() => pod.stop());
  const agent = await Agent.serve(who, pod, ARGS);
  t.after(() => agent.stop());
  return { pod, agent, me: await session(agent, "me") };
}

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 240_000, skip: skipUnless(who) };

  test(
    `${who}: with a certificate each request inside TLS goes to who wants it`,
    options,
    async (t) => {
      const { pod, me } = await place(who, t);
      await me.tunnel.call("incoming.certificate", given(ofPod));
      await me.tunnel.call("incoming.steal", { port: HTTPS, filter: FILTER });
      for (const version of ["TLSv1.2", "TLSv1.3"]) {
        me.tls.length = 0;
        const answer = await talk(
          pod,
          HTTPS,
          { servername: "a.orders.test", maxVersion: version, minVersion: version },
          "",
          get("/1"),
          "/1",
          get("/2", "me"),
          "/2",
          get("/3"),
          "/3",
          get("/4", "me"),
          "/4",
        );
        assert.equal(answer.error, undefined, answer.got);
        assert.deepEqual(
          [answer.version, answer.name, answer.alpn],
          [version, "orders.test", false],
        );
        const who = answer.got.match(/(pod \S+ \d+ \S+|me) \/\d/g);
        const count = version === "TLSv1.2" ? 1 : 2;
        assert.deepEqual(who, [
          `pod ${POD} ${count} a.orders.test /1`,
          "me /2",
          `pod ${POD} ${count} a.orders.test /3`,
          "me /4",
        ]);
        assert.deepEqual(me.tls, [{ serverName: "a.orders.test" }]);
      }
      assert.deepEqual(me.notices, []);
    },
  );

  test(
    `${who}: the client speaks with whom it asks for what the pod's server has chosen`,
    options,
    async (t) => {
      const { pod, me } = await place(who, t);
      await me.tunnel.call("incoming.certificate", given(ofPod));
      await me.tunnel.call("incoming.steal", { port: H2, filter: FILTER });
      const alpn = async (...ALPNProtocols: string[]): Promise<string | false> =>
        (await talk(pod, H2, { servername: "orders.test", ALPNProtocols }, "", "x", "")).alpn;
      assert.equal(await alpn("http/1.1"), "http/1.1");
      assert.equal(await alpn("http/1.1", "h2"), "h2", "the server's order counts");
      // Not HTTP: the pod's own handshake and bytes.
      const raw = await talk(pod, H2, { ALPNProtocols: ["echo"] }, "", get("/", "me"), "GET");
      assert.match(raw.got, /^echo GET/);
      // Nothing in common: the pod's own alert.
      const none = await talk(pod, H2, { ALPNProtocols: ["spdy/3"] }, "", "x", "");
      assert.match(String(none.error), /NO_APPLICATION_PROTOCOL/);
      const plain = await talk(
        pod,
        H2,
        { ALPNProtocols: ["http/1.1"] },
        "",
        get("/", "me"),
        "me /",
      );
      assert.equal(plain.error, undefined);
      assert.deepEqual(me.tls, [{ alpn: "http/1.1" }]);
    },
  );

  test(
    `${who}: without a certificate TLS goes untouched to the pod, and that is said once`,
    options,
    async (t) => {
      const { pod, me } = await place(who, t);
      await me.tunnel.call("incoming.steal", { port: HTTPS, filter: FILTER });
      for (let each = 0; each < 3; each++) {
        const answer = await talk(pod, HTTPS, {}, "", get("/", "me"), "pod");
        assert.match(answer.got, /pod 198/);
      }
      assert.deepEqual(me.notices, [
        { kind: "tls-untouched", port: HTTPS, why: "no-certificate", detail: "" },
      ]);
      assert.deepEqual(me.tls, []);
    },
  );

  test(`${who}: a name that no certificate has goes untouched to the pod`, options, async (t) => {
    const { pod, me } = await place(who, t);
    await me.tunnel.call("incoming.certificate", given(other));
    await me.tunnel.call("incoming.steal", { port: HTTPS, filter: FILTER });
    for (let each = 0; each < 2; each++) {
      const answer = await talk(
        pod,
        HTTPS,
        { servername: "orders.test" },
        "",
        get("/", "me"),
        "pod",
      );
      assert.equal(answer.name, "orders.test");
    }
    assert.deepEqual(me.notices, [
      { kind: "tls-untouched", port: HTTPS, why: "other-name", detail: "orders.test" },
    ]);
    // One that comes later counts from the next connection on; so does its name.
    await me.tunnel.call("incoming.certificate", given(ofPod, [HTTPS]));
    const now = await talk(pod, HTTPS, { servername: "orders.test" }, "", get("/", "me"), "me /");
    assert.equal(now.name, "orders.test");
    const named = await talk(pod, HTTPS, { servername: "other.test" }, "", get("/", "me"), "me /");
    assert.equal(named.name, "orders.test", "the one that the pod itself shows, if it is given");
  });

  test(
    `${who}: with several certificates the client gets the one for its name`,
    options,
    async (t) => {
      const { pod, me } = await place(who, t);
      const third = makeCertificate({ names: ["third.test"] });
      const elsewhere = makeCertificate({ names: ["elsewhere.test"] });
      for (const one of [given(other), given(third), given(elsewhere, [1])])
        await me.tunnel.call("incoming.certificate", one);
      await me.tunnel.call("incoming.steal", { port: HTTPS, filter: FILTER });
      const name = async (servername?: string): Promise<string> =>
        (await talk(pod, HTTPS, servername ? { servername } : {}, "", get("/"), "pod")).name;
      assert.equal(await name("other.test"), "other.test");
      assert.equal(await name("third.test"), "third.test");
      assert.equal(await name(), "other.test", "the first for who asks for none");
      assert.equal(await name("elsewhere.test"), "orders.test", "for another port");
    },
  );

  test(
    `${who}: a server that asks for the client's certificate is left alone`,
    options,
    async (t) => {
      const { pod, me } = await place(who, t);
      await me.tunnel.call("incoming.certificate", given(ofPod));
      for (const port of [MTLS, MTLS12]) {
        await me.tunnel.call("incoming.steal", { port, filter: FILTER });
        const mine = { cert: other.cert, key: other.key, ca: other.cert };
        for (let each = 0; each < 2; each++) {
          const answer = await talk(pod, port, mine, "", get("/", "me"), "pod");
          if (port === MTLS) assert.match(answer.got, /pod 198/);
          // Refused by the pod itself: its root is not the client's.
          else assert.notEqual(answer.error, undefined);
        }
      }
      assert.deepEqual(
        me.notices,
        [MTLS, MTLS12].map((port) => ({
          kind: "tls-untouched",
          port,
          why: "client-certificate",
          detail: "",
        })),
      );
      assert.deepEqual(me.tls, []);
    },
  );

  test(
    `${who}: inside TLS a server that speaks first is heard, and plain HTTP on the port is filtered`,
    options,
    async (t) => {
      const { pod, me } = await place(who, t);
      await me.tunnel.call("incoming.certificate", given(ofPod));
      for (const port of [RAW, PLAIN_PORT])
        await me.tunnel.call("incoming.steal", { port, filter: FILTER });
      const first = await talk(pod, RAW, {}, "hello\n", "more\n", "more\n");
      assert.equal(first.got, "hello\nmore\n");
      // TLS to a server that has none is the pod's own failure.
      const failed = await talk(pod, PLAIN_PORT, {}, "x");
      assert.notEqual(failed.error, undefined);
      assert.match(String(me.notices.map((one) => one.kind === "tls-untouched" && one.why)), /pod/);
      const plain = `require("http").get({host:"${POD}",port:${PLAIN_PORT},headers:{"x-user":process.argv[1]}},
      (a)=>a.on("data",b=>console.log(String(b))))`;
      assert.equal(await pod.output(process.execPath, "-e", plain, "me"), "me /\n");
      assert.equal(await pod.output(process.execPath, "-e", plain, "you"), "pod plain\n");
    },
  );

  test(
    `${who}: a client that does not take the certificate is told of, and the next one is served`,
    options,
    async (t) => {
      const { pod, me } = await place(who, t);
      await me.tunnel.call("incoming.certificate", given(ofPod));
      await me.tunnel.call("incoming.steal", { port: HTTPS, filter: FILTER });
      const strict = await talk(
        pod,
        HTTPS,
        { rejectUnauthorized: true, servername: "orders.test" },
        "",
        "x",
        "y",
      );
      assert.match(String(strict.error), /SELF_SIGNED/);
      const answer = await talk(pod, HTTPS, {}, "", get("/", "me"), "me /");
      assert.equal(answer.error, undefined);
    },
  );

  test(
    `${who}: several developers share what one certificate has opened, and with its session it is forgotten`,
    options,
    async (t) => {
      const { pod, agent, me } = await place(who, t);
      await me.tunnel.call("session.admit", {
        sessionId: "ann",
        publicKey: rawFromPublicKey(publicKey),
        owner: "ann",
      });
      const ann = await session(agent, "ann");
      await me.tunnel.call("incoming.certificate", given(ofPod));
      await me.tunnel.call("incoming.steal", { port: HTTPS, filter: FILTER });
      await ann.tunnel.call("incoming.steal", { port: HTTPS, filter: { header: "^x-user: ann$" } });
      const whose = async (user: string): Promise<string | undefined> =>
        /(pod|me|ann) [^\n]*$/.exec(
          (await talk(pod, HTTPS, {}, "", get("/", user), " /")).got,
        )?.[1];
      assert.deepEqual(
        [await whose("me"), await whose("ann"), await whose("x")],
        ["me", "ann", "pod"],
      );
      assert.equal(ann.notices.length, 0);
      await me.tunnel.call("end", {});
      assert.equal(await whose("ann"), "pod");
      assert.deepEqual(
        ann.notices.map((one) => one.kind === "tls-untouched" && one.why),
        ["no-certificate"],
      );
    },
  );

  test(
    `${who}: a certificate that cannot be used is refused, and nothing of it is said`,
    options,
    async (t) => {
      const { me } = await place(who, t);
      for (const [cert, key, why] of [
        [ofPod.cert, other.key, /key cannot be read, or is not/],
        [ofPod.cert, "secret words", /key cannot be read, or is not/],
        ["secret words", ofPod.key, /certificate cannot be read/],
      ] as const) {
        await assert.rejects(
          me.tunnel.call("incoming.certificate", { cert, key }),
          (error: Error & { errno?: string }) => {
            assert.equal(error.errno, "EINVAL");
            assert.match(error.message, why);
            assert.doesNotMatch(error.message, /secret words|PRIVATE|[A-Za-z0-9+/]{20}/);
            return true;
          },
        );
      }
    },
  );
}

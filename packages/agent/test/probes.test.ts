/** The kubelet's probes of a pod whose ports are taken: a neighbour with the gateway's address asks as it does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Sink } from "@inpod/agent";
import type { Probe } from "@inpod/protocol";
import { gateways4, gateways6, KubeletProbes } from "../src/incoming/probes.ts";
import { withoutProbes } from "../src/mirror/without-probes.ts";
import { ARGS, Developer } from "./support/developer.ts";
import { CLIENT, GATEWAY, type Neighbour, POD, startNeighbour } from "./support/neighbour.ts";
import { Agent, skipUnless, type Who } from "./support/pod.ts";

const PROBES: readonly Probe[] = [
  { port: 8081, kind: "http", path: "/healthz" },
  { port: 8082, kind: "tcp" },
  { port: 8083, kind: "https", path: "/" },
  { port: 8084, kind: "grpc" },
  { port: 8085, kind: "tcp" },
];

/** Written for `node -e`: each port but the last says that it is the pod's, and what it was sent first. */
const SERVERS = `const http=require("http"),net=require("net");let n=0;
  http.createServer((q,a)=>a.end("pod "+q.url)).listen(8081,"${POD}");
  require("http2").createServer((q,a)=>a.end("pod "+q.url)).listen(8084,"${POD}");
  for(const p of [8082,8083])net.createServer(s=>{s.on("error",()=>{});
    if(p===8082)console.log("accepted");s.on("data",b=>s.write("pod "+b.length))}).listen(p,"${POD}",()=>++n==2&&console.log("ready"))`;

/** Written for `node -e`: one request of HTTP/2, prints what it is answered. */
const CHECK = `const [,from,path,agent]=process.argv;const s=require("http2").connect("http://${POD}:8084",{localAddress:from});
  const q=s.request({":path":path,":method":"POST","user-agent":agent});let t="";q.on("data",b=>t+=b);
  q.on("error",e=>{console.log(e.code);process.exit()});q.on("end",()=>{console.log(t);process.exit()});q.end()`;

interface Place extends Neighbour {
  check(from: string, path: string, userAgent: string): Promise<string>;
  readonly one: Developer;
}

async function place(
  who: Who,
  t: { after(run: () => unknown): void },
  probes = PROBES,
): Promise<Place> {
  const neighbour = await startNeighbour(who, t, SERVERS);
  const agent = await Agent.serve(who, neighbour.pod, ARGS);
  t.after(() => agent.stop());
  const one = await Developer.join(agent, "session-a");
  await one.tunnel.call("incoming.probes", { from: [], probes });
  return {
    ...neighbour,
    one,
    check: (...args) => neighbour.run(process.execPath, "-e", CHECK, ...args),
  };
}

const get = (path: string, agent: string) =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\nUser-Agent: ${agent}\r\nConnection: close\r\n\r\n`;
const HELLO = `\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00`;
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/** What a Developer answers, whatever it is asked. */
const PROGRAM = /an answer that nobody asked for/;

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 240_000, skip: skipUnless(who) };

  test(
    `${who}: probes of a stolen port reach the pod, all else the program`,
    options,
    async (t) => {
      const { one, ask, check, said } = await place(who, t);
      const accepted = (): number => said().match(/accepted/g)?.length ?? 0;
      for (const port of [8081, 8082, 8083, 8084])
        await one.tunnel.call("incoming.steal", { port });
      assert.match(await ask(GATEWAY, 8081, get("/healthz", "kube-probe/1.35")), /pod \/healthz/);
      assert.equal(one.copies.length, 0);
      // From elsewhere nobody looks into it.
      await ask(CLIENT, 8081, "GET");
      await one.copyOf("GET");
      await ask(GATEWAY, 8081, get("/healthz", "curl/8"));
      await one.copyOf(get("/healthz", "curl/8"));
      assert.equal(one.copies.length, 2);

      const before = accepted();
      await ask(GATEWAY, 8082, "");
      await one.until("the pod's accept", () => accepted() > before);
      assert.equal(one.copies.length, 2);
      assert.match(await ask(GATEWAY, 8082, "bytes"), PROGRAM);

      assert.match(await ask(GATEWAY, 8083, HELLO), /^pod 1\d$/);
      assert.match(await ask(CLIENT, 8083, HELLO), PROGRAM);
      const path = "/grpc.health.v1.Health/Check";
      const count = one.copies.length;
      assert.equal(await check(GATEWAY, path, "kube-probe/1.35 grpc-go/1.72"), `pod ${path}`);
      // Not even asked, so that it does not matter whether it answers.
      assert.equal(one.copies.length, count);
      assert.match(await ask(CLIENT, 8084, PREFACE), PROGRAM);
    },
  );

  test(
    `${who}: a TCP probe of a port where the pod's server does not listen is reset`,
    options,
    async (t) => {
      const { one, ask } = await place(who, t);
      await one.tunnel.call("incoming.steal", { port: 8085 });
      assert.equal(await ask(GATEWAY, 8085, ""), "ECONNRESET");
      assert.equal(one.copies.length, 0);
    },
  );

  test(
    `${who}: no filter takes a probe, nor one over a connection of others`,
    options,
    async (t) => {
      const { one, ask } = await place(who, t);
      await one.tunnel.call("incoming.steal", { port: 8081, filter: { path: "^/" } });
      for (const from of [GATEWAY, CLIENT]) {
        assert.match(await ask(from, 8081, get("/healthz", "kube-probe/1.35")), /pod \/healthz/);
      }
      assert.equal(one.copies.length, 0);
      await ask(CLIENT, 8081, get("/healthz", "curl/8"));
      await one.copyOf(get("/healthz", "curl/8"));
    },
  );

  test(`${who}: who wants probes has them`, options, async (t) => {
    const { one, ask } = await place(who, t, []);
    for (const port of [8081, 8082]) await one.tunnel.call("incoming.steal", { port });
    await ask(GATEWAY, 8081, get("/healthz", "kube-probe/1.35"));
    await one.copyOf(get("/healthz", "kube-probe/1.35"));
    await ask(GATEWAY, 8082, "");
    await one.until("the connection without a byte", () => one.copies.length === 2);
  });

  test(`${who}: probes are not copied where the port is mirrored`, options, async (t) => {
    const { one, ask } = await place(who, t);
    await one.tunnel.call("incoming.mirror", { port: 8081 });
    await ask(GATEWAY, 8081, get("/healthz", "kube-probe/1.35"));
    await ask(GATEWAY, 8081, get("/other", "curl/8"));
    await one.copyOf(get("/other", "curl/8"));
    assert.equal(one.copies.length, 1);
  });
}

test("gateways as the kernel shows them", () => {
  const route = `Iface\tDestination\tGateway \tFlags\neth0\t00000000\t010200C0\t0003\neth0\t000200C0\t00000000\t0001\n`;
  assert.deepEqual(gateways4(route), ["192.0.2.1"]);
  assert.deepEqual(gateways4(""), []);
  const none = "0".repeat(32);
  const gateway = "fd000000000000000000000000000001";
  assert.deepEqual(
    gateways6(
      `${none} 00 ${none} 00 ${gateway} 00000400 00000002 0 3 eth0\n${none} 00 ${none} 00 ${none} ffffffff`,
    ),
    ["fd00:0000:0000:0000:0000:0000:0000:0001"],
  );
  assert.deepEqual(gateways6("x y z"), []);
});

test("who can be the kubelet: the node, the pod's gateways, and what is link-local", () => {
  const probes = new KubeletProbes({ from: ["192.0.2.1", "2001:db8::1"], probes: PROBES }, [
    "198.51.100.1",
    "fd00:0000:0000:0000:0000:0000:0000:0001",
  ]).ofPort(8081);
  for (const address of [
    ...["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "198.51.100.1", "fd00::1"],
    ...["169.254.1.1", "fe80::1%eth0"],
  ])
    assert.equal(probes?.mayAsk(address), true, address);
  for (const address of ["192.0.2.2", "2001:db8::2", "127.0.0.1", "::1"])
    assert.equal(probes?.mayAsk(address), false, address);
});

test("a copy is opened as soon as it is known to be no probe, with every byte, one at a time or all at once", () => {
  const probes = new KubeletProbes({ from: [], probes: PROBES }, []).ofPort(8081);
  assert.ok(probes);
  const run = (bytes: string, size: number): string | undefined => {
    let got: string | undefined;
    const sink: Sink = {
      data: (piece) => {
        got += piece.toString("latin1");
      },
      end: () => {
        got += "<end>";
      },
      reset: (errno) => {
        got += `<${errno}>`;
      },
    };
    const held = withoutProbes(probes, () => {
      got = "";
      return sink;
    });
    for (let at = 0; at < bytes.length; at += size)
      held.data(Buffer.from(bytes.slice(at, at + size), "latin1"));
    held.end();
    return got;
  };
  const other = get("/", "curl/8");
  for (const size of [1, 7, 100_000]) {
    assert.equal(run(get("/healthz", "kube-probe/1.35"), size), undefined);
    assert.equal(run(other, size), `${other}<end>`);
    assert.equal(run("hello\r\nthere\r\n", size), "hello\r\nthere\r\n<end>");
    assert.equal(run("GET / HT", size), "GET / HT<end>");
    const long = `GET / HTTP/1.1\r\nA: ${"x".repeat(40_000)}`;
    assert.equal(run(long, size), `${long}<end>`);
    assert.equal(run(PREFACE, size), `${PREFACE}<end>`);
  }
});

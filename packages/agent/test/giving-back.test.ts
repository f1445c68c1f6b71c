/** However stealing ends, under load: new connections reach the pod, none hangs, and what is left is what is documented. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { connectTunnel, rawFromPublicKey, type Tunnel } from "@inpod/tunnel";
import { Place, POD } from "./support/outside.ts";
import { Agent, gone, skipUnless } from "./support/pod.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const ARGS = [
  ...["--public-key", rawFromPublicKey(publicKey), "--idle-timeout-ms", "20000"],
  ...["--communication-timeout-ms", "20000"],
];

const SERVERS = `require("http").createServer((q,a)=>a.end("pod")).listen(8081,"0.0.0.0",()=>console.log("ready"))`;

/**
 * Written for `node -e`: eight clients that ask again and again, every other one as "me", each second one over a
 * connection of its own. Says of each request in a line when it began, over a new connection or not, and who answered.
 */
const LOAD = `const http=require("http");const keep=new http.Agent({keepAlive:true});
  const once=(n)=>new Promise((done)=>{const begun=Date.now();let isNew=true;
    const say=(who)=>{console.log(JSON.stringify({n,begun,isNew,user:n%2?"me":"other",who}));setTimeout(done,5)};
    const q=http.get({host:"${POD.v4}",port:8081,agent:n%4<2?keep:false,timeout:10000,headers:{"x-user":n%2?"me":"other"}},(a)=>{
      let b="";a.setEncoding("latin1").on("data",(c)=>b+=c).on("end",()=>say(b)).on("error",(e)=>say(e.code))});
    q.on("socket",()=>{isNew=!q.reusedSocket});
    q.on("timeout",()=>{q.destroy(Object.assign(new Error(),{code:"HANGS"}))});q.on("error",(e)=>say(e.code))});
  for(let n=0;n<8;n++)(async()=>{for(;;)await once(n)})();
  process.stdin.on("end",()=>process.exit()).resume()`;

interface Asked {
  /** Of the eight. */
  readonly n: number;
  readonly begun: number;
  readonly isNew: boolean;
  readonly user: "me" | "other";
  readonly who: string;
}

class Load {
  readonly asked: Asked[] = [];
  readonly #process: ChildProcess;
  #wake = (): void => {};

  constructor(place: Place) {
    const words = place.pod.inside([process.execPath, "-e", LOAD], place.outside);
    const [program = "", ...rest] = words;
    this.#process = spawn(program, rest, { stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: this.#process.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      this.asked.push(JSON.parse(line) as Asked);
      this.#wake();
    });
  }

  /** Until so many requests that began after now have been answered in some way. */
  async more(count: number): Promise<readonly Asked[]> {
    const from = Date.now();
    const deadline = from + 60_000;
    const after = (): Asked[] => this.asked.filter(({ begun }) => begun > from);
    // Who is still waiting for an answer from before must have it, or a reset, as well.
    while (after().length < count || new Set(after().map(({ n }) => n)).size < 8) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`${after().length} of ${count} requests within 60 s`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return after();
  }

  stop(): void {
    this.#process.kill("SIGKILL");
  }
}

/** Answers "me" to every request. */
function developer(socket: Duplex): Promise<Tunnel> {
  return connectTunnel(socket, {
    sessionId: "me",
    privateKey,
    build: "test",
    handlers: {
      onStream: (channel) => {
        let text = "";
        channel.onData = (bytes) => {
          channel.consumed(bytes.length);
          text += Buffer.from(bytes).toString("latin1");
          for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
            text = text.slice(end + 4);
            channel.write(Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nme"));
          }
        };
        channel.onEnd = () => channel.end();
        channel.accept({ kind: "incoming" });
      },
    },
  });
}

const tracked = (place: Place): number =>
  Number(place.pod.run("cat", "/proc/sys/net/netfilter/nf_conntrack_count"));

const FILTER = { header: "^x-user: me$" };
const isTheirs = ({ user, who }: Asked): boolean => who === (user === "me" ? "me" : "pod");

type Accident = "release" | "pause" | "end" | "tunnel" | "enter" | "node" | "nft";
const ACCIDENTS: readonly Accident[] = [
  "release",
  "pause",
  "end",
  "tunnel",
  "enter",
  "node",
  "nft",
];

for (const accident of ACCIDENTS) {
  for (const isFiltered of [false, true]) {
    const how = isFiltered ? "with a filter" : "taken whole";
    test(`${accident}, ${how}, under load: every new connection reaches the pod, and none hangs`, {
      timeout: 240_000,
      skip: skipUnless("root"),
    }, async (t) => {
      const place = await Place.start("root", SERVERS);
      t.after(() => place.stop());
      const agent = await Agent.serve("root", place.pod, ARGS, {
        options: ["--node-uid", "40404", "--node-gid", "40404"],
      });
      t.after(() => agent.stop());
      const link = agent.dial();
      const tunnel = await developer(link);
      const load = new Load(place);
      t.after(() => load.stop());
      await load.more(20);
      await tunnel.call("incoming.steal", {
        port: 8081,
        flush: true,
        ...(isFiltered ? { filter: FILTER } : {}),
      });
      const stolen = (await load.more(60)).filter(({ isNew }) => isNew);
      assert.deepEqual(
        stolen.filter((each) => (isFiltered ? !isTheirs(each) : each.who !== "me")),
        [],
      );
      const enter = agent.process.pid as number;
      const nft = agent.child("nft");
      const began = performance.now();
      if (accident === "release") await tunnel.call("incoming.release", { port: 8081 });
      else if (accident === "pause") await tunnel.call("pause", {});
      else if (accident === "end") await tunnel.call("end", {});
      else {
        if (accident === "tunnel") link.destroy();
        else
          process.kill(
            accident === "node" ? agent.child("node") : accident === "nft" ? nft : enter,
            "SIGKILL",
          );
        // From there on there is no rule for a new connection.
        const deadline = performance.now() + 60_000;
        while (/8081 : /.test(place.pod.run("nft", "list", "ruleset"))) {
          if (performance.now() > deadline) throw new Error("the rule is still there");
        }
      }
      t.diagnostic(`no rule any more after ${Math.round(performance.now() - began)} ms`);
      const after = (await load.more(100)).filter(({ isNew }) => isNew);
      assert.deepEqual(
        after.filter(({ who }) => who !== "pod"),
        [],
      );
      assert.ok(after.length >= 4);
      // Whoever waits for an answer when one of these is killed waits on: what translates for it ends before its connection.
      if (accident !== "enter" && accident !== "nft")
        assert.deepEqual(
          load.asked.filter(({ who }) => who === "HANGS"),
          [],
        );
      if (accident === "release" || accident === "pause" || accident === "tunnel") return;
      if (accident !== "nft") {
        await agent.ended();
        await gone(nft);
      }
      load.stop();
      assert.equal(place.pod.run("nft", "list", "tables"), "");
      // Entries of connections from before stay until they time out; what comes later is not tracked.
      const left = tracked(place);
      for (let each = 0; each < 10; each++) {
        assert.match(await place.once("GET / HTTP/1.0\r\n\r\n", 8081), /^HTTP/);
      }
      assert.ok(tracked(place) <= left, `${left} entries before, ${tracked(place)} now`);
      t.diagnostic(`${left} entries of connection tracking are left`);
    });
  }
}

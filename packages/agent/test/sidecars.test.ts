/**
 * In front of sidecars: the port's traffic is taken where the proxy hands it to the server, and the proxy's own rules
 * are never touched. Rules as Istio's and Linkerd's, made by nft and by legacy iptables; the proxy is a real one.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { connectTunnel, rawFromPublicKey, type Tunnel } from "@inpod/tunnel";
import { POD, STRANGER, type Talker } from "./support/outside.ts";
import type { Agent } from "./support/pod.ts";
import { CONTROL, MESHES, Sidecar, sidecarMissing } from "./support/sidecar.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const ARGS = [
  ...["--public-key", rawFromPublicKey(publicKey), "--idle-timeout-ms", "20000"],
  ...["--communication-timeout-ms", "20000"],
];

/** The pod's server says whom it sees, and what the proxy has told; on the control port, how many have come so far. */
const SERVERS = `let n=0;const http=require("http");
  http.createServer((q,a)=>{n++;a.end("pod "+q.socket.remoteAddress.replace("::ffff:","")+" "+q.headers["x-forwarded-for"])}).listen(8081,"0.0.0.0");
  http.createServer((q,a)=>a.end(String(n))).listen(${CONTROL},"0.0.0.0",()=>console.log("ready"))`;

const request = (user: string): string =>
  `GET / HTTP/1.1\r\nHost: a\r\nX-User: ${user}\r\nConnection: close\r\n\r\n`;

interface Came {
  readonly client: string;
  bytes: string;
}

async function developer(agent: Agent): Promise<{ tunnel: Tunnel; came: Came[] }> {
  const came: Came[] = [];
  const tunnel = await connectTunnel(agent.dial(), {
    sessionId: "me",
    privateKey,
    build: "test",
    handlers: {
      onStream: (channel) => {
        const { header } = channel;
        if (header.kind !== "incoming") return channel.reset("EINVAL");
        const one = { client: header.client.address, bytes: "" };
        came.push(one);
        let seen = 0;
        channel.onData = (bytes) => {
          one.bytes += Buffer.from(bytes).toString("latin1");
          channel.consumed(bytes.length);
          const end = one.bytes.indexOf("\r\n\r\n", seen);
          if (end < 0) return;
          const head = one.bytes.slice(seen, end);
          seen = end + 4;
          const told = /^x-forwarded-for: (.*)$/im.exec(head)?.[1]?.trim();
          const body = `me ${one.client} ${told}`;
          channel.write(
            Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
          );
        };
        channel.onEnd = () => channel.end();
        channel.accept({ kind: "incoming" });
      },
    },
  });
  return { tunnel, came };
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not within 60 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The last line that is answered, or the errno. */
async function answer(talker: Talker): Promise<string> {
  let text = "";
  try {
    for (;;) {
      const more = await talker.next();
      if (more === "end") return text.split("\r\n").at(-1) ?? "";
      if (/^E[A-Z]+$/.test(more)) return more;
      text += more;
    }
  } finally {
    talker.close();
  }
}

async function ask({ place }: Sidecar, user: string, port = 8081): Promise<string> {
  const talker = await place.talk(port);
  talker.say(request(user));
  return answer(talker);
}

for (const rules of ["nft", "iptables-legacy"] as const) {
  for (const mesh of MESHES) {
    const options = { timeout: 240_000, skip: sidecarMissing(rules) };

    const begin = async (t: { after(run: () => unknown): void }, hasTls = false) => {
      const sidecar = await Sidecar.start(mesh, rules, SERVERS, { hasTls });
      t.after(() => sidecar.stop());
      const before = sidecar.ruleset();
      const agent = await sidecar.serve(ARGS);
      t.after(() => agent.stop());
      return { sidecar, before, agent, ...(await developer(agent)) };
    };
    const pods = `pod ${mesh.peer} ${STRANGER.v4}`;

    test(
      `${mesh.name}, ${rules}: stolen behind the proxy, connections that it keeps too, and its rules stay`,
      options,
      async (t) => {
        const { sidecar, before, agent, tunnel, came } = await begin(t);
        // The proxy keeps its connection to the server for the next request.
        assert.equal(await ask(sidecar, "x"), pods);
        await tunnel.call("incoming.steal", { port: 8081, flush: true });
        await until("the proxy has come again", async () =>
          (await ask(sidecar, "x")).startsWith("me"),
        );
        assert.equal(await ask(sidecar, "x"), `me ${mesh.peer} ${STRANGER.v4}`);
        assert.equal(sidecar.ruleset(), before);
        await tunnel.call("incoming.release", { port: 8081 });
        await until("the proxy has found the pod", async () => (await ask(sidecar, "x")) === pods);
        assert.ok(came.every(({ bytes }) => /^x-forwarded-for: /im.test(bytes)));
        await tunnel.call("incoming.steal", { port: 8081, flush: true });
        agent.process.kill("SIGKILL");
        await agent.ended();
        await until("the pod answers", async () => (await ask(sidecar, "x")) === pods);
        assert.equal(sidecar.ruleset(), before);
        assert.doesNotMatch(sidecar.place.pod.run("nft", "list", "tables"), /inpod/);
      },
    );

    test(
      `${mesh.name}, ${rules}: what a filter leaves goes to the server, not through the proxy again`,
      options,
      async (t) => {
        const { sidecar, before, tunnel } = await begin(t);
        assert.equal(await ask(sidecar, "x"), pods);
        const filter = { header: "^x-user: me$" };
        await tunnel.call("incoming.steal", { port: 8081, flush: true, filter });
        await until("the proxy has come again", async () =>
          (await ask(sidecar, "me")).startsWith("me"),
        );
        const count = Number(await ask(sidecar, "", CONTROL));
        for (let each = 0; each < 3; each++) {
          assert.equal(await ask(sidecar, "x"), pods, "as without us");
          assert.equal(await ask(sidecar, "me"), `me ${mesh.peer} ${STRANGER.v4}`);
        }
        assert.equal(Number(await ask(sidecar, "", CONTROL)), count + 3);
        assert.equal(sidecar.ruleset(), before);
      },
    );

    test(
      `${mesh.name}, ${rules}: what the proxy decrypts is taken, and nothing before it`,
      options,
      async (t) => {
        const { sidecar, tunnel, came } = await begin(t, true);
        await tunnel.call("incoming.steal", { port: 8081, flush: true });
        // Not encrypted, the proxy refuses it: so it was the proxy that was reached.
        assert.match(await ask(sidecar, "x"), /^(|ECONNRESET)$/);
        assert.equal(came.length, 0);
        assert.equal(await overTls(sidecar), `me ${mesh.peer} ${STRANGER.v4}`);
        assert.equal(came.length, 1);
        await tunnel.call("incoming.release", { port: 8081 });
        await tunnel.call("incoming.mirror", { port: 8081 });
        await until("the pod answers", async () => (await overTls(sidecar)) === pods);
        await until("a copy", () => came.length > 1);
        assert.match(came.at(-1)?.bytes ?? "", /^GET \/tls HTTP/);
        assert.ok(came.every(({ bytes }) => bytes.startsWith("GET ")));
      },
    );

    test(
      `${mesh.name}, ${rules}: a copy is what the server gets, and there is one of it`,
      options,
      async (t) => {
        const { sidecar, tunnel, came } = await begin(t);
        await tunnel.call("incoming.mirror", { port: 8081 });
        // Of a connection that the proxy keeps there is one copy, with all its requests.
        for (const user of ["first", "second", "third"]) {
          assert.equal(await ask(sidecar, user), pods);
          const all = (): string[] =>
            came.flatMap(({ bytes }) => bytes.match(/^x-user: .*$/gim) ?? []);
          await until(`a copy of ${user}`, () => all().some((line) => line.endsWith(user)));
        }
        const copied = came.map(({ bytes }) => bytes).join("");
        assert.deepEqual(
          copied.match(/^x-user: \S+/gim)?.map((line) => line.slice(8)),
          ["first", "second", "third"],
        );
        assert.equal(copied.match(/^x-forwarded-for: /gim)?.length, 3);
        assert.deepEqual([...new Set(came.map(({ client }) => client))], [mesh.peer]);
      },
    );

    test(
      `${mesh.name}, ${rules}: the program's outgoing goes through the proxy, as the pod's own does`,
      options,
      async (t) => {
        const { sidecar, agent, tunnel } = await begin(t);
        const outside = spawn(
          ...programOf(
            sidecar.place.pod.inside(
              [
                process.execPath,
                "-e",
                `require("http").createServer((q,a)=>a.end(q.headers["x-through"]+" "+q.socket.remoteAddress)).listen(9000,"${STRANGER.v4}",()=>console.log("ready"))`,
              ],
              sidecar.place.outside,
            ),
          ),
          { stdio: ["ignore", "pipe", "inherit"] },
        );
        t.after(() => outside.kill("SIGKILL"));
        await createInterface({ input: outside.stdout })[Symbol.asyncIterator]().next();
        const own = await sidecar.place.talkInside(9000, STRANGER.v4);
        own.say(request("x"));
        assert.equal(await answer(own), `sidecar ${POD.v4}`);
        const channel = tunnel.open({ kind: "tcp", host: STRANGER.v4, port: 9000 });
        const ended = new Promise<string>((resolve) => {
          let text = "";
          channel.onData = (bytes) => {
            text += Buffer.from(bytes).toString("latin1");
          };
          channel.onEnd = () => resolve(text);
          channel.onReset = (errno) => resolve(errno);
        });
        await channel.opened;
        channel.write(Buffer.from(request("x")));
        assert.match(await ended, new RegExp(`\r\n\r\nsidecar ${POD.v4}$`));
        assert.equal(agent.process.exitCode, null);
      },
    );
  }
}

const programOf = ([program = "", ...rest]: string[]): [string, string[]] => [program, rest];

/** What is answered over TLS, whoever says it. */
async function overTls({ place }: Sidecar): Promise<string> {
  const source = `const s=require("tls").connect({host:"${POD.v4}",port:8081,rejectUnauthorized:false});let a="";
    s.setEncoding("latin1");s.on("secureConnect",()=>s.write("GET /tls HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n"));
    s.on("data",(b)=>a+=b);s.on("error",(e)=>a=e.code);s.on("close",()=>console.log(a.split("\\r\\n").at(-1)))`;
  const words = place.pod.inside([process.execPath, "-e", source], place.outside);
  const child = spawn(...programOf(words), { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  for await (const chunk of child.stdout) text += String(chunk);
  return text.trim();
}

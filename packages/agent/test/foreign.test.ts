/**
 * Servers and clients that others have written, through a filter: what it passes on to the pod, and what it gives to a
 * session, is byte for byte what they say to each other without it.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { connectTunnel, rawFromPublicKey, splice, type Tunnel } from "@inpod/tunnel";
import { Place, POD } from "./support/outside.ts";
import { Agent, openToPods, skipUnless, type Who } from "./support/pod.ts";

const has = (program: string): boolean =>
  spawnSync("sh", ["-c", `PATH=$PATH:/usr/sbin command -v ${program}`]).status === 0;

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const ARGS = [
  ...["--public-key", rawFromPublicKey(publicKey), "--idle-timeout-ms", "60000"],
  ...["--communication-timeout-ms", "60000"],
];
const FOREIGN = join(import.meta.dirname, "foreign");
const READY_MS = 60_000;
/** Requests over one connection. */
const COUNT = 20;

const folder = mkdtempSync(join(tmpdir(), "inpod-foreign-"));
const goProgram = join(folder, "foreign");
before(() => {
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, "www"));
  writeFileSync(join(folder, "www/page"), "page ".repeat(2000));
  if (!has("go")) return;
  const env = { ...process.env, CGO_ENABLED: "0" };
  execFileSync("go", ["build", "-o", goProgram, join(FOREIGN, "foreign.go")], { env });
});
after(() => rmSync(folder, { recursive: true }));

interface Server {
  readonly name: string;
  readonly port: number;
  readonly needs: string;
  command(address: string, port: number): string[];
}

const node = [process.execPath, join(FOREIGN, "node.cjs")];
const KNOWN: readonly Server[] = [
  {
    ...{ name: "nginx", port: 8101, needs: "nginx" },
    command: (address, port) => ["nginx", "-c", nginxConfig(address, port)],
  },
  {
    ...{ name: "go", port: 8102, needs: "go" },
    command: (address, port) => [goProgram, "serve", `${address}:${port}`],
  },
  {
    ...{ name: "python", port: 8103, needs: "python3" },
    command: (address, port) => ["python3", join(FOREIGN, "server.py"), address, String(port)],
  },
  {
    ...{ name: "node", port: 8104, needs: "node" },
    command: (address, port) => [...node, "serve", address, String(port)],
  },
];
const SERVERS = KNOWN.filter(({ needs }) => has(needs));

/** A folder of its own for each: what it writes must not be another's. */
function nginxConfig(address: string, port: number, listenOptions = ""): string {
  const own = mkdtempSync(join(folder, "nginx-"));
  openToPods(own); // nginx gives it to its user, which is root in the pod
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((each) => `${each}_temp_path ${own};`)
    .join(" ");
  const config = join(own, "nginx.conf");
  writeFileSync(
    config,
    `user root root; daemon off; master_process off; pid ${own}/pid; error_log stderr crit; events {}
     http { access_log off; ${temporary} root ${folder}/www; gzip on; gzip_types *;
       default_type text/plain;
       server { listen ${address}:${port} ${listenOptions}; location /echo { return 200 "echo $request_method\\n"; }
         location /chunks { try_files /page =404; } } }`,
  );
  return config;
}

const head = (line: string, ...headers: string[]): string =>
  `${[line, "Host: a", ...headers].join("\r\n")}\r\n\r\n`;
const LAST = "Connection: close";

/** Each to its end: the server's, after the last request. */
const REQUESTS: Readonly<Record<string, string>> = {
  "one request": head("GET /page HTTP/1.1", LAST),
  pipelined: `${head("GET /page HTTP/1.1")}${head("GET /chunks HTTP/1.1", "Accept-Encoding: gzip")}${head("GET /page HTTP/1.1", LAST)}`,
  "no body": `${head("HEAD /page HTTP/1.1")}${head("GET /page HTTP/1.1", LAST)}`,
  "a range": head("GET /page HTTP/1.1", "Range: bytes=100-299", LAST),
  "nothing new": `${head("GET /page HTTP/1.1", 'If-None-Match: "page"')}${head("HEAD /page HTTP/1.1", LAST)}`,
  "a long body": `${head("POST /echo HTTP/1.1", "Content-Length: 200000", LAST)}${"x".repeat(200_000)}`,
  chunked: `${head("POST /echo HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: X-Sum")}5;name="a b"\r\nhello\r\n3\r\n\r\n\0\r\n0\r\nX-Sum: 1\r\n\r\n${head("GET /page HTTP/1.1", LAST)}`,
  "an expectation": `${head("POST /echo HTTP/1.1", "Expect: 100-continue", "Content-Length: 3", LAST)}abc`,
  "HTTP/1.0": "GET /page HTTP/1.0\r\n\r\n",
  "odd spelling": "GET /page HTTP/1.1\r\nhOsT:a\r\nX-Odd:\t a  b \t\r\nconnection:CLOSE\r\n\r\n",
  "a method of one's own": head("BREW /page HTTP/1.1", LAST),
  "two lengths": `${head("POST /echo HTTP/1.1", "Content-Length: 3", "Transfer-Encoding: chunked", LAST)}0\r\n\r\n`,
  "no HTTP": "\x01\x02 what is this\r\n\r\n",
};
const UPGRADE = `${head("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: echo")}some bytes and bye`;

const requestsFor = ({ name }: Server): readonly string[] =>
  name === "node" ? [...Object.values(REQUESTS), UPGRADE] : Object.values(REQUESTS);

/** Two answers differ by when they were given. */
const withoutDates = (answer: string): string =>
  answer.replace(/^(date|last-modified): .*\r$/gim, "$1\r");

async function answersTo(place: Place, server: Server): Promise<Record<string, string>> {
  const requests = requestsFor(server);
  const words = place.pod.inside([...node, "raw", POD.v4, String(server.port)], place.outside);
  const text = await run(words, JSON.stringify(requests));
  const names = [...Object.keys(REQUESTS), "an upgrade"];
  return Object.fromEntries(
    (JSON.parse(text) as string[]).map((answer, at) => [names[at], withoutDates(answer)]),
  );
}

async function run([command = "", ...rest]: readonly string[], input = ""): Promise<string> {
  const child = spawn(command, rest, { stdio: ["pipe", "pipe", "pipe"], timeout: 120_000 });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk) => {
      output += chunk;
    });
  child.stdin.on("error", () => undefined); // it may end without a look at it
  child.stdin.end(input);
  const code = await new Promise((resolve) => child.once("close", resolve));
  assert.equal(code, 0, `${command} ${rest.join(" ")}: ${output}`);
  return output;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function answersSoon(port: number): Promise<void> {
  const deadline = performance.now() + READY_MS;
  for (;;) {
    const isThere = await new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      });
      socket.on("error", () => resolve(false));
    });
    if (isThere) return;
    assert.ok(performance.now() < deadline, `nobody listens on ${port}`);
    await delay(50);
  }
}

async function untilItListens(place: Place, port: number): Promise<void> {
  const deadline = performance.now() + READY_MS;
  while (!place.pod.run("ss", "-tlnH").includes(`:${port} `)) {
    assert.ok(performance.now() < deadline, `nobody listens on ${port} in the pod`);
    await delay(50);
  }
}

/** The developer's program: one of the same kind, on this machine. */
async function ownServer(server: Server, kill: (child: ChildProcess) => void): Promise<number> {
  const port = await freePort();
  const [command = "", ...rest] = server.command("127.0.0.1", port);
  kill(spawn(command, rest, { stdio: ["ignore", "ignore", "inherit"], env: ENV }));
  await answersSoon(port);
  return port;
}

const ENV = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };

function session(agent: Agent, programs: ReadonlyMap<number, number>): Promise<Tunnel> {
  return connectTunnel(agent.dial(), {
    ...{ sessionId: "a", privateKey, build: "test" },
    handlers: {
      onStream: (channel) => {
        const { header } = channel;
        const port = header.kind === "incoming" ? programs.get(header.local.port) : undefined;
        if (port === undefined) return channel.reset("ECONNREFUSED");
        channel.accept({ kind: "incoming" });
        const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
        splice(socket, channel);
      },
    },
  });
}

/** What clients of others have received in all, from each server. */
async function sums(place: Place, server: Server): Promise<Record<string, string>> {
  const url = `http://${POD.v4}:${server.port}/echo`;
  const clients: Record<string, string[] | undefined> = {
    go: has("go") ? [goProgram, "get", url, String(COUNT)] : undefined,
    python: has("python3")
      ? ["python3", join(FOREIGN, "client.py"), url, String(COUNT)]
      : undefined,
    node: [...node, "get", url, String(COUNT)],
    curl: has("curl")
      ? ["curl", "-sS", "--data-binary", "@/proc/self/exe", url, "--next", "-sS", url, "-d", "a=b"]
      : undefined,
  };
  const found: Record<string, string> = {};
  for (const [name, words] of Object.entries(clients))
    if (words !== undefined) found[name] = await run(place.pod.inside(words, place.outside));
  return found;
}

/** Many connections at once. */
async function storm(place: Place, server: Server): Promise<void> {
  const url = `http://${POD.v4}:${server.port}/page`;
  const words = ["wrk", "--timeout", "20s", "-t1", "-c16", "-d1s", url];
  let told = "";
  // On a busy machine a second may be over before the first answer.
  for (let tries = 0; tries < 20 && !/[1-9]\d* requests in /.test(told); tries++) {
    told = await run(place.pod.inside(words, place.outside));
    assert.doesNotMatch(told, /Socket errors|Non-2xx/, `${server.name}: ${told}`);
  }
  assert.match(told, /[1-9]\d* requests in /, `${server.name}: ${told}`);
}

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 240_000, skip: skipUnless(who) };

  test(`${who}: servers and clients of others notice nothing of a filter`, options, async (t) => {
    const place = await Place.start(who, 'console.log("ready")');
    t.after(() => place.stop());
    const kill = (child: ChildProcess): void => {
      t.after(() => child.kill("SIGKILL"));
    };
    const programs = new Map<number, number>();
    for (const server of SERVERS) {
      const [command = "", ...rest] = place.pod.inside(server.command(POD.v4, server.port));
      kill(spawn(command, rest, { stdio: ["ignore", "ignore", "inherit"], env: ENV }));
      await untilItListens(place, server.port);
      programs.set(server.port, await ownServer(server, kill));
    }
    const all = async (): Promise<Record<string, unknown>> => {
      const found = SERVERS.map(async (server) => {
        const bytes = await answersTo(place, server);
        return [server.name, { bytes, sums: await sums(place, server) }] as const;
      });
      return Object.fromEntries(await Promise.all(found));
    };
    const direct = await all();
    const agent = await Agent.serve(who, place.pod, ARGS);
    t.after(() => agent.stop());
    const tunnel = await session(agent, programs);
    for (const [what, filter] of [
      ["passed on to the pod", { header: "^x-user: nobody$" }],
      ["the session's", { path: "." }],
    ] as const) {
      for (const { port } of SERVERS) await tunnel.call("incoming.steal", { port, filter });
      assert.deepEqual(await all(), direct, what);
      if (has("wrk")) await Promise.all(SERVERS.map((server) => storm(place, server)));
    }
    const { sessions, passed } = await tunnel.call("status", {});
    for (const { requests } of passed) assert.ok(requests >= 60, "the pod had its part");
    for (const { requests } of sessions[0]?.ports ?? []) assert.ok(requests >= 60, "so had we");
    assert.equal(sessions[0]?.ports.length, SERVERS.length);
  });

  test(`${who}: h2load and curl notice nothing of a filter in HTTP/2`, options, async (t) => {
    if (!["nginx", "h2load", "curl"].every(has)) return t.skip("needs nginx, h2load and curl");
    const place = await Place.start(who, 'console.log("ready")');
    t.after(() => place.stop());
    const kill = (child: ChildProcess): void => {
      t.after(() => child.kill("SIGKILL"));
    };
    const command = (address: string, port: number): string[] => [
      "nginx",
      "-c",
      nginxConfig(address, port, "http2"),
    ];
    const server: Server = { name: "nginx", port: 8105, needs: "nginx", command };
    const [program = "", ...rest] = place.pod.inside(command(POD.v4, server.port));
    kill(spawn(program, rest, { stdio: ["ignore", "ignore", "inherit"], env: ENV }));
    await untilItListens(place, server.port);
    const programs = new Map([[server.port, await ownServer(server, kill)]]);
    const url = `http://${POD.v4}:${server.port}`;
    const curl = ["curl", "-sS", "--http2-prior-knowledge", "-i", `${url}/page`];
    const ask = (): Promise<string> => run(place.pod.inside(curl, place.outside));
    const direct = withoutDates(await ask());
    assert.match(direct, /^HTTP\/2 /);
    const agent = await Agent.serve(who, place.pod, ARGS);
    t.after(() => agent.stop());
    const tunnel = await session(agent, programs);
    for (const filter of [{ header: "^x-user: nobody$" }, { path: "." }]) {
      await tunnel.call("incoming.steal", { port: server.port, filter });
      assert.equal(withoutDates(await ask()), direct);
      const load = ["h2load", "-n", "2000", "-c", "4", "-m", "16", `${url}/page`];
      const told = await run(place.pod.inside(load, place.outside));
      assert.match(told, /2000 total, .* 2000 done, 2000 succeeded, 0 failed, 0 errored/, told);
    }
    const { sessions, passed } = await tunnel.call("status", {});
    assert.equal(passed[0]?.requests, 2001);
    assert.equal(sessions[0]?.ports[0]?.requests, 2001);
  });
}

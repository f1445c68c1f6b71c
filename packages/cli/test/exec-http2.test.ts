/**
 * Filters on HTTP/2, with programs that know nothing of inpod: what a client observes of the pod, and of a program in
 * its place, is what it observes of each without inpod.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { NETWORK } from "@inpod/sandbox";
import { Inventory, type Run, startInpod, useSandbox, witness } from "./exec-support.ts";

const { sandbox, folder } = await useSandbox();

const PYTHON = "/usr/bin/python3";
const GRPC_IN_PYTHON = fileURLToPath(
  new URL("../../../sandbox/witness/grpc/witness.py", import.meta.url),
);
const HTTP_PORT = 8080;
const GRPC_PORT = 50051;
/** Where the program that is to take the pod's place is asked in the pod itself, for comparison. */
const COMPARED_PORT = 50052;

let inventory: Inventory;
const servers: ChildProcess[] = [];
const copies = new Map<string, string>();
afterEach(async () => {
  // Gone before the next one's program is written to the same place.
  await Promise.all(
    servers.splice(0).map((server) => {
      const closed = once(server, "close");
      server.kill("SIGKILL");
      return closed;
    }),
  );
});

const { address: pod } = NETWORK.pod;

/** Runs in the pod until the test ends; a static program. Resolves when it listens. */
async function inPod(argv: readonly string[], ...args: string[]): Promise<void> {
  const [program = ""] = argv;
  const path = copies.get(program) ?? (await sandbox.copyIntoPod(program));
  copies.set(program, path);
  const server = sandbox.inPod([path, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  servers.push(server);
  assert.ok(server.stdout);
  const [line] = await once(createInterface(server.stdout), "line");
  assert.match(String(line), /^listening/);
}

async function asClient(...argv: string[]): Promise<string> {
  const child = sandbox.inClient(argv, { stdio: ["ignore", "pipe", "inherit"], timeout: 60_000 });
  const closed = once(child, "close");
  const chunks: Buffer[] = [];
  for await (const chunk of child.stdout ?? []) chunks.push(chunk as Buffer);
  assert.deepEqual(await closed, [0, null], argv.join(" "));
  return Buffer.concat(chunks).toString("latin1");
}

async function start(argv: readonly string[], port: number): Promise<Run> {
  const http_filter = { header_filter: "^x-user: me$" };
  const config = { feature: { network: { incoming: { mode: "steal", http_filter } } } };
  inventory = await Inventory.of(sandbox);
  const run = await startInpod(sandbox, argv, { config });
  await run.said(`requests to port ${port} of the target now arrive`, "stderr");
  await run.said("listening");
  return run;
}

async function interrupted(run: Run): Promise<void> {
  run.signalGroup("SIGINT");
  await run.ended;
  await inventory.assertAsBefore(folder);
}

interface Observed {
  readonly Call: string;
  readonly Code?: string | undefined;
}

/** Both sides watch a deadline: who is first is chance. What nobody knows each implementation says in its words. */
const observed = (lines: string): Observed[] =>
  lines
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Observed)
    .map((all) => (/^(Wait|Missing)$/.test(all.Call) ? { Call: all.Call, Code: all.Code } : all));

function pythonLacks(): string | undefined {
  try {
    execFileSync(PYTHON, ["-c", "import grpc"], { stdio: "ignore" });
    return undefined;
  } catch {
    return `${PYTHON} has no grpcio`;
  }
}

for (const language of ["Go", "Python"] as const) {
  test(`gRPC: Go and Python observe of a program in ${language}, and of the pod, what they observe of both directly`, async (t) => {
    const go = await witness("go-grpc", t);
    if (go === undefined) return;
    const lacks = pythonLacks();
    if (lacks !== undefined) return t.skip(lacks);
    const clients = [
      [...go, "client"],
      [PYTHON, GRPC_IN_PYTHON, "client"],
    ];
    await inPod(go, "server", "pod", String(GRPC_PORT));
    await inPod(go, "server", "dev", String(COMPARED_PORT));
    const ask = async (argv: string[], port: number, user: string): Promise<Observed[]> =>
      observed(await asClient(...argv, `${pod}:${port}`, user));
    const direct = await Promise.all(
      clients.map(async (argv) => ({
        pod: await ask(argv, GRPC_PORT, "other"),
        dev: await ask(argv, COMPARED_PORT, "me"),
      })),
    );
    const program = language === "Go" ? go : [PYTHON, GRPC_IN_PYTHON];
    const run = await start([...program, "server", "dev", String(GRPC_PORT)], GRPC_PORT);
    for (const [at, argv] of clients.entries()) {
      const expected = direct[at];
      assert.equal(expected?.pod.length, 9);
      const [passed, taken] = await Promise.all([
        ask(argv, GRPC_PORT, "other"),
        ask(argv, GRPC_PORT, "me"),
      ]);
      assert.deepEqual(passed, expected?.pod);
      assert.deepEqual(taken, expected?.dev);
    }
    // A deadline and a cancellation of each client.
    await run.said(/(dev heard of the end\n){4}/);
    await interrupted(run);
  });
}

const NODE_SERVER = `
import http2 from "node:http2";
const [, , name, port] = process.argv;
http2.createServer().on("stream", (stream, headers) => {
  if (headers[":path"] === "/breakpoint") {
    stream.respond({ ":status": 200 });
    // Nothing runs meanwhile, as in a debugger.
    setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000));
  } else if (headers[":path"] === "/echo") {
    let length = 0;
    stream.on("data", (bytes) => { length += bytes.length; });
    stream.respond({ ":status": 200, "x-name": name, trailer: "X-Length" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-length": String(length) }));
    stream.pipe(stream);
  } else {
    stream.resume();
    stream.respond({ ":status": 200 });
    stream.end(name + " HTTP/2.0 " + headers[":path"] + "\\n");
  }
}).listen(port, () => console.log("listening", port));
`;

/** Of the body of a stream: of two it is a large one. */
const lengthOf = (at: number): number => (at < 2 ? 1_000_000 : 4000 * at);

const NODE_CLIENT = `
import http2 from "node:http2";
import { createHash } from "node:crypto";
const [, , url, count] = process.argv;
const session = http2.connect(url);
const one = (at) => new Promise((resolve, reject) => {
  const user = at % 2 === 0 ? "me" : "other";
  const hash = createHash("sha256");
  const found = { user };
  const stream = session.request({ ":method": "POST", ":path": "/echo", "x-user": user });
  stream.on("response", (fields) => { found.name = fields["x-name"]; });
  stream.on("trailers", (fields) => { found.length = fields["x-length"]; });
  stream.on("data", (bytes) => hash.update(bytes));
  stream.on("error", reject);
  stream.on("end", () => resolve({ ...found, sum: hash.digest("hex") }));
  stream.end(Buffer.alloc((${lengthOf})(at), String(at)));
});
console.log(JSON.stringify(await Promise.all(Array.from({ length: +count }, (_, at) => one(at)))));
session.close();
`;

for (const language of ["Node", "Go"] as const) {
  test(`a program of HTTP/2 in ${language}: curl gets the same bytes, and streams of one connection go two ways`, async (t) => {
    const go = await witness("go-http2", t);
    if (go === undefined) return;
    const [server, asker, upload] = ["server.mjs", "client.mjs", "upload"].map((name) =>
      join(folder, name),
    ) as [string, string, string];
    await writeFile(server, NODE_SERVER);
    await writeFile(asker, NODE_CLIENT);
    // In one frame: curl 7.88 loses or repeats some of what it sends when that must wait, without inpod just as well.
    const bytes = Buffer.alloc(10_000).map((_, at) => (at * at) % 251);
    await writeFile(upload, bytes);
    await inPod(go, "pod", String(HTTP_PORT));
    const url = `http://${pod}:${HTTP_PORT}`;
    const echoed = async (user: string): Promise<string> => {
      const said = await asClient(
        ...["curl", "-sS", "--http2-prior-knowledge", "-H", `X-User: ${user}`, "-D", "-"],
        ...["--data-binary", `@${upload}`, "-o", join(folder, "got"), `${url}/echo`],
      );
      const got = execFileSync("sha256sum", [join(folder, "got")], { encoding: "utf8" });
      assert.equal(got.slice(0, 64), createHash("sha256").update(bytes).digest("hex"));
      return said.replace(/^date: .*\r\n/im, "").toLowerCase();
    };
    const direct = await echoed("other");
    const program = language === "Go" ? go : [process.execPath, server];
    const run = await start([...program, "mine", String(HTTP_PORT)], HTTP_PORT);
    assert.equal(await echoed("other"), direct);
    const taken = await echoed("me");
    assert.match(taken, /^http\/2 200 *\r\n/);
    assert.match(taken, /x-name: mine\r\n/);
    const count = 60;
    const asked = JSON.parse(await asClient(process.execPath, asker, url, String(count)));
    assert.equal(asked.length, count);
    for (const [at, { name, length, sum }] of asked.entries()) {
      const body = Buffer.alloc(lengthOf(at), String(at));
      const hash = createHash("sha256").update(body).digest("hex");
      assert.deepEqual(
        [name, Number(length), sum],
        [at % 2 === 0 ? "mine" : "pod", body.length, hash],
      );
    }
    await interrupted(run);
  });
}

test("a program that stands still holds up its own streams and nobody else's, and what waits is bounded", async (t) => {
  const go = await witness("go-http2", t);
  if (go === undefined) return;
  const server = join(folder, "server.mjs");
  await writeFile(server, NODE_SERVER);
  await inPod(go, "pod", String(HTTP_PORT));
  const url = `http://${pod}:${HTTP_PORT}`;
  const run = await start([process.execPath, server, "mine", String(HTTP_PORT)], HTTP_PORT);
  // Both over one connection: the first is stuck, the second is not.
  const asker = join(folder, "two.mjs");
  await writeFile(
    asker,
    `import http2 from "node:http2";
    import { once } from "node:events";
    const session = http2.connect("${url}");
    const stuck = session.request({ ":method": "POST", ":path": "/breakpoint", "x-user": "me" });
    await once(stuck, "response");
    stuck.on("error", () => undefined);
    let sent = 0;
    const more = () => { do sent += 65536; while (sent < 60e6 && stuck.write(Buffer.alloc(65536))); };
    stuck.on("drain", more);
    more();
    for (let each = 0; each < 50; each++) {
      const stream = session.request({ ":path": "/" + each });
      let text = "";
      for await (const chunk of stream) text += chunk;
      if (text !== "pod HTTP/2.0 /" + each + "\\n") throw new Error(text);
    }
    console.log(sent);
    process.exit();`,
  );
  const sent = Number(await asClient(process.execPath, asker));
  assert.ok(sent > 0 && sent < 30_000_000, `${sent} bytes were taken from the client`);
  await interrupted(run);
});

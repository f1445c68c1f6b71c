/** Filters inside TLS, with foreign clients: who answers, what the program gets, and what is said. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Certificate, makeCertificate, NETWORK } from "@inpod/sandbox";
import { Inventory, type Run, startInpod, useSandbox } from "./exec-support.ts";

const { sandbox, folder } = await useSandbox();

const PORT = 8443;
const HOST = "orders.test";
const root = makeCertificate({ names: ["root.test"] });
const ofPod = makeCertificate({ names: [HOST], issuer: root });
const own = makeCertificate({ names: [HOST], issuer: root });
const expired = makeCertificate({ names: [HOST], notAfter: new Date(Date.now() - 86_400_000) });

const file = (name: string): string => join(folder, name);

/** Written for `node -e`: says who asks for what, in which protocol and for which name. */
const POD = `require("http2").createSecureServer({cert:process.env.CERT,key:process.env.KEY,allowHTTP1:true},(q,a)=>
  a.end(["pod",q.socket.remoteAddress.replace("::ffff:",""),q.socket.alpnProtocol,q.socket.servername,q.url].join(" ")+"\\n"))
  .listen(${PORT},"0.0.0.0",()=>console.log("ready"))`;

const files = { root, pod: ofPod, own, expired };
for (const [name, { cert, key }] of Object.entries(files) as [string, Certificate][]) {
  await writeFile(join(folder, `${name}.pem`), cert);
  await writeFile(join(folder, `${name}.key`), key);
}
await writeFile(join(folder, "none.pem"), "nothing\n");
const server = sandbox.inPod([process.execPath, "-e", POD], {
  env: { CERT: ofPod.cert, KEY: ofPod.key },
  stdio: ["ignore", "pipe", "inherit"],
});
await once(server.stdout as NodeJS.ReadableStream, "data");
const inventory = await Inventory.of(sandbox);
after(() => {
  server.kill("SIGKILL");
});

const curlSays = spawnSync("curl", ["--version"], { encoding: "utf8" });
const options = { skip: curlSays.status === 0 ? false : "needs curl" };
const hasHttp2 = /HTTP2/.test(curlSays.stdout ?? "");

const trust = (): string[] => [
  ...["--cacert", file("root.pem")],
  ...["--resolve", `${HOST}:${PORT}:${NETWORK.pod.address}`],
];
/** curl's words for the request of one user. */
const asks = (user: string, version = "--http1.1"): string[] => [
  ...["--silent", "--show-error", version, "--max-time", "20", ...trust()],
  ...["--header", `X-User: ${user}`, `https://${HOST}:${PORT}/${user}`],
];

/** What a program in the client's network says, its exit code before it if that is not 0. */
async function client(...argv: string[]): Promise<string> {
  const child = sandbox.inClient(argv, { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
  const [code] = await once(child, "close");
  return code === 0 ? text.trim() : `${code} ${text}`;
}

/** The certificate is checked; several users share a connection. */
const curl = (...users: string[]): Promise<string> =>
  client("curl", ...users.flatMap((user, at) => [...(at > 0 ? ["--next"] : []), ...asks(user)]));

/** A server of the developer's: HTTPS, or HTTP; it says what it gets. */
async function program(isTls: boolean): Promise<string[]> {
  const path = file(`server-${isTls}.mjs`);
  await writeFile(
    path,
    `import { createSecureServer } from "node:http2";
    import { createServer as http } from "node:http";
    import { readFileSync } from "node:fs";
    const options = { cert: readFileSync(${JSON.stringify(file("own.pem"))}),
      key: readFileSync(${JSON.stringify(file("own.key"))}), allowHTTP1: true };
    const answer = (q, a) => a.end(["mine", q.socket.remoteAddress.replace("::ffff:", ""),
      q.socket.alpnProtocol ?? "plain", q.socket.servername ?? "", q.url].join(" ") + "\\n");
    (${isTls} ? createSecureServer(options, answer) : http(answer)).listen(${PORT}, () => console.log("listening"));`,
  );
  return [process.execPath, path];
}

async function start(isTls: boolean, incoming: object, flags: string[] = []): Promise<Run> {
  const config = {
    feature: {
      network: {
        incoming: { mode: "steal", http_filter: { header_filter: "^x-user: me$" }, ...incoming },
      },
    },
  };
  const run = await startInpod(sandbox, await program(isTls), { config, flags });
  await run.said("listening");
  await run.said("now arrive", "stderr");
  return run;
}

async function interrupted(run: Run): Promise<void> {
  run.signalGroup("SIGINT");
  await run.ended;
  await inventory.assertAsBefore(folder);
}

const podCertificate = () => [{ cert: file("pod.pem"), key: file("pod.key") }];
const CLIENT = NETWORK.client.address;
const fromPod = (user: string): string => `pod ${CLIENT} http/1.1 ${HOST} /${user}`;

test(
  "requests inside TLS are filtered, and the program gets them in TLS as their client began it",
  options,
  async () => {
    const run = await start(true, { tls: podCertificate() }, ["--verbose"]);
    const mine = `mine ${CLIENT} http/1.1 ${HOST} /me`;
    assert.equal(await curl("me"), mine);
    assert.equal(
      await curl("you", "me", "you", "me"),
      [fromPod("you"), mine, fromPod("you"), mine].join("\n"),
      "over one connection",
    );
    await interrupted(run);
    assert.equal(await curl("me"), fromPod("me"));
    assert.doesNotMatch(run.stderr, /TLS|PRIVATE/);
    for (const line of ofPod.key.split("\n").slice(1, -2)) assert.ok(!run.stderr.includes(line));
  },
);

test("streams of HTTP/2 inside TLS are filtered, each for itself", {
  skip: hasHttp2 ? false : "needs a curl that speaks HTTP/2",
}, async () => {
  const run = await start(true, { tls: podCertificate() });
  const users = ["you", "me", "you", "me"];
  const answers = await client(
    "curl",
    ...users.flatMap((user, at) => [...(at > 0 ? ["--next"] : []), ...asks(user, "--http2")]),
  );
  assert.equal(
    answers,
    users
      .map((user) => `${user === "me" ? "mine" : "pod"} ${CLIENT} h2 ${HOST} /${user}`)
      .join("\n"),
  );
  await interrupted(run);
});

test('with the delivery "tcp" the program gets what was inside', options, async () => {
  const run = await start(false, { tls: podCertificate(), tls_delivery: { protocol: "tcp" } });
  assert.equal(await curl("me"), `mine ${CLIENT} plain  /me`);
  assert.equal(await curl("you"), fromPod("you"));
  await interrupted(run);
});

test(
  "a program without TLS where it must have it is told of, and its clients are not left waiting",
  options,
  async () => {
    const run = await start(false, { tls: podCertificate() });
    assert.match(await curl("me"), /^(52|56|35) /);
    await run.said(/your process does not speak TLS on port 8443.*tls_delivery/, "stderr");
    assert.equal(await curl("you"), fromPod("you"));
    await interrupted(run);
  },
);

test("a program is asked for its certificate if the user says so", options, async () => {
  const right = { trust_roots: [file("root.pem")], server_name: HOST };
  for (const [tls_delivery, answer] of [
    [right, /^mine/],
    [{ ...right, server_name: "other.test" }, /^(52|56|35) /],
    [{ server_cert: file("own.pem") }, /^mine/],
    [{ server_cert: file("pod.pem") }, /^(52|56|35) /],
  ] as const) {
    const run = await start(true, { tls: podCertificate(), tls_delivery });
    assert.match(await curl("me"), answer, JSON.stringify(tls_delivery));
    await interrupted(run);
  }
});

test("without a certificate TLS goes to the pod, and one line says so", options, async () => {
  const run = await start(true, {});
  for (let each = 0; each < 2; each++) assert.equal(await curl("me"), fromPod("me"));
  await run.said("TLS arrives on port 8443: your filter sees nothing of it", "stderr");
  await interrupted(run);
  assert.equal(run.stderr.match(/TLS arrives/g)?.length, 1);
});

test(
  "a client that does not know who signed the certificate says so, and the session tells",
  options,
  async () => {
    const alone = makeCertificate({ names: [HOST] });
    await writeFile(file("alone.pem"), alone.cert);
    await writeFile(file("alone.key"), alone.key);
    const run = await start(true, { tls: [{ cert: file("alone.pem"), key: file("alone.key") }] });
    assert.match(await curl("me"), /^60 /);
    await run.said(/a client of port 8443 does not take your certificate: .*unknown ca/, "stderr");
    await interrupted(run);
  },
);

/** Written for `python3 -c`: TLS 1.2 and no ALPN. */
const PYTHON = String.raw`import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.maximum_version = ssl.TLSVersion.TLSv1_2
with context.wrap_socket(socket.create_connection((sys.argv[2], ${PORT})), server_hostname="${HOST}") as s:
    s.sendall(b"GET /me HTTP/1.1\r\nHost: x\r\nX-User: me\r\nConnection: close\r\n\r\n")
    data = b""
    while True:
        got = s.recv(65536)
        if not got: break
        data += got
    print(data.decode().split("\r\n\r\n")[1])`;
const hasPython = spawnSync("python3", ["--version"]).status === 0;

test("Python's client is served, with TLS 1.2 and without ALPN", {
  skip: hasPython ? false : "needs python3",
}, async () => {
  const run = await start(true, { tls: podCertificate() });
  const answer = await client("python3", "-c", PYTHON, file("root.pem"), NETWORK.pod.address);
  assert.match(answer, new RegExp(`mine ${CLIENT} false ${HOST} /me`));
  await interrupted(run);
});

test("what cannot be used is refused before anything is made, with its place", async () => {
  for (const [tls, why] of [
    [[{ cert: file("nowhere.pem"), key: file("pod.key") }], /nowhere\.pem cannot be read/],
    [[{ cert: file("none.pem"), key: file("pod.key") }], /no certificate in .*none\.pem/],
    [[{ cert: file("pod.pem"), key: file("none.pem") }], /no private key in .*none\.pem/],
    [[{ cert: file("pod.pem"), key: file("own.key") }], /own\.key is not that of .*pod\.pem/],
    [[{ cert: file("expired.pem"), key: file("expired.key") }], /expired\.pem has expired on 20/],
    [[{ secret: "orders-tls" }], /no secret\/orders-tls beside process\//],
    [[{ cert: file("pod.pem") }], /tls\[0\].*cert and key, or .*secret/],
  ] as const) {
    const config = { feature: { network: { incoming: { mode: "steal", tls } } } };
    const run = await startInpod(sandbox, ["true"], { config });
    const { code, stderr } = await run.ended;
    assert.notEqual(code, 0);
    assert.match(stderr, why);
    assert.doesNotMatch(stderr, /bug:/);
  }
  await inventory.assertAsBefore(folder);
});

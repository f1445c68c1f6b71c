// The soak's work in Node: `work.cjs ITEM SEED`, or `work.cjs serve PORT`. Verifies its own answers; status 0, or not.
const assert = require("node:assert");
const dgram = require("node:dgram");
const dns = require("node:dns/promises");
const fs = require("node:fs/promises");
const http = require("node:http");
const net = require("node:net");
const { Worker } = require("node:worker_threads");

const { SOAK_NAME, SOAK_GREETING, SOAK_SETTINGS } = process.env;
const at = (variable) => {
  const [host, port] = process.env[variable].split(":");
  return { host, port: Number(port) };
};

function get(agent) {
  return new Promise((resolve, reject) => {
    http
      .get({ host: SOAK_NAME, agent, timeout: 30_000 }, (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (bytes) => {
          text += bytes;
        });
        answer.on("end", () => resolve(text)).on("error", reject);
      })
      .on("error", reject);
  });
}

async function web() {
  const agent = new http.Agent({ keepAlive: true });
  for (let i = 0; i < 10; i++) {
    const answers = await Promise.all([get(false), get(agent), get(agent)]);
    for (const text of answers) assert.match(text, /^greetings to /);
  }
  agent.destroy();
}

function echo(seed) {
  return new Promise((resolve, reject) => {
    const sent = Buffer.alloc(1 + (seed % 70_000), String(seed));
    const got = [];
    const socket = net.connect({ ...at("SOAK_ECHO"), timeout: 30_000 }, () => socket.end(sent));
    socket.on("data", (bytes) => got.push(bytes));
    socket.on("timeout", () => reject(new Error("nothing for 30 s")));
    socket.on("error", reject);
    socket.on("close", () => {
      assert.ok(Buffer.concat(got).equals(sent), "another echo");
      resolve();
    });
  });
}

function datagrams(seed) {
  return new Promise((resolve, reject) => {
    const udp = dgram.createSocket("udp4");
    const { host, port } = at("SOAK_UDP");
    const late = setTimeout(() => reject(new Error("no datagram for 30 s")), 30_000);
    let count = 0;
    udp.on("error", reject);
    udp.on("message", (bytes, from) => {
      // Of another program, which had the port before and was ended.
      if (!String(bytes).startsWith(`${seed} `)) return;
      assert.strictEqual(
        `${bytes} ${from.address}:${from.port}`,
        `${seed} ${count} ${host}:${port}`,
      );
      count += 1;
      if (count < 20) return udp.send(`${seed} ${count}`, port, host);
      clearTimeout(late);
      udp.close(resolve);
    });
    udp.send(`${seed} 0`, port, host);
  });
}

async function files() {
  for (let i = 0; i < 20; i++) {
    const texts = await Promise.all(
      ["/config/greeting", "/app/settings.json"].map((path) => fs.readFile(path, "utf8")),
    );
    assert.ok(texts[0].includes(SOAK_GREETING) && texts[1].includes(SOAK_SETTINGS), texts.join());
    await assert.rejects(fs.stat("/app/not-there"), { code: "ENOENT" });
  }
}

async function workers(seed) {
  const each = (i) =>
    new Promise((resolve, reject) => {
      const worker = new Worker(__filename, { argv: ["all", String(seed + i)] });
      worker
        .on("error", reject)
        .on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`worker ${code}`))));
    });
  await Promise.all([0, 1, 2].map(each));
}

function serve(port) {
  net
    .createServer((socket) => {
      const peer = `${socket.remoteAddress.replace("::ffff:", "")}:${socket.remotePort}`;
      socket
        .once("data", (bytes) => socket.end(`${String(bytes).trim()} ${peer}\n`))
        .on("error", () => {});
    })
    .listen(port);
  return new Promise(() => {});
}

async function names() {
  for (let i = 0; i < 5; i++) {
    const { address } = await dns.lookup(SOAK_NAME);
    const [resolved] = await dns.resolve4(process.env.SOAK_FULL_NAME);
    assert.deepStrictEqual([address, resolved], [at("SOAK_UDP").host, at("SOAK_UDP").host]);
    await assert.rejects(dns.lookup("nobody.nowhere.example"), { code: "ENOTFOUND" });
  }
}

const items = {
  web,
  files,
  datagrams,
  names,
  workers,
  serve,
  echoes: (seed) => Promise.all(Array.from({ length: 20 }, (_, i) => echo(seed + i))),
  all: async (seed) => {
    await Promise.all([web(), files(), datagrams(seed), names(), echo(seed)]);
  },
};
const [item, seed] = process.argv.slice(2);
items[item](Number(seed)).then(
  () => process.stdout.write("ok\n"),
  (error) => {
    process.stdout.write(`${error.stack}\n`);
    process.exitCode = 1;
  },
);

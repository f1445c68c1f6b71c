// PORT. What facts.c answers, by Bun's own API. The same by Node's: node-single.mjs.
const PATIENCE_MS = 20_000;
const word = (error) =>
  ({ ENOTFOUND: "EAI_NONAME", DNS_ENOTFOUND: "EAI_NONAME" })[error.code ?? ""] ??
  error.code ??
  error.message;
const orWord = (observe) => observe().catch(word);

/** A request over Bun's sockets, which know their addresses. */
const get = (host) =>
  new Promise((resolve, reject) => {
    let text = "";
    Bun.connect({
      hostname: host,
      port: 80,
      socket: {
        open: (socket) => void socket.write(`GET / HTTP/1.0\r\nHost: ${host}\r\n\r\n`),
        data: (socket, bytes) => {
          text += bytes.toString();
          const body = text.split("\r\n\r\n")[1]?.trim();
          if (!body) return;
          const to = `${socket.remoteAddress}:${socket.remotePort}`;
          resolve(`${body}\nto ${to}\nfrom ${socket.localAddress}`);
          socket.end();
        },
        error: (_, error) => reject(error),
        connectError: (_, error) => reject(error),
      },
    }).catch(reject);
  });

const connect = (hostname, port) =>
  new Promise((resolve, reject) => {
    const socket = { open: () => resolve("connected"), data: () => {}, connectError: refuse };
    function refuse(_, error) {
      reject(error);
    }
    Bun.connect({ hostname, port, socket }).catch(reject);
  });

const server = Bun.serve({
  port: Number(process.argv[2]),
  idleTimeout: 60,
  async fetch(request) {
    const [host = "", port, unreachable = "", variable = "", ...file] = new URL(
      request.url,
    ).pathname
      .slice(1)
      .split("/");
    const peer = server.requestIP(request);
    const fetched = async () =>
      (
        await (await fetch(`http://${host}/`, { signal: AbortSignal.timeout(PATIENCE_MS) })).text()
      ).trim();
    const lines = await Promise.all([
      orWord(() => get(host)).then((value) => `out ${value}`),
      orWord(fetched).then((value) => `out ${value}`),
      orWord(async () => (await Bun.dns.lookup(host, { family: 4 }))[0]?.address ?? "").then(
        (v) => `dns ${v}`,
      ),
      orWord(
        async () =>
          (await Bun.dns.lookup(host, { family: 4, backend: "c-ares" }))[0]?.address ?? "",
      ).then((v) => `resolver ${v}`),
      orWord(async () => (await Bun.file(`/${file.join("/")}`).text()).trim()).then(
        (v) => `file ${v}`,
      ),
      orWord(() => connect(host, Number(port))).then((value) => `refused ${value}`),
      orWord(() => connect(unreachable, 80)).then((value) => `unreachable ${value}`),
      orWord(() => connect("nobody.example", 80)).then((value) => `unknown ${value}`),
    ]);
    const { hostname } = await import("node:os");
    const address = peer?.address.replace(/^::ffff:/, "");
    return new Response(
      `peer ${address}:${peer?.port}\n${lines.join("\n")}\nenv ${Bun.env[variable]}\nhostname ${hostname()}\nby ${process.pid}\n`,
    );
  },
});
console.log(`listening ${server.port}`);

/**
 * What facts.c answers, observed by whatever runs Node's API: exported for the servers beside this file.
 */
import dns from "node:dns/promises";
import { readFile } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import os from "node:os";

const PATIENCE_MS = 20_000;
const plain = (address) => (address ?? "").replace(/^::ffff:/, "");
const word = (error) => {
  // happy eyeballs: one error for all addresses
  const { code, message } = error.errors?.[0] ?? error;
  return code === "ENOTFOUND" ? "EAI_NONAME" : (code ?? message);
};
const orWord = (observe) => observe().catch(word);

const get = (host) =>
  new Promise((resolve, reject) => {
    const request = http.get({ host, agent: false, signal: AbortSignal.timeout(PATIENCE_MS) });
    request.on("error", reject).on("response", (response) => {
      const { remoteAddress, remotePort, localAddress } = response.socket;
      let text = "";
      response.on("data", (bytes) => {
        text += bytes;
      });
      response.on("end", () =>
        resolve(
          `${text.trim()}\nto ${plain(remoteAddress)}:${remotePort}\nfrom ${plain(localAddress)}`,
        ),
      );
    });
  });

const connect = (host, port) =>
  new Promise((resolve, reject) => {
    const socket = net.connect({ host, port, timeout: PATIENCE_MS });
    socket.on("error", reject).on("connect", () => {
      socket.destroy();
      resolve("connected");
    });
  });

/** @param path /HOST/REFUSED-PORT/UNREACHABLE/VARIABLE/FILE */
export async function observe(path) {
  const [host, port, unreachable, variable, ...file] = path.slice(1).split("/");
  const fetched = async () => (await (await fetch(`http://${host}/`)).text()).trim();
  const contents = async () => (await readFile(`/${file.join("/")}`, "utf8")).trim();
  const lines = await Promise.all([
    orWord(() => get(host)).then((value) => `out ${value}`),
    orWord(fetched).then((value) => `out ${value}`),
    orWord(async () => (await dns.lookup(host, { family: 4 })).address).then((v) => `dns ${v}`),
    orWord(async () => (await dns.resolve4(NAME(host)))[0]).then((value) => `resolver ${value}`),
    orWord(contents).then((value) => `file ${value}`),
    orWord(() => connect(host, Number(port))).then((value) => `refused ${value}`),
    orWord(() => connect(unreachable, 80)).then((value) => `unreachable ${value}`),
    orWord(() => connect("nobody.example", 80)).then((value) => `unknown ${value}`),
  ]);
  return [...lines, `env ${process.env[variable]}`, `hostname ${os.hostname()}`].join("\n");
}

/** c-ares appends search domains only when it looks a host up, not for a query of its own. */
const NAME = (host) => (host.includes(".") ? host : `${host}.shop.svc.cluster.local`);

/** @param by which of the processes or threads this is */
export const server = (by) =>
  http.createServer(async ({ url, socket }, response) => {
    const peer = `${plain(socket.remoteAddress)}:${socket.remotePort}`;
    const local = `${plain(socket.localAddress)}:${socket.localPort}`;
    response.end(`peer ${peer}\nlocal ${local}\n${await observe(url)}\nby ${by}\n`);
  });

// The pod's clients: connections to the ports that the session's servers have, each with a word of its own, which must
// come back once, with this client's own address. On stdin "whole" (answers when each port has answered), "go" (asks from
// now on), "gap" (until "whole" the target may answer in the servers' place, or nobody) and "end". JSON lines on stdout.
//   clients.cjs HOST WIDTH PORT...
const net = require("node:net");
const readline = require("node:readline");

const ANSWER_MS = 30_000;
const [host, width, ...ports] = process.argv.slice(2);
const counts = Object.fromEntries(ports.map((port) => [port, { ok: 0, missed: 0 }]));
const failures = [];
let number = 0;
let gap = 0;
let isOver = false;

const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

function ask(port) {
  return new Promise((resolve) => {
    number += 1;
    const word = `w${number}`;
    let got = "";
    let local;
    const socket = net.connect({ host, port: Number(port), timeout: ANSWER_MS }, () => {
      local = `${socket.localAddress}:${socket.localPort}`;
      socket.write(`${word}\n`);
    });
    socket.setEncoding("latin1").on("data", (text) => {
      got += text;
    });
    socket.on("timeout", () => socket.destroy(new Error(`no answer within ${ANSWER_MS} ms`)));
    let error;
    socket.on("error", (each) => {
      error = each;
    });
    socket.on("close", () => {
      if (got === `${word} ${local}\n`) resolve(undefined);
      else
        resolve(error ? error.message : `${word} ${local} was answered by ${JSON.stringify(got)}`);
    });
  });
}

async function whole() {
  for (const port of ports) while ((await ask(port)) !== undefined) await delay(50);
  gap = 0;
  say("whole");
}

async function work(index) {
  for (let i = index; !isOver; i++) {
    const port = ports[i % ports.length];
    const before = gap;
    const wrong = await ask(port);
    if (wrong === undefined) counts[port].ok += 1;
    else if (before > 0 || gap > 0) counts[port].missed += 1;
    else failures.push(`port ${port}: ${wrong}`);
    if (failures.length > 20) break;
    await delay(wrong === undefined ? 5 : 50);
  }
}

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  if (line === "gap") {
    gap = 1;
    say("gap");
  } else if (line === "whole") void whole();
  else if (line === "go") void go();
  else isOver = true;
});

async function go() {
  say("go");
  await Promise.all(Array.from({ length: Number(width) }, (_, i) => work(i)));
  say({ counts, failures });
  process.exit(0);
}

// Runs inside a session: one item of work after the other, several at once, chosen by a seed. Reads "once" (each item
// once) and "go MS" from stdin and says what became of it as a line of JSON; ends with stdin.
//   runner.cjs SEED WIDTH ITEMS SERVERS, the items and the servers' commands as JSON (see items.ts)
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const readline = require("node:readline");

const ITEM_MS = 60_000;
const MAX_STOPS = 20;
const [seedText, width, itemsText, serversText] = process.argv.slice(2);
const items = JSON.parse(itemsText);
let isOver = false;
const servers = JSON.parse(serversText).map((argv) => start(argv, 0));
for (const { ended } of servers)
  void ended.then((how) => {
    if (!isOver) fs.writeSync(2, `a server has ended: ${JSON.stringify(how)}\n`);
  });
let state = Number(seedText) || 1;

const random = (below) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};
const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function start([program, ...args], seed) {
  const argv = args.map((word) => word.replace("SEED", String(seed)));
  const child = spawn(program, argv, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text) => {
      said = (said + text).slice(-2000);
    });
  const ended = new Promise((resolve) => {
    child.once("error", (error) => resolve({ code: -1, signal: null, said: error.message }));
    child.once("close", (code, signal) => resolve({ code, signal, said }));
  });
  return { child, ended };
}

/** Its own main thread, or one of its children: whoever is chosen is stopped or ended in the middle of its calls. */
function memberOf(pid) {
  try {
    const children = fs
      .readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1")
      .trim()
      .split(/\s+/);
    const all = [pid, ...children.filter(Boolean).map(Number)];
    return all[random(all.length)];
  } catch {
    return pid;
  }
}
const signal = (pid, name) => {
  try {
    process.kill(pid, name);
  } catch {
    // it has ended
  }
};

/** What went wrong, or undefined. */
async function run(item, seed) {
  const { child, ended } = start(item.argv, seed);
  let isLate = false;
  const deadline = setTimeout(() => {
    isLate = true;
    signal(child.pid, "SIGKILL");
  }, ITEM_MS);
  if (item.how === "stopped") {
    for (let i = 0; i < MAX_STOPS && child.exitCode === null && child.signalCode === null; i++) {
      await delay(random(40));
      signal(child.pid, "SIGSTOP");
      await delay(random(40));
      signal(child.pid, "SIGCONT");
    }
  }
  if (item.how === "killed") {
    await delay(20 + random(200));
    signal(memberOf(child.pid), "SIGKILL");
    await delay(random(100));
    signal(child.pid, "SIGKILL");
  }
  const { code, signal: by, said } = await ended;
  clearTimeout(deadline);
  if (isLate) return `not over within ${ITEM_MS} ms: ${said}`;
  if (item.how === "killed")
    return by === "SIGKILL" ? undefined : `ended with ${code} ${by}: ${said}`;
  return code === 0 && /^ok$/m.test(said) ? undefined : `ended with ${code} ${by}: ${said}`;
}

async function work(chosen, isOver) {
  const counts = {};
  const failures = [];
  const each = async () => {
    for (let index = chosen(); index !== undefined && !isOver(); index = chosen()) {
      const item = items[index];
      const seed = 1 + random(2 ** 31 - 2);
      const wrong = await run(item, seed);
      counts[item.name] = (counts[item.name] ?? 0) + 1;
      if (wrong !== undefined) failures.push(`${item.name} ${seed}: ${wrong}`);
      if (failures.length > 20) return;
    }
  };
  await Promise.all(Array.from({ length: Number(width) }, each));
  process.stdout.write(`${JSON.stringify({ counts, failures })}\n`);
}

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [command, ms] = line.split(" ");
    const end = performance.now() + Number(ms ?? 0);
    let next = 0;
    if (command === "once")
      void work(
        () => (next < items.length ? next++ : undefined),
        () => false,
      );
    else
      void work(
        () => random(items.length),
        () => performance.now() > end,
      );
  })
  .on("close", () => {
    isOver = true;
    for (const { child } of servers) signal(child.pid, "SIGTERM");
    void Promise.all(servers.map(({ ended }) => ended)).then(() => process.exit(0));
  });
process.stdout.write("ready\n");

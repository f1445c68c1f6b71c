import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { NAMES, NETWORK, type Sandbox, startSandbox } from "@inpod/sandbox";
import {
  CLI,
  endRuns,
  Inventory,
  isRoot,
  isStopped,
  Run,
  startCli,
  until,
} from "./exec-support.ts";
import { Laptop } from "./routes-laptop.ts";

const options = isRoot ? {} : { skip: "routes need root" };
const SUBNET = "198.18.200.0/24";
const SUBNET_V6 = "2001:2:0:c8::/64";
const { greetings, refusedPort, udpEchoPort } = NETWORK.services;
const { pod } = NETWORK;
const ECHO = `tcp ${pod.address} ${pod.echoPort}`;

let sandbox: Sandbox;
let inventory: Inventory;
let laptop: Laptop;
let stateBefore: string;
before(async () => {
  if (!isRoot) return;
  sandbox = await startSandbox({ hasIPv6: true });
  inventory = await Inventory.of(sandbox);
  laptop = await Laptop.start({
    network: (argv) => sandbox.inLaptop(argv, { stdio: ["ignore", "pipe", "pipe"] }),
  });
  stateBefore = await laptop.state();
});
after(async () => {
  await laptop?.stop();
  await sandbox?.stop();
});
afterEach(endRuns);

const connect = (...words: string[]): Run =>
  startCli(sandbox, ["connect", "--mode", "routes", "-t", `process/${sandbox.pid}`, ...words], {
    through: laptop.enter,
  });

async function connected(...words: string[]): Promise<Run> {
  const run = connect("--include", SUBNET, ...words);
  await run.said("until Ctrl-C", "stderr");
  return run;
}

/** The kernel takes links and namespaces away a moment after their last user. */
async function asBefore(): Promise<void> {
  let now = "";
  await until("the machine is what it was", async () => {
    now = await laptop.state();
    return now === stateBefore;
  }).catch(() => assert.equal(now, stateBefore));
  await inventory.assertAsBefore();
}

async function interrupted(run: Run): Promise<void> {
  run.signalGroup("SIGINT");
  const { code, stdout, stderr } = await run.ended;
  assert.deepEqual([code, stdout], [0, ""], stderr);
  await asBefore();
}

const helperOf = async (run: Run): Promise<number> => {
  const found = await laptop.run("pgrep", "-P", String(run.pid), "-f", "inpod-routes hold");
  return Number(found.trim());
};

test(
  "TCP, UDP and names of the cluster are the machine's; all else is as before, and is again",
  options,
  async () => {
    const run = await connected(`--include=${SUBNET_V6}`);
    const meets: Readonly<Record<string, string | RegExp>> = {
      // What a pod of the namespace says, and what any does.
      "lookup greetings": greetings,
      "lookup greetings.shop": greetings,
      "lookup greetings.shop.svc": greetings,
      [`lookup ${NAMES.greetings}`]: greetings,
      // Over TCP: it is too long for a datagram.
      [`lookup ${NAMES.large}`]: "60",
      // What exists outside stays what it is.
      "lookup www.example.com": "192.0.2.80",
      "lookup db.shop": "192.0.2.81",
      "lookup nobody.example.com": "ENOTFOUND",
      "http http://greetings/": /^greetings/,
      // One direction ends by itself.
      [`tcp ${pod.address} ${pod.echoPort}`]: "over and out",
      [`tcp ${greetings} ${refusedPort}`]: "ECONNRESET",
      [`tcp ${pod.addressIPv6} ${refusedPort}`]: "ECONNRESET",
      [`udp ${greetings} ${udpEchoPort}`]: `ping from ${greetings} ${udpEchoPort}`,
      [`udp ${pod.address} ${pod.udpPort}`]: /^I am the pod.* from 198\.18\.200\.2 5300$/,
      // As ICMP has it.
      [`udp ${pod.address} 9`]: "ECONNREFUSED",
      [`udp ${pod.addressIPv6} 9`]: "ECONNREFUSED",
    };
    const results = await laptop.meets(...Object.keys(meets));
    for (const [i, [act, expected]] of Object.entries(meets).entries()) {
      if (typeof expected === "string") assert.equal(results[i], expected, act);
      else assert.match(results[i] ?? "", expected, act);
    }
    // Processes of other tests may end at any time: its exit code says nothing of this session.
    const verify = new Run(laptop.start([process.execPath, CLI, "verify", "--machine"]));
    const { stdout } = await verify.ended;
    assert.match(stdout, /in use:\n(.*\n)*.*\/etc\/resolv\.conf/);
    assert.equal(await laptop.run(process.execPath, "-e", BULK), `${BULK_BYTES} true\n`);
    await interrupted(run);
  },
);

/** Bytes of it go both ways, and come back the same. */
const BULK_BYTES = 32 << 20;
const BULK = `const { createHash } = require("crypto");
const s = require("net").connect({ port: ${pod.echoPort}, host: "${pod.address}", allowHalfOpen: true });
const sent = createHash("sha256"), got = createHash("sha256"); let left = ${BULK_BYTES}, count = 0;
const more = () => { for (;;) { if (left === 0) return s.end(); const b = Buffer.alloc(65536, (left / 65536) & 255);
  left -= b.length; sent.update(b); if (!s.write(b)) return s.once("drain", more); } };
s.on("connect", more); s.on("data", (d) => { count += d.length; got.update(d); });
s.on("end", () => console.log(count, sent.digest("hex") === got.digest("hex")))`;

test("what is excluded stays the machine's, which has no way there", options, async () => {
  const run = await connected("--exclude", `${greetings}/32`);
  const [excluded, included, name] = await laptop.meets(
    `tcp ${greetings} 80`,
    ECHO,
    "lookup greetings",
  );
  assert.match(excluded ?? "", /EHOSTUNREACH|ENETUNREACH/);
  // Names go on: they are asked for through the session, whatever is routed.
  assert.deepEqual([included, name], ["over and out", greetings]);
  await interrupted(run);
  assert.equal((await connect("--include", SUBNET, "--exclude", SUBNET).ended).code, 1);
});

test(
  "kill -9 of the CLI: routes, names and the namespace are gone, and nobody had to begin anew",
  options,
  async () => {
    const run = await connected();
    const open = laptop.start([
      "curl",
      "-sS",
      "-N",
      "-m",
      "20",
      `telnet://${pod.address}:${pod.echoPort}`,
    ]);
    await until(
      "a connection stands",
      async () => (await laptop.sh("ss -Htn state established")) !== "",
    );
    run.child.kill("SIGKILL");
    await run.ended;
    await asBefore();
    open.kill("SIGKILL");
  },
);

test(
  "kill -9 of what holds the routes: the session ends, says so, and everything is as before",
  options,
  async () => {
    const run = await connected();
    process.kill(await helperOf(run), "SIGKILL");
    const { code, stderr } = await run.ended;
    assert.equal(code, 5);
    assert.match(stderr, /routes are gone: SIGKILL/);
    await asBefore();
  },
);

test(
  "kill -9 of both: verify names the file, and the next start restores it first",
  options,
  async () => {
    const run = await connected();
    const helper = await helperOf(run);
    process.kill(helper, "SIGSTOP"); // so that it does not restore what the CLI's end tells it to
    run.child.kill("SIGKILL");
    process.kill(helper, "SIGKILL");
    await run.ended;
    await until(
      "the routes are gone",
      async () => !(await laptop.sh("ip route")).includes("inpod"),
    );
    assert.match(await laptop.sh("cat /etc/resolv.conf"), /^# While inpod connect runs/);
    const verify = new Run(laptop.start([process.execPath, CLI, "verify", "--machine"]));
    const { code, stdout } = await verify.ended;
    assert.equal(code, 1);
    assert.match(stdout, /\/etc\/resolv\.conf: .*inpod recover/);
    // Before any cluster is asked, which without name servers might not be found.
    assert.equal(
      await laptop.sh(
        "cp -a /var/lib/inpod-resolv.conf /var/lib/again; cat /etc/resolv.conf >/var/lib/changed",
      ),
      "",
    );
    const recover = new Run(laptop.start([process.execPath, CLI, "recover", "--machine"]));
    assert.equal((await recover.ended).code, 0);
    assert.equal(recover.stderr, "inpod: /etc/resolv.conf is again what it was\n");
    assert.match(
      await laptop.sh("cat /etc/resolv.conf; ls /var/lib"),
      /^nameserver 127\.0\.0\.77\n(.*\n)*again\nchanged\n$/,
    );
    await laptop.sh(
      "cd /var/lib; cat changed >/etc/resolv.conf; mv again inpod-resolv.conf; rm changed",
    );
    const next = await connected("--no-dns");
    assert.match(next.stderr, /\/etc\/resolv\.conf is again what it was/);
    await interrupted(next);
  },
);

test(
  "another program that writes resolv.conf meanwhile is told of, and its file is left to it",
  options,
  async () => {
    const run = await connected();
    const second = await connect("--include", "198.18.169.0/24").ended;
    assert.equal(second.code, 1, second.stderr);
    assert.match(second.stderr, /another inpod connect \(process \d+\)(.|\n)*--no-dns/);
    // Ctrl-Z: who is stopped answers nobody, and DNS is what it was.
    run.signalGroup("SIGTSTP");
    await until("the file is what it was", async () =>
      (await laptop.sh("cat /etc/resolv.conf")).startsWith("nameserver 127.0.0.77"),
    );
    assert.deepEqual(await laptop.meets("lookup www.example.com"), ["192.0.2.80"]);
    await until("it is stopped", () => isStopped(run.pid));
    run.signalGroup("SIGCONT");
    await until("names are the cluster's again", async () =>
      (await laptop.sh("cat /etc/resolv.conf")).startsWith("# While inpod connect runs"),
    );
    assert.deepEqual(await laptop.meets("lookup greetings"), [greetings]);
    await laptop.sh("printf 'nameserver 127.0.0.99\\n' >/etc/resolv.conf");
    await run.said("another program has written /etc/resolv.conf", "stderr");
    run.signalGroup("SIGINT");
    const { code, stderr } = await run.ended;
    assert.equal(code, 0);
    assert.match(stderr, /was written by another program meanwhile, and stays as it is/);
    assert.equal(
      await laptop.sh("cat /etc/resolv.conf; ls -A /var/lib"),
      "nameserver 127.0.0.99\n",
    );
    await laptop.sh(
      "printf 'nameserver 127.0.0.77\\nsearch corp.example\\noptions timeout:2\\n' >/etc/resolv.conf",
    );
    await asBefore();
  },
);

test(
  "a link to another file, and a file that is a mount point, as in containers, are that again",
  options,
  async () => {
    await laptop.sh("cd /etc; mv resolv.conf real; ln -s real resolv.conf");
    const state = await laptop.state();
    const run = await connected();
    assert.deepEqual(await laptop.meets("lookup greetings"), [greetings]);
    assert.match(await laptop.sh("cat /etc/real"), /127\.0\.0\.77/);
    run.child.kill("SIGKILL");
    await run.ended;
    await until("the link is back", async () => (await laptop.state()) === state);
    await laptop.sh(
      "cd /etc; rm resolv.conf; mv real resolv.conf; cp -p resolv.conf real; mount --bind real resolv.conf",
    );
    const mounted = await connected();
    assert.deepEqual(await laptop.meets("lookup greetings"), [greetings]);
    mounted.signalGroup("SIGINT");
    assert.equal((await mounted.ended).code, 0);
    await laptop.sh("umount /etc/resolv.conf; cmp /etc/real /etc/resolv.conf; rm /etc/real");
    await asBefore();
  },
);

test(
  "DNS that cannot be split is refused with the way out, before anything is changed; --no-dns goes on",
  options,
  async () => {
    for (const [how, undo, why] of [
      ["mount -o remount,bind,ro /etc", "mount -o remount,bind,rw /etc", /EROFS/],
      ["mv /etc/resolv.conf /etc/away", "mv /etc/away /etc/resolv.conf", /ENOENT/],
      ["chattr +i /etc/resolv.conf", "chattr -i /etc/resolv.conf", /EPERM(.|\n)*chattr/],
    ] as const) {
      try {
        await laptop.sh(how);
      } catch {
        continue; // a file system without immutable files
      }
      const { code, stderr } = await connect("--include", SUBNET).ended;
      assert.equal(code, 1, stderr);
      assert.match(stderr, why);
      assert.match(stderr, /--no-dns(.|\n)*--mode proxy/);
      assert.doesNotMatch(await laptop.sh("ip link"), /inpod/);
      const run = await connected("--no-dns");
      const [echo, name] = await laptop.meets(ECHO, `lookup ${NAMES.greetings}`);
      assert.equal(echo, "over and out");
      assert.match(name ?? "", /ENOTFOUND|EAI_AGAIN/);
      run.signalGroup("SIGINT");
      assert.equal((await run.ended).code, 0);
      await laptop.sh(undo);
      await asBefore();
    }
  },
);

test("an ordinary user is told what to type, before an agent is started", async (t) => {
  if (isRoot) return t.skip("for an ordinary user");
  const words = [CLI, "connect", "--mode", "routes", "-t", "process/1", "--include", SUBNET];
  const { spawn } = await import("node:child_process");
  const run = new Run(spawn(process.execPath, words, { stdio: ["ignore", "pipe", "pipe"] }));
  const { code, stderr } = await run.ended;
  assert.equal(code, 1, stderr);
  assert.match(stderr, /only root(.|\n)*sudo -E inpod connect(.|\n)*--mode proxy/);
});

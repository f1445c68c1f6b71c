import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { ARGS, type Copied, Developer } from "./support/developer.ts";
import { Agent, Pod, skipUnless, type Who } from "./support/pod.ts";

/** A network of the client's own, joined to the pod's by a cable and by a tunnel through it. */
const CABLE = `
  unshare -n sleep 600 >/dev/null & client=$!
  # unshare has become another network's when it has become sleep.
  for i in $(seq 500); do grep -q sleep /proc/$client/comm && break; sleep 0.02; done
  ip link add veth0 type veth peer name veth1 netns $client
  in_client() { nsenter -n -t $client "$@"; }
  ip address add 198.18.9.1/24 dev veth0; ip address add fd09::1/64 dev veth0 nodad; ip link set veth0 up
  in_client ip address add 198.18.9.2/24 dev veth1; in_client ip address add fd09::2/64 dev veth1 nodad
  in_client ip link set veth1 up
  ip link add tunnel type vxlan id 5 local 198.18.9.1 remote 198.18.9.2 dstport 4789
  in_client ip link add tunnel type vxlan id 5 local 198.18.9.2 remote 198.18.9.1 dstport 4789
  ip address add 198.18.10.1/24 dev tunnel; ip link set tunnel up
  in_client ip address add 198.18.10.2/24 dev tunnel; in_client ip link set tunnel up
`;

/** On the same cable a network of its own by VLAN tags, and one of tags within these. */
const VLANS = `${CABLE}
  ip link add link veth0 name tagged type vlan id 7; in_client ip link add link veth1 name tagged type vlan id 7
  ip link add link tagged name twice type vlan id 8; in_client ip link add link tagged name twice type vlan id 8
  ip address add 198.18.11.1/24 dev tagged; in_client ip address add 198.18.11.2/24 dev tagged
  ip address add fd13::1/64 dev twice nodad; in_client ip address add fd13::2/64 dev twice nodad
  for each in tagged twice; do ip link set $each up; in_client ip link set $each up; done
`;

const HAS_VLANS =
  spawnSync("unshare", [
    ...["-Urn", "ip", "link", "add", "link", "lo", "name", "tagged", "type", "vlan", "id", "7"],
  ]).status === 0;

/** Behind the client another one, whose packets have no DF, and are too large for the cable between the two and the pod. */
const FAR = `${CABLE}
  unshare -n sleep 601 >/dev/null & far=$!
  for i in $(seq 500); do grep -q sleep /proc/$far/comm && break; sleep 0.02; done
  ip link add veth2 type veth peer name veth3 netns $far; ip link set veth2 netns $client
  in_far() { nsenter -n -t $far "$@"; }
  in_client ip address add 198.18.12.1/24 dev veth2; in_client ip link set veth2 up
  in_far ip address add 198.18.12.2/24 dev veth3; in_far ip link set veth3 up
  in_far ip route add default via 198.18.12.1; ip route add 198.18.12.0/24 via 198.18.9.2
  in_client sh -c "echo 1 > /proc/sys/net/ipv4/ip_forward"; in_far sh -c "echo 1 > /proc/sys/net/ipv4/ip_no_pmtu_disc"
  in_client ip link set veth1 mtu 600
`;

/**
 * Written for `node -e`: sends `bytes` made from `seed`, `pace` of them every 2 ms or all at once, ends, and prints their hash when the pod has
 * them all.
 */
const UPLOAD = `const [host, seed, bytes, pace] = process.argv.slice(1);
  const c = require("crypto");
  const key = c.createHash("sha256").update(seed).digest();
  const data = c.createCipheriv("aes-256-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(+bytes));
  const s = require("net").connect({ port: 8080, host });
  s.resume(); s.on("error", (e) => { console.log(e.code); process.exit(1); });
  if (pace) { let at = 0; const go = setInterval(() => {
      s.write(data.subarray(at, at += +pace)); if (at >= data.length) { clearInterval(go); s.end(); } }, 2);
  } else { s.write(data); s.end(); }
  s.on("close", () => console.log(c.createHash("md5").update(data).digest("hex")));`;

/** Written for `node -e`: as many segments of 64 bytes as can be sent in so many milliseconds. */
const FLOOD = `const s = require("net").connect({ port: 8080, host: process.argv[1], noDelay: true });
  s.resume(); const end = Date.now() + +process.argv[2]; const one = Buffer.alloc(64);
  const go = () => { if (Date.now() > end) { s.end(); return; }
    for (let i = 0; i < 100; i++) s.write(one); setImmediate(go); };
  s.on("connect", go); s.on("close", () => console.log("sent"));`;

/** Written for `python3 -c`: a connection whose packets have hop-by-hop and destination options before TCP. */
const OPTIONS = `import socket
s = socket.socket(socket.AF_INET6); padding = bytes([0, 0, 1, 4, 0, 0, 0, 0])
s.setsockopt(41, 54, padding); s.setsockopt(41, 59, padding)
s.connect(("fd09::1", 8080)); s.send(b"behind two headers"); print(s.recv(9).decode().strip())`;
const HAS_PYTHON = spawnSync("python3", ["--version"]).status === 0;

/** The process that holds the client's network, or another one's. */
function clientOf(pod: Pod, seconds = 600): number {
  for (const name of readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
    try {
      const status = readFileSync(`/proc/${name}/status`, "utf8");
      const isSleep = readFileSync(`/proc/${name}/cmdline`, "utf8") === `sleep\0${seconds}\0`;
      if (isSleep && status.includes(`\nPPid:\t${pod.pid}\n`)) return Number(name);
    } catch {
      // it has ended meanwhile
    }
  }
  throw new Error("there is no client");
}

async function run(argv: string[]): Promise<string> {
  const [command = "", ...rest] = argv;
  const child = spawn(command, rest, { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (text: Buffer) => {
    said += String(text);
  });
  await once(child, "close");
  return said.trim();
}

const node = (script: string, ...args: string[]): string[] => [
  process.execPath,
  "-e",
  script,
  ...args,
];
const hashOf = ({ bytes }: Copied): string =>
  createHash("md5").update(Buffer.from(bytes, "latin1")).digest("hex");

/** IPv4 packets that hold a TCP header, of so many words, and nothing else. */
const BARE = Array.from(
  { length: 11 },
  (_, more) =>
    `add rule inet seen in tcp dport 8080 tcp doff ${5 + more} ip length ${40 + 4 * more} accept;`,
);
/** Counts in the pod what the mirror is to see: what begins or ends a connection, and what has data. */
const COUNT =
  "add table inet seen; add chain inet seen in { type filter hook input priority 0; };" +
  "add rule inet seen in tcp dport 8080 tcp flags & (fin | syn | rst) != 0 counter accept;" +
  `${BARE.join("")} add rule inet seen in tcp dport 8080 counter`;

function counted(pod: Pod): number {
  const rules = pod.run("nft", "list", "table", "inet", "seen");
  const counts = [...rules.matchAll(/packets (\d+)/g)].map(([, count]) => Number(count));
  assert.equal(counts.length, 2, rules);
  return counts.reduce((sum, each) => sum + each, 0);
}

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 120_000, skip: skipUnless(who) };

  test(
    `${who}: uploads of many clients are copied byte for byte, in segments as large as the kernel makes them, also through a tunnel`,
    options,
    async (t) => {
      const pod = await Pod.start(who, CABLE);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, ARGS);
      t.after(() => agent.stop());
      const one = await Developer.join(agent, "session-a");
      await one.tunnel.call("incoming.mirror", { port: 8080 });
      const client = clientOf(pod);
      const hosts = ["198.18.9.1", "fd09::1", "198.18.10.1"];
      const hashes = await Promise.all(
        hosts.map((host) => run(pod.inside(node(UPLOAD, host, host, "4000000"), client))),
      );
      await one.until("three whole copies", () => one.copies.every(({ end }) => end === "end"));
      assert.deepEqual(one.copies.map(hashOf).sort(), hashes.toSorted());
      assert.deepEqual(
        one.copies.map(({ header }) => `${header.client.address} ${header.local.address}`).sort(),
        ["198.18.10.2 198.18.10.1", "198.18.9.2 198.18.9.1", "fd09::2 fd09::1"],
      );
      assert.deepEqual(one.notices, []);
    },
  );

  /** Uploads from the network of the process that sleeps so long, and their copies. */
  async function assertCopied(
    t: TestContext,
    setup: string,
    seconds: number,
    hosts: string[],
  ): Promise<Pod> {
    const pod = await Pod.start(who, setup);
    t.after(() => pod.stop());
    const agent = await Agent.serve(who, pod, ARGS);
    t.after(() => agent.stop());
    const one = await Developer.join(agent, "session-a");
    await one.tunnel.call("incoming.mirror", { port: 8080 });
    const from = clientOf(pod, seconds);
    const hashes = await Promise.all(
      hosts.map((host) => run(pod.inside(node(UPLOAD, host, host, "300000"), from))),
    );
    await one.until("whole copies", () => {
      return one.copies.length > 0 && one.copies.every(({ end }) => end !== "open");
    });
    assert.deepEqual(one.copies.map(hashOf).sort(), hashes.toSorted());
    assert.deepEqual(one.notices, []);
    return pod;
  }

  test(`${who}: a connection over a VLAN has one copy, also over one inside another`, {
    ...options,
    skip: options.skip || (!HAS_VLANS && "needs a kernel with VLANs (8021q)"),
  }, async (t) => {
    await assertCopied(t, VLANS, 600, ["198.18.11.1", "fd13::1"]);
  });

  test(
    `${who}: a connection whose packets come in fragments has a whole copy`,
    options,
    async (t) => {
      const pod = await assertCopied(t, FAR, 601, ["198.18.9.1"]);
      const [, names = "", counts = ""] =
        /^Ip: (.*)\nIp: (.*)$/m.exec(pod.run("cat", "/proc/self/net/snmp")) ?? [];
      const reassembled = counts.split(" ")[names.split(" ").indexOf("ReasmOKs")];
      assert.ok(Number(reassembled) > 50, `${reassembled} packets came in fragments`);
    },
  );

  test(`${who}: a connection over IPv6 whose packets have extension headers has a copy`, {
    ...options,
    skip: options.skip || (!HAS_PYTHON && "needs python3"),
  }, async (t) => {
    const pod = await Pod.start(who, CABLE);
    t.after(() => pod.stop());
    const agent = await Agent.serve(who, pod, ARGS);
    t.after(() => agent.stop());
    const one = await Developer.join(agent, "session-a");
    await one.tunnel.call("incoming.mirror", { port: 8080 });
    const asked = run(pod.inside(["python3", "-c", OPTIONS], clientOf(pod)));
    await one.copyOf("behind two headers");
    assert.equal(await asked, "pod");
  });

  test(
    `${who}: packets that are lost before they arrive, or behind the mirror, and sent again, change nothing of a copy`,
    options,
    async (t) => {
      const pod = await Pod.start(who, CABLE);
      t.after(() => pod.stop());
      const client = clientOf(pod);
      const lose = (hook: string) =>
        `add table inet lossy; add chain inet lossy loses { type filter hook ${hook} priority 0; };` +
        `add rule inet lossy loses tcp dport 8080 numgen random mod 100 < 4 counter drop`;
      await run(pod.inside(["nft", lose("output")], client));
      pod.run("nft", lose("input"));
      const agent = await Agent.serve(who, pod, ARGS);
      t.after(() => agent.stop());
      const one = await Developer.join(agent, "session-a");
      await one.tunnel.call("incoming.mirror", { port: 8080 });
      const uploads = Array.from({ length: 6 }, (_, each) =>
        run(
          pod.inside(
            node(UPLOAD, each % 2 ? "198.18.9.1" : "fd09::1", `${each}`, "1000000"),
            client,
          ),
        ),
      );
      const hashes = await Promise.all(uploads);
      await one.until("all copies", () => {
        return one.copies.length === 6 && one.copies.every(({ end }) => end !== "open");
      });
      assert.deepEqual(one.copies.map(hashOf).sort(), hashes.toSorted());
      const again = Number(
        (await run(pod.inside(["cat", "/proc/self/net/snmp"], client)))
          .match(/^Tcp:.*\nTcp: (.*)$/m)?.[1]
          ?.split(" ")[11],
      );
      assert.ok(again > 0, "no segment was sent twice: nothing was tried");
      assert.match(pod.run("nft", "list", "table", "inet", "lossy"), /packets [1-9]/);
    },
  );

  test(
    `${who}: every packet is passed on once or counted as lost, for a reader that does not run too`,
    options,
    async (t) => {
      const pod = await Pod.start(who, CABLE);
      t.after(() => pod.stop());
      const agent = await Agent.start(who, pod);
      t.after(() => agent.stop());
      await agent.call("pid"); // Node is there, and what comes next is the reader
      const before = agent.children();
      await agent.call("mirror", 8080);
      const [reader] = agent.children().filter((pid) => !before.includes(pid));
      assert.ok(reader);
      const client = clientOf(pod);
      pod.run("nft", COUNT);
      pod.run("kill", "-STOP", String(reader));
      for (const host of ["198.18.9.1", "127.0.0.1"]) {
        const flood = node(FLOOD, host, "1500");
        assert.equal(
          await run(pod.inside(flood, host.startsWith("127") ? undefined : client)),
          "sent",
        );
      }
      pod.run("kill", "-CONT", String(reader));
      const seen = (): Promise<{ packets: number; lost: number }> => agent.call("packets");
      const wanted = counted(pod);
      const deadline = performance.now() + 60_000;
      let last = await seen();
      while (last.packets + last.lost < wanted && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        last = await seen();
      }
      assert.ok(last.lost > 0 && last.packets > 0, JSON.stringify(last));
      assert.equal(last.packets + last.lost, wanted, JSON.stringify(last));
    },
  );

  test(
    `${who}: a copy with a hole is reset and told, packets that were lost are counted, and the next connection has a copy again`,
    options,
    async (t) => {
      const pod = await Pod.start(who, CABLE);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, ARGS);
      t.after(() => agent.stop());
      const one = await Developer.join(agent, "session-a");
      const before = agent.children();
      await one.tunnel.call("incoming.mirror", { port: 8080 });
      const [reader] = agent.children().filter((pid) => !before.includes(pid));
      assert.ok(reader);
      const client = clientOf(pod);
      pod.run("nft", COUNT);
      const [command = "", ...rest] = pod.inside(node(FLOOD, "198.18.9.1", "60000"), client);
      const flood = spawn(command, rest, { stdio: ["ignore", "ignore", "inherit"] });
      t.after(() => flood.kill("SIGKILL"));
      await one.until("the first of it", () => (one.copies[0]?.bytes.length ?? 0) > 0);
      pod.run("kill", "-STOP", String(reader));
      const stopped = counted(pod);
      // More than the ring holds.
      while (counted(pod) < stopped + 120_000)
        await new Promise((resolve) => setTimeout(resolve, 50));
      pod.run("kill", "-CONT", String(reader));
      await one.until("the end of the copy", () => one.copies[0]?.end !== "open");
      assert.equal(one.copies[0]?.end, "ECONNABORTED");
      const told = (what: string): number | undefined =>
        one.notices.flatMap((each) =>
          each.kind === "mirror-missed" && each.what === what ? [each.count] : [],
        )[0];
      await one.until("both to be told", () => told("hole") === 1 && (told("packets") ?? 0) > 0);
      flood.kill("SIGKILL");
      const hash = await run(pod.inside(node(UPLOAD, "198.18.9.1", "after", "100000"), client));
      await one.until("a copy again", () => one.copies[1]?.end === "end");
      assert.equal(hashOf(one.copies[1] as Copied), hash);
    },
  );

  test(
    `${who}: a session that takes nothing has its copy reset, the pod and other sessions go on`,
    options,
    async (t) => {
      const pod = await Pod.start(who, CABLE);
      t.after(() => pod.stop());
      const agent = await Agent.serve(who, pod, ARGS);
      t.after(() => agent.stop());
      const [slow, quick] = await Promise.all(
        ["session-a", "session-b"].map((id) => Developer.join(agent, id)),
      );
      assert.ok(slow && quick);
      slow.isSlow = true;
      for (const { tunnel } of [slow, quick]) await tunnel.call("incoming.mirror", { port: 8080 });
      const upload = node(UPLOAD, "198.18.9.1", "much", "50000000", "100000");
      const hash = await run(pod.inside(upload, clientOf(pod)));
      await quick.until("the whole copy", () => quick.copies[0]?.end === "end");
      assert.equal(hashOf(quick.copies[0] as Copied), hash);
      await slow.until("the end of its copy", () => slow.copies[0]?.end === "ENOBUFS");
      assert.deepEqual(slow.notices, [
        { kind: "mirror-missed", port: 8080, what: "limit", count: 1 },
      ]);
      assert.deepEqual(quick.notices, []);
    },
  );
}

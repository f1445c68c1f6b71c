/** Connects and datagrams that fail: sandbox/witness/talk/err.c is told the same in the pod and through inpod. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import { Run, useSandbox } from "./exec-support.ts";
import { inPodAndThrough, startPeer } from "./talk-support.ts";

const { sandbox } = await useSandbox();

const { address: peer } = NETWORK.client;
/** How the client's side refuses, by its port. */
const REJECTIONS = {
  "host-unreachable": 91,
  "net-unreachable": 92,
  "admin-prohibited": 93,
  "port-unreachable": 94,
  "host-prohibited": 95,
} as const;
/** Routes of the pod that lead nowhere (ip-route(8)). */
const ROUTES = { prohibit: "198.18.78.1", blackhole: "198.18.79.1", throw: "198.18.80.1" } as const;

const tcpDestinations = [
  `refused ${NETWORK.services.greetings} ${NETWORK.services.refusedPort}`,
  ...Object.entries(REJECTIONS).map(([name, port]) => `icmp-${name} ${peer} ${port}`),
  ...Object.entries(ROUTES).map(([name, address]) => `route-${name} ${address} 80`),
  `route-unreachable ${NETWORK.unreachable} 80`,
];
const udpDestinations = [`refused ${peer} ${NETWORK.services.refusedPort}`];

async function ends(run: Run): Promise<void> {
  const { code, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
}

await startPeer(sandbox, [peer]);
const rules = Object.entries(REJECTIONS).map(
  ([name, port]) => `nft add rule ip t i tcp dport ${port} reject with icmp type ${name}`,
);
const reject = [
  "nft add table ip t",
  "nft add chain ip t i '{ type filter hook input priority 0; }'",
];
// Linux sends six ICMP errors to an address, and one a second after that.
const noLimit = "echo 0 >/proc/sys/net/ipv4/icmp_ratelimit";
await ends(new Run(sandbox.inClient(["sh", "-ec", [...reject, ...rules, noLimit].join("\n")])));
const routes = Object.entries(ROUTES).map(([kind, address]) => `ip route add ${kind} ${address}`);
// Linux tries for 127 s otherwise; twice is three.
const retries = "echo 1 >/proc/sys/net/ipv4/tcp_syn_retries";
await ends(new Run(sandbox.inPod(["sh", "-ec", [...routes, retries].join("\n")])));
const talk = (cases: readonly string[], destinations: readonly string[]) =>
  inPodAndThrough(sandbox, "talk-errors", cases, {
    settings: { DESTINATIONS: destinations.join(",") },
  });
const [tcp, udp, slow] = await Promise.all([
  talk(["tcp"], tcpDestinations),
  talk(["udp", "ipv6"], udpDestinations),
  talk(["timeout"], ["-"]),
]);

const parts = (text = ""): Map<string, string> =>
  new Map(text.split(/^(?=(?:datagrams )?to )/m).map((part) => [part.split("\n")[0] ?? "", part]));

for (const destination of tcpDestinations) {
  const [name = ""] = destination.split(" ");
  test(`TCP, ${name}: each call says what it says in the pod`, () => {
    const expected = parts(tcp.inPod.get("tcp")).get(`to ${name}`) ?? "";
    assert.match(expected, /^connect: E/m);
    assert.equal(parts(tcp.through.get("tcp")).get(`to ${name}`), expected);
  });
}

for (const destination of udpDestinations) {
  const [name = ""] = destination.split(" ");
  test(`UDP, ${name}: the next call is told, and the socket goes on`, () => {
    const expected = parts(udp.inPod.get("udp")).get(`datagrams to ${name}`) ?? "";
    assert.match(expected, /ECONNREFUSED(.|\n)*answer: six$/m);
    assert.equal(parts(udp.through.get("udp")).get(`datagrams to ${name}`), expected);
  });
}

test("TCP: a connect that is never answered times out as the pod's does", () => {
  assert.match(slow.inPod.get("timeout") ?? "", /^connect: ETIMEDOUT$/m);
  assert.equal(slow.through.get("timeout"), slow.inPod.get("timeout"));
});

test("from a pod without IPv6 nothing goes there, and it is said at once", () => {
  assert.match(udp.inPod.get("ipv6") ?? "", /^non-blocking: ENETUNREACH\ndatagram: ENETUNREACH$/m);
  assert.equal(udp.through.get("ipv6"), udp.inPod.get("ipv6"));
});

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  compileOutgoing,
  type OutgoingConfig,
  type OutgoingContext,
} from "../src/rules/outgoing.ts";

const CONFIG: OutgoingConfig = { tcp: true, udp: true, ignoreLocalhost: false };
const NAMES: Record<string, readonly string[]> = {
  "10.96.0.7": ["api.shop.svc.cluster.local"],
  "93.184.216.34": ["example.org", "www.example.org"],
  "fd00::7": ["api.example.org"],
};
const CONTEXT: OutgoingContext = {
  dns: true,
  nameservers: ["10.96.0.10", "fd00::a"],
  searchDomains: ["shop.svc.cluster.local", "svc.cluster.local"],
  names: (address) => NAMES[address] ?? [],
};

/** `tcp 10.0.0.1 80` */
function decide(
  destination: string,
  config: Partial<OutgoingConfig> = {},
  context: Partial<OutgoingContext> = {},
) {
  const [protocol, address = "", port] = destination.split(" ");
  return compileOutgoing(
    { ...CONFIG, ...config },
    { ...CONTEXT, ...context },
  )({
    protocol: protocol === "udp" ? "udp" : "tcp",
    address,
    port: Number(port),
  });
}

for (const [destination, expected] of [
  ["tcp 10.0.0.1 80", "remote"],
  ["udp 10.0.0.1 80", "remote"],
  ["tcp fd00::1 80", "remote"],
  ["tcp 127.0.0.1 80", "remote"],
  ["tcp 169.254.169.254 80", "remote"],
  ["udp 169.254.169.254 123", "remote"],
  ["udp 224.0.0.251 5353", "local"],
  ["udp 255.255.255.255 67", "local"],
  ["udp ff02::fb 5353", "local"],
  ["udp fe80::1%eth0 546", "local"],
  ["tcp fe80::1 80", "local"],
  ["tcp febf::1 80", "local"],
  ["tcp fec0::1 80", "remote"],
  ["udp 10.96.0.10 53", "remote"],
  ["tcp nonsense 80", "local"],
] as const) {
  test(`without a filter ${destination} is ${expected}`, () => {
    assert.equal(decide(destination).verdict, expected);
  });
}

for (const [entry, remote, kept] of [
  ["10.1.2.3", ["tcp 10.1.2.3 1", "udp 10.1.2.3 9", "tcp ::ffff:10.1.2.3 1"], ["tcp 10.1.2.4 1"]],
  ["tcp://10.1.2.3:80", ["tcp 10.1.2.3 80"], ["udp 10.1.2.3 80", "tcp 10.1.2.3 81"]],
  ["udp://:9", ["udp 1.2.3.4 9"], ["tcp 1.2.3.4 9", "udp 1.2.3.4 8"]],
  ["10.0.0.0/9", ["tcp 10.127.0.1 1"], ["tcp 10.128.0.1 1", "tcp fd00::1 1"]],
  ["10.0.0.0/8:443", ["tcp 10.9.9.9 443"], ["tcp 10.9.9.9 80"]],
  ["0.0.0.0/0", ["tcp 8.8.8.8 1"], ["tcp fd00::1 1"]],
  ["fd00::7", ["tcp fd00::7 1", "tcp FD00:0:0::7 1"], ["tcp fd00::8 1"]],
  ["[fd00::7]:80", ["tcp fd00::7 80"], ["tcp fd00::7 81"]],
  ["fd00::/16", ["tcp fd00:1::1 1"], ["tcp fd01::1 1"]],
  ["[fd00::/16]:80", ["tcp fd00:1::1 80"], ["tcp fd00:1::1 1"]],
  ["::ffff:10.0.0.0/104", ["tcp 10.5.5.5 1"], ["tcp 11.5.5.5 1"]],
  ["Example.ORG.", ["tcp 93.184.216.34 1"], ["tcp fd00::7 1"]],
  ["*.example.org", ["tcp 93.184.216.34 1", "tcp fd00::7 1"], ["tcp 10.96.0.7 1"]],
  ["api:80", ["tcp 10.96.0.7 80"], ["tcp 10.96.0.7 81", "tcp fd00::7 80"]],
  ["api.shop", ["tcp 10.96.0.7 80"], ["tcp 10.0.0.7 80"]],
  ["localhost:5432", ["tcp 127.0.0.1 5432", "tcp ::1 5432"], ["tcp 10.0.0.1 5432"]],
] as const) {
  test(`a filter's entry ${entry} is about exactly what it says`, () => {
    for (const destination of remote) {
      assert.equal(
        decide(destination, { filter: { remote: [entry] } }).verdict,
        "remote",
        destination,
      );
      assert.equal(
        decide(destination, { filter: { local: [entry] } }).verdict,
        "local",
        destination,
      );
    }
    for (const destination of kept) {
      assert.equal(
        decide(destination, { filter: { remote: [entry] } }).verdict,
        "local",
        destination,
      );
      assert.equal(
        decide(destination, { filter: { local: [entry] } }).verdict,
        "remote",
        destination,
      );
    }
  });
}

test("only a metadata service is remote: everything else, loopback too, stays local", () => {
  const config = { filter: { remote: ["169.254.169.254"] } };
  assert.equal(decide("tcp 169.254.169.254 80", config).verdict, "remote");
  assert.equal(decide("tcp 127.0.0.1 5432", config).verdict, "local");
  assert.equal(decide("tcp 140.82.112.3 443", config).verdict, "local");
});

test("an empty list is a filter: nothing is remote, or nothing is local", () => {
  assert.equal(decide("tcp 10.0.0.1 80", { filter: { remote: [] } }).verdict, "local");
  assert.equal(decide("tcp 10.0.0.1 80", { filter: { local: [] } }).verdict, "remote");
});

test("the pod's name servers are asked through the pod whatever filter and switches say", () => {
  for (const config of [
    { filter: { remote: ["1.2.3.4"] } },
    { filter: { local: ["10.96.0.0/16", ":53"] } },
    { tcp: false, udp: false },
  ]) {
    for (const destination of ["udp 10.96.0.10 53", "tcp 10.96.0.10 53", "udp fd00:0::a 53"]) {
      assert.equal(decide(destination, config).verdict, "remote", destination);
    }
    assert.equal(decide("tcp 10.96.0.10 9153", { filter: { remote: [] } }).verdict, "local");
  }
});

test("with dns off the developer's name servers are asked from here, unless the filter names them", () => {
  assert.equal(decide("udp 192.168.1.1 53", {}, { dns: false }).verdict, "local");
  assert.equal(decide("udp 10.96.0.10 53", {}, { dns: false }).verdict, "local");
  assert.equal(decide("udp 192.168.1.1 54", {}, { dns: false }).verdict, "remote");
  const config = { filter: { remote: ["10.96.0.10:53"] } };
  assert.equal(decide("udp 10.96.0.10 53", config, { dns: false }).verdict, "remote");
});

test("a switched off protocol stays local, and ignore_localhost goes before the filter", () => {
  assert.equal(decide("tcp 10.0.0.1 80", { tcp: false }).verdict, "local");
  assert.equal(decide("udp 10.0.0.1 80", { tcp: false }).verdict, "remote");
  for (const address of ["127.9.9.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"]) {
    const config = { ignoreLocalhost: true, filter: { remote: [":80"] } };
    assert.equal(decide(`tcp ${address} 80`, config).verdict, "local", address);
  }
});

test("the reason names the entry, not the name that was looked up", () => {
  const filter = { remote: ["10.0.0.1", "*.example.org"] };
  const { why } = decide("tcp 93.184.216.34 1", { filter });
  assert.equal(why, "feature.network.outgoing.filter.remote[1]");
});

for (const entry of [
  "",
  ":",
  ":0",
  ":65536",
  "tcp://",
  "http://x",
  "10.0.0.256",
  "10.0.0.0/33",
  "fd00::/129",
  "::ffff:10.0.0.0/95",
  "[10.0.0.1]:80",
  "[name]:80",
  "[fd00::1",
  "fe80::1%eth0",
  "a..b",
  "-a",
  "*",
  "a.*.b",
  "name:port",
  "name:80:90",
  "a b",
  "x".repeat(64),
]) {
  test(`the entry ${JSON.stringify(entry)} is refused with its place and what is allowed`, () => {
    assert.throws(
      () => decide("tcp 1.2.3.4 1", { filter: { local: [":1", entry] } }),
      /^ConfigValueError: feature\.network\.outgoing\.filter\.local\[1\]: .*allowed: /,
    );
  });
}

test("remote and local at once, and lists without end, are refused", () => {
  assert.throws(() => decide("tcp 1.2.3.4 1", { filter: { local: [], remote: [] } }), /not both/);
  const many = new Array<string>(1025).fill(":1");
  assert.throws(() => decide("tcp 1.2.3.4 1", { filter: { local: many } }), /more than 1024/);
});

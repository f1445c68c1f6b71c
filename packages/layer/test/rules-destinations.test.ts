/** The tap's table of destinations says of none that it is local of which the rules do not say so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeAddress, Tap } from "@inpod/tap";
import { compileDestinations } from "../src/rules/destinations.ts";
import { compileOutgoing, type OutgoingConfig } from "../src/rules/outgoing.ts";

const tap = new Tap(() => {});
tap.unref();

const ADDRESSES = [
  ...["127.0.0.1", "127.8.0.1", "0.0.0.0", "10.0.0.1", "10.1.2.3", "10.1.3.3", "192.168.7.9"],
  ...["198.18.0.53", "255.255.255.255", "224.0.0.1", "169.254.169.254", "11.0.0.0"],
  ...[
    "::1",
    "::",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "fd00::1",
    "fd00:1::1",
    "2001:db8::5",
    "ff02::1",
  ],
  ...["::ffff:10.1.2.3", "::ffff:127.0.0.1", "::ffff:192.168.7.9"],
];
const PORTS = [1, 53, 80, 443, 5432, 65_535];
const FILTERS: readonly OutgoingConfig["filter"][] = [
  undefined,
  { local: [] },
  { remote: [] },
  { local: ["10.0.0.0/8", "fd00::/16", "192.168.7.9:5432"] },
  { remote: ["10.1.2.0/23:443", "tcp://2001:db8::5", ":80"] },
  { local: ["udp://10.1.2.3", "tcp://10.1.2.3:53", "[fd00::1]:443", "0.0.0.0/0:1"] },
  { remote: ["udp://:443", "10.1.2.3/31", "::/1"] },
];
const NAMED: readonly OutgoingConfig["filter"][] = [
  { local: ["api.example.org:443", "10.0.0.0/8"] },
  { local: ["10.0.0.0/9", "*.example.org", "fd00::/8"] },
  { remote: ["localhost", "*.example.org:80", "10.1.2.3"] },
];
const SWITCHES = [true, false];
const NAMESERVERS = ["198.18.0.53", "fd00::1"];

function each(
  filters: readonly OutgoingConfig["filter"][],
  names: readonly string[],
  check: (isLocal: boolean, verdict: string, what: string) => void,
): void {
  for (const filter of filters)
    for (const tcp of SWITCHES)
      for (const ignoreLocalhost of SWITCHES)
        for (const dns of SWITCHES) {
          const config = { tcp, udp: true, ignoreLocalhost, ...(filter && { filter }) };
          const context = { dns, nameservers: NAMESERVERS, names: () => names };
          const decide = compileOutgoing(config, context);
          tap.setDestinations(compileDestinations(config, context));
          for (const address of ADDRESSES)
            for (const port of PORTS) {
              const { verdict } = decide({ protocol: "tcp", address, port });
              const isLocal = tap.isLocalDestination(encodeAddress(address, port));
              check(isLocal, verdict, `${address} ${port} ${JSON.stringify({ ...config, dns })}`);
            }
        }
}

test("without names in the filter the table says exactly what the rules say", () => {
  let local = 0;
  each(FILTERS, [], (isLocal, verdict, what) => {
    assert.equal(isLocal ? "local" : "remote", verdict, what);
    if (isLocal) local += 1;
  });
  assert.ok(local > 1000, `only ${local} were local`);
});

test("with names it asks where one might match, whatever an address is called", () => {
  let local = 0;
  for (const names of [[], ["api.example.org"]])
    each(NAMED, names, (isLocal, verdict, what) => {
      if (isLocal) assert.equal(verdict, "local", what);
      if (isLocal) local += 1;
    });
  assert.ok(local > 500, `only ${local} were local`);
});

test("an empty table asks about everything", () => {
  tap.setDestinations([]);
  assert.equal(tap.isLocalDestination(encodeAddress("10.0.0.1", 80)), false);
});

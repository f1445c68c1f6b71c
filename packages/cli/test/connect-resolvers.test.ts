/** `inpod connect` by routes beside other resolvers of users' machines: dnsmasq and unbound on 127.0.0.1. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isRoot, type Run, until } from "./exec-support.ts";
import { BEFORE, becomes, MEETS, type Names, OFFICE, useNames } from "./names-support.ts";
import { Daemon, missing, resolver } from "./resolvers.ts";

const needs = (...programs: readonly string[]): { skip?: string } => {
  const skip = isRoot ? missing(...programs) : "routes need root";
  return skip === undefined ? {} : { skip };
};

const PLAIN = `printf 'nameserver ${OFFICE}\\nsearch corp.example\\n' >/etc/resolv.conf`;
let names: Names;
if (isRoot) names = await useNames(PLAIN);

const state = (): Promise<string> => names.laptop.state();

async function interrupted(run: Run, before: string): Promise<void> {
  run.signalGroup("SIGINT");
  const { code, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  await becomes("the machine is what it was", state, before);
}

/** The resolver is asked on 127.0.0.1 by whoever reads /etc/resolv.conf. */
async function behind(daemon: Daemon, resolvConf: string): Promise<void> {
  try {
    await names.laptop.sh(`printf '${resolvConf}' >/etc/resolv.conf`);
    await names.assertMeets(BEFORE);
    const before = await state();
    const run = await names.connected();
    await names.asked();
    await names.assertMeets(MEETS);
    await names.assertApart();
    // It goes on to answer who asks it by its address.
    const [own] = await names.laptop.meets("resolve 127.0.0.1 www.example.com");
    assert.equal(own, "192.0.2.80");
    await interrupted(run, before);
    await until("what it has kept is forgotten", () =>
      names.assertMeets(BEFORE).then(
        () => true,
        () => false,
      ),
    ).catch(() => names.assertMeets(BEFORE));
  } finally {
    await daemon.stop();
    await names.laptop.sh(PLAIN);
  }
}

const DNSMASQ = ["--no-hosts", "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root"];
const dnsmasq = async (...words: readonly string[]): Promise<Daemon> => {
  const common = [
    "--keep-in-foreground",
    "--log-facility=-",
    "--conf-file=/dev/null",
    "--pid-file=",
  ];
  const program = resolver("dnsmasq") ?? "";
  const daemon = Daemon.start(names.laptop, [program, ...common, ...DNSMASQ, ...words]);
  await daemon.run.said(/started|cleared cache/, "stderr");
  return daemon;
};
const SEARCH = "search corp.example\\n";

test(
  "dnsmasq with name servers of its own, as NetworkManager starts it, is asked for all that is not the cluster's",
  needs("dnsmasq"),
  async () => {
    const daemon = await dnsmasq("--no-resolv", `--server=${OFFICE}`);
    await behind(daemon, `nameserver 127.0.0.1\\n${SEARCH}`);
  },
);

test(
  "dnsmasq that asks whom /etc/resolv.conf names beside itself asks us, and is not asked again for that",
  needs("dnsmasq"),
  async () => {
    const set = `nameserver 127.0.0.1\\nnameserver ${OFFICE}\\n${SEARCH}`;
    await names.laptop.sh(`printf '${set}' >/etc/resolv.conf`);
    await behind(await dnsmasq(), set);
  },
);

test("unbound that forwards", needs("unbound"), async () => {
  const config = `server:\\n directory: "/"\\n username: ""\\n chroot: ""\\n pidfile: ""\\n use-syslog: no\\n interface: 127.0.0.1\\n module-config: "iterator"\\n local-zone: "2.0.192.in-addr.arpa." nodefault\\nforward-zone:\\n name: "."\\n forward-addr: ${OFFICE}\\n`;
  await names.laptop.sh(`printf '${config}' >/etc/test-unbound.conf`);
  const words = [resolver("unbound") ?? "", "-d", "-v", "-c", "/etc/test-unbound.conf"];
  const daemon = Daemon.start(names.laptop, words);
  await daemon.run.said("start of service", "stderr");
  await behind(daemon, `nameserver 127.0.0.1\\n${SEARCH}`);
});

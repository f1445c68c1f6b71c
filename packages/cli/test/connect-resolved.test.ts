/** `inpod connect` by routes beside the real systemd-resolved. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { CLI, isRoot, isStopped, Run, until } from "./exec-support.ts";
import { BEFORE, becomes, MEETS, type Names, OFFICE, useNames } from "./names-support.ts";
import { ENVIRONMENT, missing, Resolved } from "./resolvers.ts";

const skip = isRoot ? missing("systemd-resolved", "resolvectl", "dbus-daemon") : "routes need root";
const options = skip === undefined ? {} : { skip };

/** What a careful user wants of his name servers: a cluster's can neither. */
const SETTINGS =
  "[Resolve]\\nDNSSEC=yes\\nDNSOverTLS=yes\\nFallbackDNS=\\nLLMNR=no\\nMulticastDNS=no\\n";
const STUB = "../run/systemd/resolve/stub-resolv.conf";

let names: Names;
let resolved: Resolved;
let before: string;
if (skip === undefined) {
  names = await useNames(`ln -sf ${STUB} /etc/resolv.conf
mkdir -p /etc/systemd
printf '${SETTINGS}' >/etc/systemd/resolved.conf`);
  resolved = await Resolved.start(names.laptop);
  after(() => resolved.stop());
  await officeByResolved();
  await names.assertMeets(BEFORE);
  before = await state();
}

/** As NetworkManager or networkd tell it. */
async function officeByResolved(): Promise<void> {
  for (const words of [
    ["dnssec", "office", "no"],
    ["dnsovertls", "office", "no"],
    ["domain", "office", "corp.example"],
    ["default-route", "office", "yes"],
    ["dns", "office", OFFICE, "198.18.200.77"],
  ])
    await resolved.ctl(...words);
}

/** All that resolved and the machine say of themselves. */
async function state(): Promise<string> {
  const files = "readlink /etc/resolv.conf; cat /etc/resolv.conf; ls -A /etc/resolv.conf* /var/lib";
  const { laptop } = names;
  return [
    await resolved.status(),
    await laptop.sh(`${files}; ls /run/systemd/resolve/netif; cat /run/systemd/resolve/netif/*`),
    await laptop.state(),
  ].join("\n");
}

const asBefore = (): Promise<void> => becomes("the machine is what it was", state, before);
/** Without whom it has asked last, and the space for that. */
const linkStatus = async (): Promise<string> =>
  (await resolved.ctl("--no-pager", "status", "inpod0"))
    .replace(/^Current DNS Server: .*\n/m, "")
    .replace(/^ +/gm, "");

async function interrupted(run: Run): Promise<void> {
  run.signalGroup("SIGINT");
  const { code, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  await asBefore();
  await names.inventory.assertAsBefore();
}

test(
  "each name is asked for where it is known, and nowhere else, by a resolved that wants DNSSEC and TLS of others",
  options,
  async () => {
    await names.asked();
    const run = await names.connected("--verbose");
    assert.match(run.stderr, /systemd-resolved, on inpod0/);
    // Whom the stub asks is found behind it, and stays reachable.
    assert.match(run.stderr, /198\.18\.200\.77 stays this machine's: this machine's name server/);
    await names.assertMeets(MEETS);
    await names.assertApart();
    // By its own protocol, as nss-resolve asks: with its own search, and TCP for what is too long.
    assert.match(await resolved.ctl("--no-pager", "query", "web"), /198\.18\.200\.10/);
    assert.match(await resolved.ctl("--no-pager", "query", "large"), /198\.18\.201\.120/);
    assert.match(await resolved.ctl("--no-pager", "query", "198.18.200.10"), /web\.shop\.svc/);
    await names.assertApart().catch(() => {}); // cached, perhaps all of it
    await interrupted(run);
    await names.assertMeets(BEFORE);
  },
);

test(
  "a resolved that is started again knows the cluster's names, also without what it had noted",
  options,
  async () => {
    const run = await names.connected();
    const told = await linkStatus();
    await resolved.end();
    await resolved.begin();
    await becomes("resolved has read its notes", linkStatus, told);
    await resolved.end();
    await names.laptop.sh("rm -r /run/systemd/resolve/netif");
    await resolved.begin();
    await officeByResolved();
    await run.said("was told again", "stderr");
    await becomes("resolved was told again", linkStatus, told);
    await names.assertMeets(MEETS);
    // Others may tell it to forget the link.
    await resolved.ctl("revert", "inpod0");
    await becomes("resolved was told again", linkStatus, told);
    // While it is stopped (Ctrl-Z) nobody answers, and nobody is asked.
    run.signalGroup("SIGTSTP");
    await until(
      "the link is forgotten",
      async () => !(await linkStatus()).includes("cluster.local"),
    );
    await names.assertMeets(BEFORE);
    await until("it is stopped", () => isStopped(run.pid));
    run.signalGroup("SIGCONT");
    await becomes("the link has its names again", linkStatus, told);
    await names.assertMeets({ web: "198.18.200.10" });
    await interrupted(run);
  },
);

test(
  "kill -9 of the CLI, of what holds the routes, and of both: nothing is left",
  options,
  async () => {
    const first = await names.connected();
    first.child.kill("SIGKILL");
    await first.ended;
    await asBefore();
    const helperOf = async (run: Run): Promise<number> =>
      Number(await names.laptop.run("pgrep", "-P", String(run.pid), "-f", "inpod-routes hold"));
    const second = await names.connected();
    process.kill(await helperOf(second), "SIGKILL");
    assert.equal((await second.ended).code, 5);
    await asBefore();
    const third = await names.connected();
    const helper = await helperOf(third);
    process.kill(helper, "SIGSTOP");
    third.child.kill("SIGKILL");
    process.kill(helper, "SIGKILL");
    await third.ended;
    await asBefore();
    const recover = new Run(
      names.laptop.start([process.execPath, CLI, "recover", "--machine"], ENVIRONMENT),
    );
    assert.equal((await recover.ended).code, 0, recover.stderr);
    await asBefore();
    // Nor is there when resolved was not there to hear of the end.
    const fourth = await names.connected();
    await resolved.end();
    fourth.signalGroup("SIGINT");
    assert.equal((await fourth.ended).code, 0, fourth.stderr);
    await resolved.begin();
    await names.assertMeets(BEFORE); // it says whom it has asked last
    await asBefore();
  },
);

test(
  "where /etc/resolv.conf has its uplinks, or is a file of its own, programs that ask either are told",
  options,
  async () => {
    const { laptop } = names;
    // Whom a file names it asks as it asks its own: without TLS, then.
    await laptop.sh("rm /etc/systemd/resolved.conf");
    await resolved.end();
    await resolved.begin();
    for (const set of [
      "ln -sf ../run/systemd/resolve/resolv.conf /etc/resolv.conf",
      `rm /etc/resolv.conf; printf 'nameserver ${OFFICE}\\nsearch corp.example\\n' >/etc/resolv.conf`,
    ]) {
      await laptop.sh(set);
      // At a question it looks at the file.
      const look = async (): Promise<string> => {
        await resolved.ctl("query", "www.example.com", "--cache=no");
        return state();
      };
      const own = await look();
      const run = await names.connected();
      assert.match(run.stderr, /are the cluster's \(.*\/etc\/resolv\.conf/);
      await names.asked();
      await names.assertMeets(MEETS);
      await names.assertApart();
      assert.match(await resolved.ctl("--no-pager", "query", "web"), /198\.18\.200\.10/, set);
      assert.match(await resolved.ctl("--no-pager", "query", "www.example.com"), /192\.0\.2\.80/);
      run.child.kill("SIGKILL");
      await run.ended;
      await becomes("the machine is what it was", look, own);
    }
    await laptop.sh(
      `ln -sf ${STUB} /etc/resolv.conf; printf '${SETTINGS}' >/etc/systemd/resolved.conf`,
    );
    await resolved.end();
    await resolved.begin();
    await names.assertMeets(BEFORE);
    await asBefore();
  },
);

test(
  "a resolved that is not there is named, and nothing is changed; --no-dns goes on",
  options,
  async () => {
    await resolved.end();
    const words = ["connect", "--mode", "routes", "-t", `process/${names.sandbox.pid}`];
    const refused = new Run(
      names.laptop.start(
        [process.execPath, CLI, ...words, "--include", "198.18.200.0/24"],
        ENVIRONMENT,
      ),
    );
    const { code, stderr } = await refused.ended;
    assert.equal(code, 1, stderr);
    assert.match(stderr, /systemd-resolved does not take it(.|\n)*--no-dns/);
    assert.doesNotMatch(await names.laptop.sh("ip link"), /inpod/);
    const run = await names.connected("--no-dns");
    run.signalGroup("SIGINT");
    assert.equal((await run.ended).code, 0);
    await resolved.begin();
    await names.assertMeets(BEFORE);
    await asBefore();
  },
);

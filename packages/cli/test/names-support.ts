/** Name servers that write down what they are asked: the cluster's, the office's, and a laptop between them. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach } from "node:test";
import { fileURLToPath } from "node:url";
import { NETWORK, type Sandbox } from "@inpod/sandbox";
import { endRuns, type Inventory, Run, startCli, until, useSandbox } from "./exec-support.ts";
import { Daemon, ENVIRONMENT, OWN_RUN } from "./resolvers.ts";
import { Laptop } from "./routes-laptop.ts";

const NAME_SERVER = fileURLToPath(new URL("routes-names.mjs", import.meta.url));
const SUBNET = "198.18.200.0/24";
const SUBNET_V6 = "2001:2:0:c8::/64";
const FULL = "shop.svc.cluster.local";

export const OFFICE = "192.0.2.53";

const cluster = {
  [`A web.${FULL}`]: ["198.18.200.10"],
  [`AAAA six.${FULL}`]: ["2001:2:0:c8::2"],
  // Beyond what a datagram takes.
  [`A large.${FULL}`]: Array.from({ length: 120 }, (_, at) => `198.18.201.${at + 1}`),
  "PTR 10.200.18.198.in-addr.arpa": [`web.${FULL}`],
  [`PTR 2.${"0.".repeat(15)}8.c.0.0.0.0.0.0.2.0.0.0.1.0.0.2.ip6.arpa`]: [`six.${FULL}`],
};
const office = {
  "A www.example.com": ["192.0.2.80"],
  "A db.shop": ["192.0.2.81"],
  "A wiki.corp.example": ["192.0.2.82"],
  "PTR 80.2.0.192.in-addr.arpa": ["www.example.com"],
};

/** What programs of the laptop meet while it is connected: by the C library, as most do. */
export const MEETS: Readonly<Record<string, string>> = {
  web: "198.18.200.10",
  "web.shop": "198.18.200.10",
  "web.shop.svc": "198.18.200.10",
  [`web.${FULL}`]: "198.18.200.10",
  six: "2001:2:0:c8::2",
  "six.shop.svc": "2001:2:0:c8::2",
  large: "120",
  [`nobody.${FULL}`]: "none",
  "198.18.200.10": `web.${FULL}`,
  "2001:2:0:c8::2": `six.${FULL}`,
  "www.example.com": "192.0.2.80",
  "db.shop": "192.0.2.81",
  wiki: "192.0.2.82",
  "nobody.example.com": "none",
  "192.0.2.80": "www.example.com",
};
/** And while it is not. */
export const BEFORE: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(MEETS).map(([name, found]) => [
    name,
    Object.values(office).flat().includes(found) ? found : "none",
  ]),
);

export interface Names {
  readonly sandbox: Sandbox;
  readonly inventory: Inventory;
  readonly laptop: Laptop;
  /** Starts `inpod connect` by routes, and waits until it is. */
  connected(...words: string[]): Promise<Run>;
  /** In the laptop, with the resolvers' programs on PATH. */
  sh(script: string): Promise<string>;
  /** Looks up each of `expected`. */
  assertMeets(expected: Readonly<Record<string, string>>): Promise<void>;
  /** What was asked since the last look: each once, "udp A name". */
  asked(): Promise<{ readonly cluster: readonly string[]; readonly office: readonly string[] }>;
  /** Of the cluster nothing was asked but its own, and of the office nothing that is the cluster's. */
  assertApart(): Promise<void>;
}

/** At the top of a file. @param setUp of the laptop, in a shell */
export async function useNames(setUp: string): Promise<Names> {
  const { sandbox, inventory, folder } = await useSandbox({ hasIPv6: true });
  const log = join(folder, "cluster");
  writeFileSync(log, "");
  const argv = (options: object): string[] => [
    process.execPath,
    NAME_SERVER,
    JSON.stringify(options),
  ];
  const { address } = NETWORK.client;
  const ofCluster = new Run(
    sandbox.inClient(argv({ address, log, records: cluster }), {
      stdio: ["ignore", "pipe", "pipe"],
    }),
    DAEMON_MS,
  );
  await ofCluster.said("it listens");
  writeFileSync(
    `/proc/${sandbox.pid}/root/etc/resolv.conf`,
    `nameserver ${address}\nsearch ${FULL} svc.cluster.local cluster.local\noptions ndots:5\n`,
  );
  const laptop = await Laptop.start({
    network: (words) => sandbox.inLaptop(words, { stdio: ["ignore", "pipe", "pipe"] }),
    setUp: `${OWN_RUN}\n: >/run/office\n${setUp}`,
  });
  const building = Daemon.start(
    laptop,
    ["sh", "-c", "echo built; exec sleep infinity"],
    [...["unshare", "--net"]],
  );
  after(async () => {
    await building.stop();
    await laptop.stop();
  });
  await building.run.said("built");
  await laptop.sh(`ip link set wall netns ${building.run.pid}`);
  const ofOffice = Daemon.start(
    laptop,
    [
      ...["sh", "-c", `ip addr add ${OFFICE}/24 dev wall; ip link set wall up; exec "$@"`, "sh"],
      ...argv({ address: OFFICE, log: "/run/office", records: office }),
    ],
    ["nsenter", "--target", String(building.run.pid), "--net"],
  );
  after(() => ofOffice.stop());
  await ofOffice.run.said("it listens");
  afterEach(endRuns);

  const sh = (script: string): Promise<string> => laptop.with(ENVIRONMENT, ["sh", "-c", script]);
  const asked: Names["asked"] = async () => {
    const lines = (text: string): string[] => [...new Set(text.split("\n").filter(Boolean))];
    const ofBoth = {
      cluster: lines(readFileSync(log, "latin1")),
      office: lines(await laptop.sh("cat /run/office")),
    };
    writeFileSync(log, "");
    await laptop.sh(": >/run/office");
    return ofBoth;
  };
  return {
    ...{ sandbox, inventory, laptop, sh, asked },
    connected: async (...words) => {
      const flags = [`--include=${SUBNET}`, `--include=${SUBNET_V6}`, ...words];
      const run = startCli(
        sandbox,
        ["connect", "--mode", "routes", "-t", `process/${sandbox.pid}`, ...flags],
        { through: laptop.enter, env: ENVIRONMENT },
      );
      await run.said("until Ctrl-C", "stderr");
      return run;
    },
    assertMeets: async (expected) => {
      const names = Object.keys(expected);
      const found = await sh(
        names
          .map(
            (name) =>
              `getent ${/^[\d.]+$|:/.test(name) ? "hosts" : "ahosts"} ${name} | tr '\\n' ';'; echo`,
          )
          .join("\n"),
      );
      const lines = found.split("\n").map((line, at) => {
        const rows = line.split(";").filter(Boolean);
        const isAddress = /^[\d.]+$|:/.test(names[at] ?? "");
        const values = new Set(rows.map((row) => row.split(/ +/)[isAddress ? 1 : 0]));
        return values.size === 0
          ? "none"
          : values.size > 3
            ? String(values.size)
            : [...values].join();
      });
      assert.deepEqual(Object.fromEntries(names.map((name, at) => [name, lines[at]])), expected);
    },
    assertApart: async () => {
      const { cluster: ofIt, office: others } = await asked();
      const isClusters = /(cluster\.local|\.200\.18\.198\.in-addr\.arpa|8\.c\.0\..*ip6\.arpa)$/;
      assert.deepEqual(
        ofIt.filter((line) => !isClusters.test(line)),
        [],
      );
      assert.deepEqual(
        others.filter((line) => isClusters.test(line)),
        [],
      );
      assert.ok(ofIt.length > 0 && others.length > 0);
    },
  };
}

const DAEMON_MS = 170_000;

/** The kernel, and resolvers, take things away a moment after their last user. */
export async function becomes(
  what: string,
  now: () => Promise<string>,
  then: string,
): Promise<void> {
  let last = "";
  await until(what, async () => {
    last = await now();
    return last === then;
  }).catch(() => assert.equal(last, then, what));
}

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { addressesIn, type Channel, query, questionIn } from "@inpod/session";
import { clusterServers, MessageCutter, withLength } from "../src/dns/ask.ts";
import { clusterNames, searchOf, whose } from "../src/dns/decide.ts";
import { answerTo, RCODE } from "../src/dns/messages.ts";
import { splitResolvConf } from "../src/dns/resolv-conf.ts";
import { SplitDns } from "../src/dns/split.ts";
import { parseSubnet, type Subnet } from "../src/plan/subnets.ts";

const SEARCH = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"];
const names = clusterNames(SEARCH);
const routes = [parseSubnet("10.96.0.0/16"), parseSubnet("fd00::/64")] as Subnet[];

test("the cluster's domain and the namespace are what the target's resolver has", () => {
  assert.deepEqual(names, { domain: "cluster.local", namespace: "shop" });
  assert.deepEqual(searchOf(names), SEARCH.slice(0, 3));
  assert.deepEqual(clusterNames(["svc.k8s.corp", "k8s.corp"]), {
    domain: "k8s.corp",
    namespace: undefined,
  });
  assert.deepEqual(clusterNames([]), { domain: "cluster.local", namespace: undefined });
});

test("only the cluster's domains are its own; a name that exists outside stays what it is", () => {
  const kind = (name: string): string => whose(name, names, routes).kind;
  assert.equal(kind("web.shop.svc.cluster.local"), "cluster");
  assert.equal(kind("cluster.local"), "cluster");
  assert.equal(kind("notcluster.local"), "former-then-short");
  assert.deepEqual(whose("web.shop.svc", names, routes), {
    kind: "short",
    full: "web.shop.svc.cluster.local",
  });
  assert.deepEqual(whose("web", names, routes), {
    kind: "former-then-short",
    full: "web.shop.svc.cluster.local",
  });
  assert.deepEqual(whose("web.shop", names, routes), {
    kind: "former-then-short",
    full: "web.shop.svc.cluster.local",
  });
  assert.equal(kind("www.example.com"), "former");
  assert.equal(kind(""), "former");
  assert.equal(whose("web", clusterNames([]), routes).kind, "former");
});

test("addresses are looked up where they are from", () => {
  const kind = (name: string): string => whose(name, names, routes).kind;
  assert.equal(kind("10.0.96.10.in-addr.arpa"), "cluster");
  assert.equal(kind("1.1.168.192.in-addr.arpa"), "former");
  assert.equal(kind("999.0.96.10.in-addr.arpa"), "former");
  assert.equal(kind(`${"0.".repeat(28)}0.0.d.f.ip6.arpa`), "cluster");
  assert.equal(kind(`${"1.".repeat(28)}0.0.d.f.ip6.arpa`), "former");
});

test("an answer of ours repeats the question, and says that there is more where it does not fit", () => {
  const question = query(0x1234, "web", 1);
  const records = ["10.96.0.7", "10.96.0.8"].map((address) => ({
    name: "web",
    address,
    ttlSeconds: 5,
  }));
  const answer = answerTo(question, RCODE.ok, records);
  assert.ok(answer);
  assert.deepEqual(addressesIn(answer), records);
  const { id, rcode, isAnswer, isTruncated, name } = questionIn(answer) ?? assert.fail();
  assert.deepEqual([id, rcode, isAnswer, isTruncated, name], [0x1234, 0, true, false, "web"]);
  const many = Array.from({ length: 60 }, () => ({
    name: "web",
    address: "fd00::1",
    ttlSeconds: 5,
  }));
  assert.equal(questionIn(answerTo(question, 0, many) ?? assert.fail())?.isTruncated, true);
  assert.equal(addressesIn(answerTo(question, 0, many, 65_535) ?? assert.fail()).length, 60);
  assert.equal(questionIn(answerTo(question, RCODE.servfail) ?? assert.fail())?.rcode, 2);
  for (let end = 0; end < question.length; end++)
    assert.equal(answerTo(question.subarray(0, end), 0), undefined, String(end));
});

test("who is asked for what: nothing of other domains reaches the cluster, and nothing of its own leaves it", async () => {
  const asked: string[] = [];
  const server = (who: string, known: Readonly<Record<string, string>>) => ({
    ask: async (message: Uint8Array) => {
      const { name = "" } = questionIn(message) ?? {};
      asked.push(`${who} ${name}`);
      const address = known[name];
      return address === undefined
        ? answerTo(message, RCODE.nxdomain)
        : answerTo(message, RCODE.ok, [{ name, address, ttlSeconds: 5 }]);
    },
  });
  const split = new SplitDns({
    names,
    routes,
    cluster: server("cluster", {
      "web.shop.svc.cluster.local": "10.96.0.7",
      "google.com.svc.cluster.local": "10.96.0.66",
    }),
    former: server("former", { "www.example.com": "192.0.2.1", "google.com": "192.0.2.2" }),
  });
  const look = async (name: string): Promise<string> => {
    const reply = await split.answer(query(7, name, 1), false);
    assert.ok(reply);
    const [first] = addressesIn(reply);
    return first?.address ?? `rcode ${questionIn(reply)?.rcode}`;
  };
  const whoWasAsked = async (name: string, address: string): Promise<string> => {
    asked.length = 0;
    assert.equal(await look(name), address);
    return asked.join(", ");
  };
  const full = "web.shop.svc.cluster.local";
  assert.equal(await whoWasAsked(full, "10.96.0.7"), `cluster ${full}`);
  assert.equal(await whoWasAsked("web.shop.svc", "10.96.0.7"), `cluster ${full}`);
  assert.equal(await whoWasAsked("web", "10.96.0.7"), `former web, cluster ${full}`);
  assert.equal(await whoWasAsked("web.shop", "10.96.0.7"), `former web.shop, cluster ${full}`);
  assert.equal(await whoWasAsked("google.com", "192.0.2.2"), "former google.com");
  assert.equal(await whoWasAsked("www.example.com", "192.0.2.1"), "former www.example.com");
  assert.equal(await whoWasAsked("a.b.example", "rcode 3"), "former a.b.example");
  assert.equal(await split.answer(new Uint8Array(3), false), undefined);
});

test("servers that do not answer are told as such, not as a name that is not there", async () => {
  const silent = { ask: async () => undefined };
  const split = new SplitDns({ names, routes, cluster: silent, former: silent });
  for (const name of ["web", "web.shop.svc", "a.cluster.local", "www.example.com"]) {
    const reply = await split.answer(query(7, name, 1), true);
    assert.equal(reply && questionIn(reply)?.rcode, RCODE.servfail, name);
  }
});

test("who does not take answers over TCP is asked for no more questions, and gets all when it does", {
  timeout: 30_000,
}, async (t) => {
  const QUESTIONS = 600;
  const LONG = 60_000;
  let held = 0;
  let serving: Socket | undefined;
  const long = {
    ask: async (message: Uint8Array) => {
      held = Math.max(held, serving?.writableLength ?? 0);
      return Buffer.concat([answerTo(message, RCODE.ok) ?? message, Buffer.alloc(LONG)]);
    },
  };
  const split = new SplitDns({ names, routes, cluster: long, former: long });
  const listener = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    serving = socket;
    split.serve(socket);
  }).listen(0, "127.0.0.1");
  t.after(() => listener.close());
  await once(listener, "listening");
  const client = connect((listener.address() as AddressInfo).port, "127.0.0.1");
  const messages = Array.from({ length: QUESTIONS }, (_, id) => query(id, "www.example.com", 1));
  // It has nothing more to ask, and then reads.
  client.end(Buffer.concat(messages.map(withLength)));
  await once(client, "finish");
  while (serving?.isPaused() !== true) await setImmediate();
  const cutter = new MessageCutter();
  const got: number[] = [];
  client.on("data", (bytes: Buffer) => {
    for (const answer of cutter.take(bytes)) got.push(answer.readUInt16BE(0));
  });
  await once(client, "end");
  assert.deepEqual(got, [...messages.keys()]);
  assert.ok(held < 40 * LONG, `${held} bytes were held for a client that did not read`);
});

test("questions without end are told that there is no answer, once very many are under way", async () => {
  const never = { ask: () => new Promise<undefined>(() => {}) };
  const split = new SplitDns({ names, routes, cluster: never, former: never });
  const message = query(7, "www.example.com", 1);
  for (let asked = 0; asked < 1024; asked++) void split.answer(message, false);
  const reply = await split.answer(message, false);
  assert.equal(reply && questionIn(reply)?.rcode, RCODE.servfail);
});

test("messages in a stream are found wherever it is cut", () => {
  const stream = Buffer.concat([withLength(query(1, "a", 1)), withLength(query(2, "b.c", 28))]);
  const cutter = new MessageCutter();
  const found = [...stream].flatMap((byte) => cutter.take(Buffer.from([byte])));
  assert.deepEqual(
    found.map((each) => questionIn(each)?.name),
    ["a", "b.c"],
  );
});

test("resolv.conf keeps the machine's options and domains, behind the cluster's", () => {
  const original =
    "# by hand\nnameserver 192.0.2.53\nsearch corp.example\noptions timeout:1\nsortlist 10.0.0.0\n";
  assert.deepEqual(
    splitResolvConf(original, "169.254.61.2", searchOf(names), ["corp.example"])
      .split("\n")
      .slice(1),
    [
      "nameserver 169.254.61.2",
      "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example",
      "options timeout:1",
      "sortlist 10.0.0.0",
      "",
    ],
  );
  assert.match(
    splitResolvConf("# Generated by resolvconf\nnameserver 192.0.2.53\n", "169.254.61.2", [], []),
    /^# Generated by resolvconf\n# While inpod connect runs.*\nnameserver 169\.254\.61\.2\n/,
  );
  const long = Array.from({ length: 9 }, (_, i) => `${i}${"x".repeat(60)}.example`);
  const [, , search = ""] = splitResolvConf("", "169.254.61.2", searchOf(names), long).split("\n");
  assert.ok(search.length <= "search ".length + 256);
});

/** In which no address can be reached. */
const ALONE = ["unshare", "--map-root-user", "--net"];
const canBeAlone = spawnSync(ALONE[0] ?? "", [...ALONE.slice(1), "true"]).status === 0;

test("on a machine whose network is gone its name servers do not answer, and nothing else happens", {
  skip: !canBeAlone && "needs a network namespace",
  timeout: 120_000,
}, () => {
  const module = (file: string): string =>
    JSON.stringify(new URL(`../src/dns/${file}`, import.meta.url).href);
  const message = JSON.stringify([...query(7, "www.example.com", 1)]);
  const script = `const { askMachine } = await import(${module("ask.ts")});
    const { FormerServers } = await import(${module("former.ts")});
    const servers = new FormerServers(["192.0.2.53", "2001:db8::53"], askMachine);
    for (const isTcp of [false, true]) console.log(await servers.ask(Uint8Array.from(${message}), isTcp));`;
  const node = [process.execPath, "--import", "tsx", "--input-type=module", "-e", script];
  const { stdout, stderr } = spawnSync(ALONE[0] ?? "", [...ALONE.slice(1), ...node], {
    encoding: "utf8",
  });
  assert.equal(stdout, "undefined\nundefined\n", stderr);
});

test("a name server of the cluster that takes its time to connect, and then says nothing, costs no more than one that is silent", {
  timeout: 120_000,
}, async (t) => {
  const resets: string[] = [];
  const channel = {
    write: () => true,
    consumed: () => {},
    reset: (errno: string) => resets.push(errno),
  } as unknown as Channel;
  let connect: (made: { channel: Channel }) => void = () => {};
  const session = {
    connectTcp: () =>
      new Promise<{ channel: Channel }>((resolve) => {
        connect = resolve;
      }),
  } as unknown as Parameters<typeof clusterServers>[1];
  const awake = setInterval(() => {}, 1000);
  t.after(() => clearInterval(awake));
  assert.equal(
    await clusterServers(["10.96.0.10"], session).ask(query(7, "web", 1), true),
    undefined,
  );
  connect({ channel });
  await setImmediate();
  assert.deepEqual(resets, ["ECANCELED"]);
});

/** Questions that this machine answers itself, where its network is gone, or the program is. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { subscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { type Channel, query, type Session } from "@inpod/session";
import type { SocketCall, Tap } from "@inpod/tap";
import { Datagrams } from "../src/outgoing/datagrams.ts";
import { DnsQuestions } from "../src/outgoing/dns-questions.ts";

const TXT = 16;
/** In which no address can be reached, the own ones neither. */
const ALONE = ["unshare", "--map-root-user", "--net"];
const canBeAlone = spawnSync(ALONE[0] ?? "", [...ALONE.slice(1), "true"]).status === 0;

test("without a network nobody answers, and nothing else happens", {
  skip: !canBeAlone && "needs a network namespace",
  timeout: 120_000,
}, () => {
  const module = new URL("../src/outgoing/dns-local.ts", import.meta.url).href;
  const message = [...query(7, "www.example.com", TXT)];
  const script = `const { answerLocally } = await import(${JSON.stringify(module)});
    console.log(await answerLocally(Buffer.from(${JSON.stringify(message)})));`;
  const node = [process.execPath, "--import", "tsx", "--input-type=module", "-e", script];
  const { stdout, stderr } = spawnSync(ALONE[0] ?? "", [...ALONE.slice(1), ...node], {
    encoding: "utf8",
  });
  assert.equal(stdout, "undefined\n", stderr);
});

test("an answer that comes after the program's socket was closed goes nowhere", async () => {
  let reply: (bytes: Buffer) => void = () => {};
  const replied = new Promise<Buffer>((resolve) => {
    reply = resolve;
  });
  let taken: () => void = () => {};
  const isTaken = new Promise<void>((resolve) => {
    taken = resolve;
  });
  const questions = {
    isNameServer: () => true,
    take: () => {
      taken();
      return replied;
    },
  } as unknown as DnsQuestions;
  const tap = { setName: () => () => {} } as unknown as Tap;
  const session = { target: { addresses: ["198.18.0.2"] } } as unknown as Session;
  const datagrams = new Datagrams(tap, session, questions, undefined);
  const call = { cookie: 1n, isIPv6Only: false } as unknown as SocketCall;
  const port = await datagrams.portFor(call, { address: "198.18.0.53", port: 53 }, false);
  const program = createSocket("udp4");
  program.send(query(7, "slow.example.com", 1), port, "127.0.0.1");
  await isTaken;
  program.close();
  await once(program, "close");
  await datagrams.close();
  reply(Buffer.from(query(7, "slow.example.com", 1)));
  // What is thrown there nobody catches, and the test fails.
  await setImmediate();
});

test("a program that asks over TCP more than the tunnel has room for is read no further until there is", {
  timeout: 60_000,
}, async () => {
  let serving: Socket | undefined;
  subscribe("net.server.socket", (message) => {
    serving = (message as { socket: Socket }).socket;
  });
  let hasRoom = false;
  let got = 0;
  const channel: Partial<Channel> = {
    write: (bytes: Uint8Array) => {
      got += bytes.length;
      return hasRoom;
    },
    end: () => {},
  };
  const session = { connectTcp: async () => ({ channel }) } as unknown as Session;
  const decide = () => ({ verdict: "remote", why: "a test", key: "" }) as const;
  const nameservers = ["198.18.0.53"];
  const questions = new DnsQuestions({ session, nameservers, decide, decided: () => {} });
  const port = await questions.portFor({ address: "198.18.0.53", port: 53 });
  const question = query(7, "www.example.com", 1);
  const length = Buffer.from([question.length >> 8, question.length & 0xff]);
  const all = Buffer.concat(Array.from({ length: 60_000 }, () => [length, question]).flat());
  const program = connect(port, "127.0.0.1");
  program.write(all);
  while (!serving?.isPaused()) await setImmediate();
  await setImmediate();
  assert.ok(got < 300_000, `${got} bytes were taken`);
  hasRoom = true;
  while (got < all.length) {
    channel.onDrain?.();
    await setImmediate();
  }
  assert.equal(got, all.length);
  program.destroy();
  questions.close();
});

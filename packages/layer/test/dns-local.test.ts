/** Questions that this machine answers itself, where its network is gone, or the program is. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import { query, type Session } from "@inpod/session";
import type { SocketCall, Tap } from "@inpod/tap";
import { Datagrams } from "../src/outgoing/datagrams.ts";
import type { DnsQuestions } from "../src/outgoing/dns-questions.ts";

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
  await new Promise((resolve) => setImmediate(resolve));
});

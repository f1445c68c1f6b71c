import assert from "node:assert/strict";
import { test } from "node:test";
import { addressesIn, query, questionIn } from "@inpod/session";
import type { AskOne } from "../src/dns/ask.ts";
import { FormerServers } from "../src/dns/former.ts";
import { answerTo, RCODE } from "../src/dns/messages.ts";

const OFFICE = "192.0.2.53";
const OWN = "127.0.0.1";
const name = "www.example.com";
const known = (message: Uint8Array, address: string): Buffer =>
  answerTo(message, RCODE.ok, [{ name, address, ttlSeconds: 5 }]) ?? assert.fail();
const addressOf = async (reply: Promise<Uint8Array | undefined>): Promise<string> =>
  addressesIn((await reply) ?? assert.fail("no answer"))[0]?.address ?? "none";

/** @param own what the server on loopback does */
function servers(own: AskOne, ...list: readonly string[]): [FormerServers, string[]] {
  const asked: string[] = [];
  const former: FormerServers = new FormerServers(list, (server, message, isTcp, signal) => {
    const probe = questionIn(message)?.name.endsWith(".inpod.test") ? "probe" : "question";
    asked.push(`${server} ${probe}`);
    return server === OFFICE
      ? Promise.resolve(known(message, "192.0.2.80"))
      : own(server, message, isTcp, signal);
  });
  return [former, asked];
}

test("a server that asks whom resolv.conf names is found out when its own question comes, and asked no more", async () => {
  const [former, asked] = servers(
    async (_, message, isTcp) => (await former.ask(message, isTcp)) ?? assert.fail(),
    OWN,
    OFFICE,
  );
  assert.equal(await addressOf(former.ask(query(7, name, 1), false)), "192.0.2.80");
  assert.deepEqual(asked, [`${OWN} question`, `${OWN} probe`, `${OFFICE} question`]);
  asked.length = 0;
  assert.equal(await addressOf(former.ask(query(8, name, 1), false)), "192.0.2.80");
  assert.deepEqual(asked, [`${OFFICE} question`]);
});

test("one that asks others is asked by each of two programs with the same question", async () => {
  let isFirst = true;
  let second: Promise<string> | undefined;
  const [former, asked] = servers(
    async (_, message) => {
      if (isFirst) {
        isFirst = false;
        second = addressOf(former.ask(query(2, name, 1), false));
      }
      return known(message, "192.0.2.99");
    },
    OWN,
    OFFICE,
  );
  assert.equal(await addressOf(former.ask(query(1, name, 1), false)), "192.0.2.99");
  assert.equal(await second, "192.0.2.99");
  assert.deepEqual(asked, [`${OWN} question`, `${OWN} probe`, `${OWN} question`]);
});

test("the only one is asked whatever it does, and the next one when it fails", async () => {
  const [alone, asked] = servers(async (_, message) => known(message, "192.0.2.99"), OWN);
  const both = [1, 2].map((id) => addressOf(alone.ask(query(id, name, 1), false)));
  assert.deepEqual(await Promise.all(both), ["192.0.2.99", "192.0.2.99"]);
  assert.deepEqual(asked, [`${OWN} question`, `${OWN} question`]);
  const [two] = servers(() => Promise.reject(new Error("ECONNREFUSED")), OWN, OFFICE);
  assert.equal(await addressOf(two.ask(query(7, name, 1), false)), "192.0.2.80");
});

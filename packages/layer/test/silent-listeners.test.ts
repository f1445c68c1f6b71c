/** Sockets that are bound, by the thousand; of the tap only what bind and listen ask of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { IncomingSource } from "@inpod/session";
import { encodeAddress, type Tap } from "@inpod/tap";
import type { LayerConfig } from "../src/config.ts";
import { Listeners } from "../src/incoming/listeners.ts";

const PORT = 4100;

test("sockets that were bound long ago and never listened are forgotten, those that listen are not", async () => {
  const answers: string[] = [];
  const tap = {
    bindSocket: () => PORT,
    replyBound: () => {},
    listenSocket: () => 0,
    setNativePort: () => {},
    listeningPorts: () => undefined,
    reply: (token: number, value: number) => answers.push(`${token}: ${value}`),
    continue: (token: number) => answers.push(`${token}: native`),
  } as unknown as Tap;
  const source = {
    steal: async () => ({ release: async () => {} }),
    mirror: async () => ({ release: async () => {} }),
  } as unknown as IncomingSource;
  const config = {
    ...{ mode: "steal", listenPorts: new Map(), portMapping: new Map() },
  } as unknown as LayerConfig["incoming"];
  const listeners = new Listeners(tap, source, config, { notice: () => {}, decision: () => {} });
  const call = (kind: string, cookie: number): never =>
    ({ kind, token: cookie, cookie, address: encodeAddress("0.0.0.0", PORT) }) as unknown as never;
  const first = 1;
  const quiet = 2;
  const last = 20_000;
  listeners.bind(call("bind", first));
  await listeners.listen(call("listen", first));
  for (let cookie = quiet; cookie <= last; cookie++) listeners.bind(call("bind", cookie));
  for (const cookie of [first, quiet, last]) await listeners.listen(call("listen", cookie));
  listeners.close();
  assert.deepEqual(answers, ["1: 0", "1: 0", "2: native", "20000: 0"]);
});

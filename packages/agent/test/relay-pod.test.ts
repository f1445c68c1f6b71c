import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { test } from "node:test";
import { type HeldNote, type ServiceLike, takePatch } from "@inpod/protocol";
import { OwnPorts } from "../src/incoming/own-ports.ts";
import { Ports } from "../src/incoming/ports.ts";
import { RelayPod } from "../src/relay/relay-pod.ts";
import type { Answer, ServiceApi } from "../src/relay/service-api.ts";

const NOTE: HeldNote = {
  holder: "k3x",
  owner: "ada",
  selector: { app: "web" },
  relay: { app: "inpod-k3x" },
  untilMs: 1,
};
const { holder, selector, relay } = NOTE;
const PLACE = {
  ...{ namespace: "shop", service: "web", holder, origin: "inpod-k3x-origin", ports: [3000] },
  ...{ restores: true, selectors: { selector, relay } },
};

const WAITS = {
  ...{ settleMs: 1, maxSettleMs: 20_000, retryMs: 1, againMs: 1, giveUpMs: 1, drainMs: 1 },
};

/** RFC 7386. */
function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const all: Record<string, unknown> = { ...Object(target) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete all[key];
    else all[key] = merged(all[key], value);
  }
  return all;
}

/** A Service that the relay has, behind what answers only at times. */
class Store implements ServiceApi {
  service: ServiceLike;
  asked = 0;
  /** What comes in the place of an answer. */
  failure: ((signal: AbortSignal) => Promise<Answer>) | undefined;
  onAsked: () => void = () => {};

  constructor() {
    const free = { metadata: { resourceVersion: "1" }, spec: { selector } };
    this.service = merged(free, takePatch(free, NOTE)) as ServiceLike;
  }
  get(signal: AbortSignal): Promise<Answer> {
    return this.#answer(signal);
  }
  patch(patch: unknown, signal: AbortSignal): Promise<Answer> {
    if (this.failure === undefined) this.service = merged(this.service, patch) as ServiceLike;
    return this.#answer(signal);
  }
  #answer(signal: AbortSignal): Promise<Answer> {
    this.asked++;
    this.onAsked();
    return this.failure?.(signal) ?? Promise.resolve({ status: 200, service: this.service });
  }
  async askedTimes(count: number): Promise<void> {
    while (this.asked < count) await new Promise<void>((resolve) => (this.onAsked = resolve));
  }
}

/** @param quietMs since the last connection, each time that it is asked for */
function relayPod(
  api: ServiceApi,
  quietMs = (): number => Number.POSITIVE_INFINITY,
): { pod: RelayPod; served: () => boolean } {
  let drained = false;
  const ports = {
    keep: async () => {},
    drainAll: async () => {
      drained = true;
    },
    quietForMs: quietMs,
  };
  return { pod: new RelayPod(PLACE, ports, () => {}, api, WAITS), served: () => !drained };
}

class ToOrigin extends OwnPorts {
  readonly #port: number;
  constructor(port: number) {
    super();
    this.#port = port;
  }
  override connect(): Promise<Socket> {
    return Promise.resolve(connect({ port: this.#port, host: "127.0.0.1", allowHalfOpen: true }));
  }
}

/** Of a server that has just had it. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test("who comes while a relay waits for others' answers has his own before it ends", async (t) => {
  const origin = createServer().listen(0, "127.0.0.1");
  t.after(() => origin.closeAllConnections());
  t.after(() => origin.close());
  await once(origin, "listening");
  const ownPorts = new ToOrigin((origin.address() as AddressInfo).port);
  const own = { add: () => {}, remove: () => {} };
  const ports = new Ports(ownPorts, () => {}, own, undefined, ownPorts);
  const port = await freePort();
  await ports.keep([port]);
  const ask = async (): Promise<{ response: ServerResponse; answer: Promise<string> }> => {
    const arrived = once(origin, "request");
    const asked = request({ host: "127.0.0.1", port, agent: false });
    const answer = once(asked, "response").then(async ([message]: IncomingMessage[]) => {
      let text = "";
      for await (const bytes of message ?? []) text += bytes;
      if (message?.socket.destroyed === false) await once(message.socket, "close");
      return text;
    });
    asked.end();
    const [, response] = (await arrived) as [unknown, ServerResponse];
    return { response, answer };
  };
  const first = await ask();
  const drained = ports.drainAll(20_000);
  const second = await ask();
  first.response.end("first");
  assert.equal(await first.answer, "first");
  const third = await ask();
  for (const { response, answer } of [second, third]) {
    response.end("next");
    assert.equal(await answer, "next");
  }
  await drained;
});

const refused = (): Promise<Answer> => Promise.reject(new Error("connect ECONNREFUSED"));
const forbidden = async (): Promise<Answer> => ({ status: 403, service: undefined });

test("a relay that cannot give its Service back goes on for the pods until it can: the Service leads nowhere else", async () => {
  for (const failure of [refused, forbidden]) {
    const store = new Store();
    store.failure = failure;
    const { pod, served } = relayPod(store);
    const ending = pod.end("no session any more");
    // More than one round of attempts.
    await store.askedTimes(12);
    assert.equal(served(), true);
    store.failure = undefined;
    await ending;
    assert.deepEqual(store.service.spec, { selector });
    assert.deepEqual(store.service.metadata?.annotations, {});
    assert.equal(served(), false);
  }
});

test("told to end it tries for as long as it may, and ends", async () => {
  const store = new Store();
  store.failure = refused;
  const { pod, served } = relayPod(store);
  const ending = pod.end("no session any more");
  await store.askedTimes(9);
  await pod.endSoon("told to");
  await ending;
  assert.equal(served(), false);
  assert.deepEqual(store.service.spec, { selector: relay });
});

test("an API server that answers nothing keeps nobody who has been told to end", async () => {
  const store = new Store();
  store.failure = (signal) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
  const { pod, served } = relayPod(store);
  const ending = pod.end("no session any more");
  await store.askedTimes(1);
  await pod.endSoon("told to");
  await ending;
  assert.equal(served(), false);
});

test("a relay whose Service is free goes on for as long as somebody still comes to it", async () => {
  const store = new Store();
  const quiet = [0, 0, 0.5, 0, 0];
  const { pod, served } = relayPod(store, () => {
    assert.equal(served(), true);
    assert.deepEqual(store.service.spec, { selector });
    return quiet.shift() ?? Number.POSITIVE_INFINITY;
  });
  await pod.end("no session any more");
  assert.deepEqual(quiet, []);
  assert.equal(served(), false);
});

test("a relay says that it is there when it reaches its origin, of which its node may learn later", async (t) => {
  const ownPorts = new OwnPorts();
  const own = { add: () => {}, remove: () => {} };
  const ports = new Ports(ownPorts, () => {}, own, undefined, ownPorts);
  const port = await freePort();
  const origin = createServer();
  t.after(() => origin.close());
  const logged: unknown[] = [];
  const place = { ...PLACE, ports: [port] };
  const log = (_: string, fields?: unknown): void => void logged.push(fields);
  const pod = new RelayPod(place, ports, log, new Store(), WAITS);
  const at = await freePort();
  let attempts = 0;
  await pod.start(async () => {
    if (++attempts === 3) await once(origin.listen(at, "127.0.0.1"), "listening");
    const socket = connect(at, "127.0.0.1");
    await once(socket, "connect");
    return socket;
  });
  assert.equal(attempts, 3);
  assert.ok(ports.quietForMs() > 0);
  const before = performance.now();
  const client = connect(port, "127.0.0.1");
  await once(client, "connect");
  client.destroy();
  while (ports.quietForMs() > performance.now() - before)
    await new Promise((resolve) => setImmediate(resolve));
  await ports.drainAll(20_000);
});

/** Who speaks at the other end: greetings, and what is no greeting. */
import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { test } from "node:test";
import type { SessionHello } from "@inpod/protocol";
import type { TunnelError } from "../src/index.ts";
import { acceptTunnel, connectTunnel, peekAgent } from "../src/index.ts";
import { errnoOf, join, KEY, privateKey, silent, socketPair } from "./support.ts";

const connectOptions = { sessionId: "s1", privateKey, build: "test", handlers: silent };
const acceptOptions = { build: "test", sessionCount: () => 3, handlers: () => silent };

test("a session with another key is refused, and is told so", async (t) => {
  const [left, right] = await socketPair(t);
  const other = generateKeyPairSync("ed25519");
  const accepted = errnoOf(
    acceptTunnel(right, { ...acceptOptions, authorize: (_, isSignedBy) => isSignedBy(KEY) }),
  );
  await assert.rejects(
    connectTunnel(left, { ...connectOptions, privateKey: other.privateKey }),
    (error: TunnelError) => {
      assert.equal(error.errno, "EACCES");
      assert.match(error.message, /key is not the one/);
      return true;
    },
  );
  assert.equal(await accepted, "EACCES");
});

test("a greeting that was signed for another connection is worth nothing", async (t) => {
  const hellos: Buffer[] = [];
  const [left, right] = await socketPair(t);
  const write = left.write.bind(left);
  left.write = (chunk: Uint8Array) => {
    hellos.push(Buffer.from(chunk));
    return write(chunk);
  };
  const first = acceptTunnel(right, {
    ...acceptOptions,
    authorize: (_, isSignedBy) => isSignedBy(KEY),
  });
  const session = await connectTunnel(left, connectOptions);
  await first;
  session.close("recorded");
  const [again, agent] = await socketPair(t);
  const accepted = errnoOf(
    acceptTunnel(agent, { ...acceptOptions, authorize: (_, isSignedBy) => isSignedBy(KEY) }),
  );
  again.write(Buffer.concat(hellos));
  assert.equal(await accepted, "EACCES");
});

for (const [what, bytes] of [
  ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\nhost: x\r\n\r\n")],
  ["a TLS greeting", Buffer.from([0x16, 3, 1, 2, 0, 1])],
  ["a frame that is no greeting", Buffer.from([4, 0, 0, 1, 0, 0, 0, 1, 65])],
  ["a greeting that is too long", Buffer.from([1, 0xff, 0xff, 0xff, 0, 0, 0, 0])],
  ["a greeting that is no JSON", Buffer.from([1, 0, 0, 1, 0, 0, 0, 0, 65])],
] as const) {
  test(`${what} ends the connection at once, at either end`, async (t) => {
    const [left, agent] = await socketPair(t);
    const accepted = errnoOf(
      acceptTunnel(agent, { ...acceptOptions, authorize: (_, isSignedBy) => isSignedBy(KEY) }),
    );
    left.write(bytes);
    assert.match(await accepted, /EPROTO/);
    const [right, session] = await socketPair(t);
    const connected = errnoOf(connectTunnel(session, connectOptions));
    right.write(bytes);
    assert.match(await connected, /EPROTO/);
  });
}

test("an agent tells whoever looks how many sessions it has, and nobody becomes one by looking", async (t) => {
  const [left, right] = await socketPair(t);
  const accepted = errnoOf(
    acceptTunnel(right, { ...acceptOptions, authorize: (_, isSignedBy) => isSignedBy(KEY) }),
  );
  assert.equal((await peekAgent(left)).sessions, 3);
  assert.equal(await accepted, "ECONNRESET");
});

test("who looks at something else is told that it is no agent", async (t) => {
  const [left, right] = await socketPair(t);
  right.write("HTTP/1.1 400 Bad Request\r\n\r\n");
  assert.equal(await errnoOf(peekAgent(left)), "EPROTO");
});

test("an agent of another protocol is named with both versions", async (t) => {
  const [left, right] = await socketPair(t);
  const hello = {
    role: "agent",
    versions: [7, 9],
    build: "9.1.0",
    nonce: randomBytes(32).toString("base64"),
    features: [],
    sessions: 0,
  };
  const payload = Buffer.from(JSON.stringify(hello));
  right.write(Buffer.concat([Buffer.from([1, 0, 0, payload.length, 0, 0, 0, 0]), payload]));
  await assert.rejects(connectTunnel(left, connectOptions), (error: TunnelError) => {
    assert.equal(error.errno, "EPROTONOSUPPORT");
    assert.match(error.message, /9\.1\.0.*7 to 9.*speaks 1/);
    return true;
  });
});

test("the agent learns who the session says it is", async (t) => {
  const { agent } = await join(t);
  assert.equal((agent.peer as SessionHello).sessionId, "s1");
});

/** The relay's listener with real sockets; of the tap it needs only names and the table of the relay's port. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import type { Channel } from "@inpod/session";
import type { Tap } from "@inpod/tap";
import { Relay } from "../src/outgoing/relay.ts";

const tap = { setRelayPort: () => {}, nameAt: () => () => {} } as unknown as Tap;

/** A channel that gathers what it is to send. */
function gathering(): { channel: Channel; until(bytes: number): Promise<void> } {
  let got = 0;
  let check: () => void = () => {};
  const channel = {
    write: (chunk: Uint8Array) => {
      got += chunk.length;
      check();
      return true;
    },
    end: () => {},
    reset: () => {},
    consumed: () => {},
  } as unknown as Channel;
  const until = (bytes: number): Promise<void> =>
    new Promise((resolve) => {
      check = () => got >= bytes && resolve();
      check();
    });
  return { channel, until };
}

async function dial(relay: Relay): Promise<{ socket: Socket; port: number }> {
  const socket = connect(relay.port, "127.0.0.1");
  await once(socket, "connect");
  return { socket, port: socket.localPort as number };
}

test("a connection is joined whether it or its channel comes first, and all it has sent is read", {
  timeout: 120_000,
}, async () => {
  const relay = new Relay(tap);
  await relay.listen();
  const bytes = 1_000_000; // more than Node reads before somebody asks for it
  const early = await dial(relay);
  early.socket.write(Buffer.alloc(bytes));

  // Connections are accepted in the order they were made: when this one flows, `early` is there too.
  const second = gathering();
  const late = connect(relay.port, "127.0.0.1");
  await once(late, "connect");
  relay.expect(late.localPort as number, second.channel);
  late.write("x");
  await second.until(1);

  const first = gathering();
  relay.expect(early.port, first.channel);
  await first.until(bytes);

  early.socket.destroy();
  late.destroy();
  relay.close();
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Flows } from "@inpod/agent";
import type { Channel } from "@inpod/tunnel";

const LIMITS = { flows: 3, idleMs: 60_000, roomAfterMs: 2000 };
const LOCAL = { address: "10.0.0.1", port: 53 };
const clientOf = (port: number) => ({ address: "10.0.0.9", port });

interface Stream {
  readonly port: number;
  readonly got: string[];
  end: string | undefined;
  channel: Channel;
}

/** Streams as the tunnel has them, without one; and the clock. */
class Scene {
  nowMs = 0;
  dropped = 0;
  isFull = false;
  readonly streams: Stream[] = [];
  readonly flows = new Flows(
    {
      open: (client) => {
        const stream: Stream = {
          port: client.port,
          got: [],
          end: undefined,
          channel: {} as Channel,
        };
        stream.channel = {
          datagram: (bytes: Uint8Array) => {
            if (this.isFull) return false;
            stream.got.push(String(Buffer.from(bytes)));
            return true;
          },
          reset: (errno: string) => {
            stream.end = errno;
          },
        } as unknown as Channel;
        this.streams.push(stream);
        return stream.channel;
      },
      dropped: () => {
        this.dropped++;
      },
    },
    () => this.nowMs,
    LIMITS,
  );

  send(port: number, text = "x", answer?: (bytes: Uint8Array) => void): void {
    this.flows.datagram(Buffer.from(text), clientOf(port), LOCAL, answer);
  }

  stream(at: number): Stream {
    const stream = this.streams[at];
    assert.ok(stream);
    return stream;
  }

  get ports(): number[] {
    return this.streams.filter(({ end }) => end === undefined).map(({ port }) => port);
  }
}

test("what one client sends is one stream; another port, or another address of the pod, is another", () => {
  const scene = new Scene();
  scene.send(1, "a");
  scene.send(1, "b");
  scene.send(2, "c");
  scene.flows.datagram(Buffer.from("d"), clientOf(1), { address: "10.0.0.2", port: 53 });
  assert.deepEqual(
    scene.streams.map(({ got }) => got),
    [["a", "b"], ["c"], ["d"]],
  );
});

test("a flow ends after 60 s without a datagram either way, and begins anew with the next", () => {
  const scene = new Scene();
  const answers: string[] = [];
  scene.send(1, "a", (bytes) => answers.push(String(Buffer.from(bytes))));
  scene.send(2);
  scene.nowMs = 59_000;
  scene.stream(0).channel.onDatagram?.(Buffer.from("answer"));
  assert.deepEqual(answers, ["answer"]);
  scene.nowMs = 60_000;
  scene.flows.sweep();
  assert.deepEqual([scene.stream(0).end, scene.stream(1).end], [undefined, "ETIMEDOUT"]);
  scene.nowMs = 119_000;
  scene.flows.sweep();
  assert.equal(scene.flows.count, 0);
  scene.send(1);
  assert.equal(scene.streams.length, 3);
});

test("when there are too many clients, new ones are dropped, until one has been silent for 2 s", () => {
  const scene = new Scene();
  for (const port of [1, 2, 3, 4]) scene.send(port);
  assert.deepEqual([scene.ports, scene.dropped], [[1, 2, 3], 1]);
  scene.nowMs = 1999;
  scene.send(1);
  scene.send(4);
  assert.deepEqual([scene.ports, scene.dropped], [[1, 2, 3], 2]);
  scene.nowMs = 2000;
  scene.send(4);
  assert.deepEqual([scene.ports, scene.dropped], [[1, 3, 4], 2]);
  assert.equal(scene.stream(1).end, "ETIMEDOUT");
});

test("what the tunnel does not take is dropped and counted, and the flow goes on", () => {
  const scene = new Scene();
  scene.send(1, "a");
  scene.isFull = true;
  scene.send(1, "b");
  scene.isFull = false;
  scene.send(1, "c");
  assert.deepEqual([scene.stream(0).got, scene.dropped], [["a", "c"], 1]);
});

test("a stream that the session refuses is not opened again for each datagram", () => {
  const scene = new Scene();
  scene.send(1);
  scene.stream(0).channel.onReset?.("ECONNREFUSED", "");
  scene.send(1);
  scene.nowMs = 999;
  scene.send(1);
  assert.equal(scene.streams.length, 1);
  scene.nowMs = 1000;
  scene.send(1, "again");
  assert.deepEqual(scene.stream(1).got, ["again"]);
});

test("the end of a port resets all its flows", () => {
  const scene = new Scene();
  for (const port of [1, 2]) scene.send(port);
  scene.flows.close("ECONNABORTED");
  assert.deepEqual([scene.ports, scene.stream(0).end], [[], "ECONNABORTED"]);
});

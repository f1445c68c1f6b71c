/** A stream of the tunnel as a Duplex, for who speaks a protocol over it. */
import { Duplex } from "node:stream";
import type { Channel } from "./api.ts";

/**
 * Closed with the channel, which it resets if one direction has not ended.
 * @param early what has been read of the channel, and is still to be consumed
 */
export function duplexOf(channel: Channel, early: readonly Uint8Array[] = []): Duplex {
  let owed = 0;
  let waiting: (() => void) | undefined;
  let isOver = false;
  const duplex = new Duplex({
    read() {
      // What was pushed has been taken.
      if (owed > 0) channel.consumed(owed);
      owed = 0;
    },
    write(bytes: Buffer, _encoding, taken) {
      if (channel.write(bytes)) taken();
      else waiting = taken;
    },
    final(done) {
      channel.end();
      done();
    },
    destroy(error, done) {
      if (!isOver) channel.reset("ECONNRESET");
      isOver = true;
      done(error);
    },
  });
  const take = (bytes: Uint8Array): void => {
    if (isOver) return;
    if (duplex.push(bytes)) channel.consumed(bytes.length);
    else owed += bytes.length;
  };
  for (const bytes of early) take(bytes);
  channel.onData = take;
  channel.onEnd = () => duplex.push(null);
  channel.onReset = () => {
    isOver = true;
    duplex.destroy();
  };
  channel.onDrain = () => {
    const taken = waiting;
    waiting = undefined;
    taken?.();
  };
  return duplex;
}

/** A channel as a stream, for servers of Node's own. */
import { Duplex } from "node:stream";
import type { IncomingChannel } from "@inpod/tunnel";

export function duplexOf(channel: IncomingChannel): Duplex {
  const duplex = new Duplex({
    read: () => undefined,
    write: (bytes: Buffer, _, done) => {
      channel.write(bytes);
      done();
    },
    final: (done) => {
      channel.end();
      done();
    },
    destroy: (error, done) => {
      channel.reset("ECONNRESET");
      done(error);
    },
  });
  channel.onData = (bytes) => {
    duplex.push(bytes);
    channel.consumed(bytes.length);
  };
  channel.onEnd = () => duplex.push(null);
  channel.onReset = () => duplex.destroy();
  return duplex;
}

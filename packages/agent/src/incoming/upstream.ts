/** Where the bytes of a client can go: to the pod's server, or to a session. Alike for whoever sends them. */
import type { Socket } from "node:net";
import type { OutgoingChannel } from "@inpod/tunnel";
import { reset } from "./reset.ts";

export interface Upstream {
  /** False: stop until onDrain. */
  write(bytes: Uint8Array): boolean;
  /** FIN. */
  end(): void;
  /** No event follows. */
  reset(): void;
}

export interface UpstreamEvents {
  /** `taken` is called when the client has them: it may send more then. */
  onBytes(bytes: Uint8Array, taken: () => void): void;
  onEnd(): void;
  onReset(why: string): void;
  onDrain(): void;
}

/** How long a session may take to say whether it takes a connection. */
const OPEN_TIMEOUT_MS = 30_000;
/** Bytes from the pod on their way to the client, before the pod's socket is paused. */
const MAX_ON_THE_WAY = 256 * 1024;

/** A connection that may not stand yet: what is written waits. */
export function podUpstream(connecting: Promise<Socket>, events: UpstreamEvents): Upstream {
  let socket: Socket | undefined;
  let isOver = false;
  let hasEnd = false;
  const waiting: Uint8Array[] = [];
  const over = (why: string): void => {
    if (isOver) return;
    isOver = true;
    events.onReset(why);
  };
  connecting.then(
    (connected) => {
      if (isOver) {
        connected.destroy();
        return;
      }
      socket = connected;
      let onTheWay = 0;
      connected.on("data", (bytes: Buffer) => {
        if (isOver) return;
        onTheWay += bytes.length;
        if (onTheWay > MAX_ON_THE_WAY) connected.pause();
        events.onBytes(bytes, () => {
          onTheWay -= bytes.length;
          if (onTheWay <= MAX_ON_THE_WAY && connected.isPaused()) connected.resume();
        });
      });
      connected.on("end", () => {
        if (!isOver) events.onEnd();
      });
      connected.on("drain", () => {
        if (!isOver) events.onDrain();
      });
      connected.on("error", (error: Error) => over(error.message));
      connected.on("close", () => {
        if (!connected.readableEnded) over("closed");
        isOver = true;
      });
      for (const bytes of waiting) connected.write(bytes);
      if (hasEnd) connected.end();
      connected.resume();
      if (!isOver) events.onDrain();
    },
    (error: Error) => over(error.message),
  );
  return {
    write: (bytes) => {
      if (socket !== undefined) return socket.write(bytes);
      waiting.push(bytes);
      return false;
    },
    end: () => {
      hasEnd = true;
      socket?.end();
    },
    reset: () => {
      isOver = true;
      if (socket !== undefined) reset(socket);
    },
  };
}

export function channelUpstream(channel: OutgoingChannel, events: UpstreamEvents): Upstream {
  let isOver = false;
  const over = (why: string): void => {
    if (isOver) return;
    isOver = true;
    events.onReset(why);
  };
  const timer = setTimeout(() => {
    channel.reset("ETIMEDOUT");
    over("the session does not answer");
  }, OPEN_TIMEOUT_MS);
  channel.opened.then(
    () => clearTimeout(timer),
    (error: Error) => {
      clearTimeout(timer);
      over(error.message);
    },
  );
  channel.onData = (bytes) => {
    if (!isOver) events.onBytes(bytes, () => channel.consumed(bytes.length));
  };
  channel.onEnd = () => {
    if (!isOver) events.onEnd();
  };
  channel.onReset = over;
  channel.onDrain = () => {
    if (!isOver) events.onDrain();
  };
  return {
    write: (bytes) => channel.write(bytes),
    end: () => channel.end(),
    reset: () => {
      clearTimeout(timer);
      isOver = true;
      channel.reset("ECONNRESET");
    },
  };
}

/** Streams to the file service of the session's agent, whichever agent and tunnel that is at the time. */
import type { OutgoingChannel, Tunnel } from "@inpod/tunnel";
import { isLost } from "./link.ts";

/**
 * One stream of requests and answers (protocol/src/file-service). It ends by onReset: ECONNRESET with its tunnel,
 * ESTALE with the container whose files they were. A new one is opened then.
 */
export interface FilesChannel {
  /** False: stop until onDrain. */
  write(bytes: Uint8Array): boolean;
  onDrain: (() => void) | undefined;
  onData: ((bytes: Uint8Array) => void) | undefined;
  /** The bytes of onData were taken by their sink. */
  consumed(bytes: number): void;
  onReset: ((errno: string, detail: string) => void) | undefined;
  reset(errno: string): void;
}

export interface FilesLink {
  /**
   * Waits for the tunnel while it is redialled, as long as that takes.
   * @param which both are alike to the agent; two, so that a large content does not stand before a small answer
   * @throws TunnelError: ECONNRESET when there will be no tunnel any more, ESTALE while the target's container does
   * not run, what else the agent refuses with
   */
  open(which: "control" | "bulk"): Promise<FilesChannel>;
}

/** @param next the tunnel of now or the next one; rejects when there will be none */
export function filesLink(next: () => Promise<Tunnel>): FilesLink & {
  /** The files are another target's from now on: who has a stream to the one before opens another. */
  leave(): void;
} {
  const open = new Map<Tunnel, OutgoingChannel[]>();
  const keep = (tunnel: Tunnel, channel: OutgoingChannel): void => {
    const known = open.get(tunnel);
    if (known !== undefined) {
      known.push(channel);
      return;
    }
    open.set(tunnel, [channel]);
    void tunnel.closed.then(() => open.delete(tunnel));
  };
  return {
    leave: () => {
      for (const channel of [...open.values()].flat()) {
        const { onReset } = channel;
        channel.reset("ESTALE");
        onReset?.("ESTALE", "the target is another pod");
      }
      open.clear();
    },
    open: async () => {
      for (;;) {
        const tunnel = await next();
        try {
          const channel = tunnel.open({ kind: "files" });
          await channel.opened;
          keep(tunnel, channel);
          return channel;
        } catch (error) {
          if (!isLost(error)) throw error;
          // The tunnel tells its end right after it has rejected what was under way.
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
    },
  };
}

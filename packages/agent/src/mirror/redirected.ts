/**
 * Connections that somebody else in the pod redirects, as a mesh does to its sidecar: what arrives for the port is for
 * the sidecar, in the mesh's own encryption as a rule, and reaches the port's server over loopback, in the sidecar's
 * words. That is what is copied; of the former there is no copy, and nothing of it is missed.
 */
import type { Endpoint } from "@inpod/protocol";
import type { Tracked } from "../control/messages.ts";
import { Failure } from "../failure.ts";
import type { Sink, StreamHandlers } from "./streams.ts";

/** Nothing is tracked in most pods: so long nobody asks again. */
const UNTRACKED_MS = 1000;
/** Bytes that wait for an answer, which takes a fraction of a millisecond: beyond, the connection has a copy. */
const MAX_HELD = 1024 * 1024;

export interface Redirections {
  /** ENODATA: nothing is tracked here. ENOENT: this connection is not. */
  otherEnd(tracked: Tracked): Promise<Endpoint>;
  /** Whether that port is one of ours, to which we have redirected it ourselves. */
  isRelay(port: number): boolean;
}

/** The same handlers, for connections that reach the port that they are sent to. */
export function withoutRedirected(
  handlers: StreamHandlers,
  redirections: Redirections,
  now: () => number = () => performance.now(),
): StreamHandlers {
  let untrackedUntil = 0;
  const isRedirected = async (client: Endpoint, local: Endpoint): Promise<boolean> => {
    try {
      const { port } = await redirections.otherEnd({ client, by: "sent", local });
      return port !== local.port && !redirections.isRelay(port);
    } catch (error) {
      if (error instanceof Failure && error.errno === "ENODATA") {
        untrackedUntil = now() + UNTRACKED_MS;
      }
      return false;
    }
  };
  return {
    ...handlers,
    open: (client, local) => {
      if (now() < untrackedUntil) return handlers.open(client, local);
      return held(isRedirected(client, local), () => handlers.open(client, local));
    },
    missed: (port, what, ends) => {
      if (now() < untrackedUntil) {
        handlers.missed(port, what, ends);
        return;
      }
      void isRedirected(ends.client, ends.local).then((isSo) => {
        if (!isSo) handlers.missed(port, what, ends);
      });
    },
  };
}

/** Keeps what comes until it is known whether anybody wants it. */
function held(isUnwanted: Promise<boolean>, open: () => Sink | undefined): Sink {
  let waiting: ((sink: Sink) => void)[] | undefined = [];
  let heldBytes = 0;
  let sink: Sink | undefined;
  const decide = (isSo: boolean): void => {
    if (waiting === undefined) return;
    const all = waiting;
    waiting = undefined;
    sink = isSo ? undefined : open();
    if (sink !== undefined) for (const each of all) each(sink);
  };
  void isUnwanted.then(decide);
  const pass = (act: (to: Sink) => void): void => {
    if (waiting !== undefined) waiting.push(act);
    else if (sink !== undefined) act(sink);
  };
  return {
    data: (bytes) => {
      if (waiting === undefined) {
        sink?.data(bytes);
        return;
      }
      // It is the reader's, which goes on.
      const own = Buffer.from(bytes);
      heldBytes += own.length;
      pass((to) => to.data(own));
      if (heldBytes > MAX_HELD) decide(false);
    },
    end: () => pass((to) => to.end()),
    reset: (errno) => pass((to) => to.reset(errno)),
  };
}

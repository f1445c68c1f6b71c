/** Connections to servers, kept for the next request of whichever client. */
import { Agent } from "node:http";
import { ChannelStream } from "../channel-stream.ts";
import { connectTo, type Destination, type Reach } from "../reach.ts";

/** Of connections that nobody uses at the moment; servers keep theirs for 5 s and longer. */
const IDLE_MS = 4000;
const MAX_IDLE = 64;

export class Upstream {
  /** A request that it cannot connect fails with a TunnelFailure. */
  readonly agent: Agent;

  constructor(reach: Reach, onConnected: (to: Destination) => void) {
    this.agent = new Agent({
      keepAlive: true,
      maxFreeSockets: MAX_IDLE,
      scheduling: "lifo",
      timeout: IDLE_MS,
    });
    const connect = (
      wish: { readonly host: string; readonly port: number | string },
      done: (error: unknown, stream?: ChannelStream) => void,
    ): void => {
      const to = { host: wish.host, port: Number(wish.port) };
      connectTo(reach, to).then(
        ({ channel }) => {
          onConnected(to);
          done(null, new ChannelStream(channel));
        },
        (error: unknown) => done(error),
      );
    };
    // Its types know nothing of it; its documentation does (http.Agent, agent.createConnection).
    Object.assign(this.agent, { createConnection: connect });
  }

  close(): void {
    this.agent.destroy();
  }
}

/** Connections of this machine's programs to the subnets. What an accepted socket calls its own address is the peer's. */
import { createServer, type Server, type Socket } from "node:net";
import { resetSocket, type Session, splice } from "@inpod/session";

/** At once; whoever comes then is refused. */
const MAX_CONNECTIONS = 8192;
/** Node listens again, with a shorter queue if it is not told. */
const BACKLOG = 4096;

export interface TcpParts {
  readonly session: Pick<Session, "connectTcp">;
  /** True: it was somebody else's. */
  readonly onOther: (socket: Socket) => boolean;
  readonly log: (line: string) => void;
}

export class TcpListeners {
  readonly #servers: readonly Server[];
  readonly #sockets = new Set<Socket>();

  constructor(descriptors: readonly number[], parts: TcpParts) {
    this.#servers = descriptors.map((fd) => {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
      server.maxConnections = MAX_CONNECTIONS;
      server.on("connection", (socket) => {
        this.#sockets.add(socket);
        socket.once("close", () => this.#sockets.delete(socket));
        if (!parts.onOther(socket)) void connect(socket, parts);
      });
      // Of accept(2), as EMFILE: the client waits, or is reset when this ends.
      server.on("error", (error) => parts.log(`a connection was not accepted: ${error.message}`));
      server.listen({ fd, backlog: BACKLOG });
      return server;
    });
  }

  /** None of their sockets may be left: each holds the namespace in which it was accepted. */
  close(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) resetSocket(socket);
  }
}

async function connect(socket: Socket, { session, log }: TcpParts): Promise<void> {
  const { localAddress: host = "", localPort: port = 0 } = socket;
  let isOver = false;
  socket.on("error", () => {});
  socket.once("close", () => {
    isOver = true;
  });
  try {
    const { channel } = await session.connectTcp(host, port);
    if (isOver) {
      channel.reset("ECONNRESET");
      return;
    }
    splice(socket, channel);
    socket.resume();
  } catch (error) {
    log(`${host} port ${port}: ${error instanceof Error ? error.message : String(error)}`);
    resetSocket(socket);
  }
}

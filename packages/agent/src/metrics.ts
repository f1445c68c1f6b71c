/** What the agent counts, in Prometheus' text format (version 0.0.4), on a socket that enter made. */
import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";

/** A scraper asks every few seconds, and needs no more connections than this. */
const MAX_CONNECTIONS = 8;

export class Metrics {
  /** Streams of all sessions since the start, either way. */
  streams = 0;
  /** Connections that were taken from the target. */
  stolen = 0;
  /** Connections of which a session was given a copy. */
  mirrored = 0;
  /** Connections to the agent's port that were no session. */
  refused = 0;
  readonly #tunnels = new Set<Socket>();
  #receivedBytes = 0;
  #sentBytes = 0;

  /** Counts the bytes of a tunnel's socket, until and beyond its end. */
  count(socket: Socket): void {
    this.#tunnels.add(socket);
    socket.once("close", () => {
      this.#tunnels.delete(socket);
      this.#receivedBytes += socket.bytesRead;
      this.#sentBytes += socket.bytesWritten;
    });
  }

  render(sessions: number): string {
    let received = this.#receivedBytes;
    let sent = this.#sentBytes;
    for (const { bytesRead, bytesWritten } of this.#tunnels) {
      received += bytesRead;
      sent += bytesWritten;
    }
    const rows = [
      ["sessions", "gauge", "Sessions that have a tunnel or may come back.", sessions],
      ["streams_total", "counter", "Streams of all sessions.", this.streams],
      ["received_bytes_total", "counter", "Bytes that came through the tunnels.", received],
      ["sent_bytes_total", "counter", "Bytes that went through the tunnels.", sent],
      [
        "stolen_connections_total",
        "counter",
        "Connections taken from the target's ports.",
        this.stolen,
      ],
      [
        "mirrored_connections_total",
        "counter",
        "Copies of connections to the target's ports.",
        this.mirrored,
      ],
      ["refused_total", "counter", "Connections to the agent that were no session.", this.refused],
    ] as const;
    return rows
      .map(([name, type, help, value]) => {
        const full = `inpod_agent_${name}`;
        return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${full} ${value}\n`;
      })
      .join("");
  }

  /** @param fd a socket that listens already */
  serve(fd: number, sessions: () => number, onError: (error: Error) => void): Server {
    const server = createServer((request, response) => {
      const isKnown = request.url === "/metrics" && request.method === "GET";
      if (isKnown) response.setHeader("Content-Type", "text/plain; version=0.0.4");
      response.statusCode = isKnown ? 200 : 404;
      response.end(isKnown ? this.render(sessions()) : "");
    });
    server.maxConnections = MAX_CONNECTIONS;
    server.requestTimeout = 5_000;
    server.keepAliveTimeout = 5_000;
    server.on("error", onError);
    server.listen({ fd });
    return server;
  }
}

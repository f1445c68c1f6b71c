/** What the tunnel's carrier does by itself: our own port-forward, one WebSocket a connection, with no tunnel in it. */
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ApiClient } from "../packages/targets/src/kubernetes/reach/api-client.ts";
import { loadAccess } from "../packages/targets/src/kubernetes/reach/kubeconfig.ts";
import { dialPod } from "../packages/targets/src/kubernetes/reach/portforward.ts";

export class Forward {
  readonly #api: ApiClient;
  readonly #servers: readonly Server[];
  readonly #streams = new Set<Duplex>();

  private constructor(api: ApiClient, servers: readonly Server[]) {
    this.#api = api;
    this.#servers = servers;
  }

  /** `ports`: of this machine's loopback, and the pod's. */
  static async open(
    kubeconfig: string,
    where: { readonly namespace: string; readonly pod: string },
    ports: ReadonlyMap<number, number>,
  ): Promise<Forward> {
    const servers = [...ports].map(() =>
      createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }),
    );
    const forward = new Forward(new ApiClient(await loadAccess({ kubeconfig })), servers);
    for (const [at, [near, port]] of [...ports].entries()) {
      const server = servers[at] as Server;
      server.on("connection", (socket) => void forward.#join(socket, { ...where, port }));
      server.listen(near, "127.0.0.1");
      await once(server, "listening");
    }
    return forward;
  }

  async #join(socket: Socket, to: Parameters<typeof dialPod>[1]): Promise<void> {
    socket.on("error", () => {});
    try {
      const stream = await dialPod(this.#api, to, new AbortController().signal);
      this.#streams.add(stream);
      stream.on("error", () => socket.destroy());
      stream.on("close", () => this.#streams.delete(stream));
      socket.on("close", () => stream.destroy());
      socket.pipe(stream);
      stream.pipe(socket);
    } catch {
      socket.destroy(); // the load generator tells
    }
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const stream of this.#streams) stream.destroy();
    this.#api.close();
  }
}

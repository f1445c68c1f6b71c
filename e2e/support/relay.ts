/** A way to the cluster that can be cut: a TCP relay, and a kubeconfig that leads through it. */
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export class Relay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isCut = false;

  private constructor(to: URL) {
    this.#server = createServer((socket) => {
      if (this.#isCut) {
        socket.resetAndDestroy();
        return;
      }
      const other = connect({ host: to.hostname, port: Number(to.port || 443), noDelay: true });
      for (const each of [socket, other]) {
        this.#sockets.add(each);
        each.setNoDelay(true);
        each.on("error", () => {});
        each.on("close", () => {
          this.#sockets.delete(each);
          socket.destroy();
          other.destroy();
        });
      }
      socket.pipe(other).pipe(socket);
    });
  }

  /** @param kubeconfig the file that is written, as KUBECONFIG but for the server's address */
  static async start(kubeconfig: string): Promise<Relay> {
    const text = readFileSync(process.env.KUBECONFIG ?? "", "utf8");
    const [line = "", server = ""] = /^ *server: *(https:\S+)$/m.exec(text) ?? [];
    const to = new URL(server);
    const relay = new Relay(to);
    await new Promise<void>((resolve) => relay.#server.listen(0, "127.0.0.1", resolve));
    const { port } = relay.#server.address() as AddressInfo;
    const indent = " ".repeat(line.search(/\S/));
    writeFileSync(
      kubeconfig,
      text.replace(
        line,
        `${indent}server: https://127.0.0.1:${port}\n${indent}tls-server-name: kubernetes`,
      ),
      { mode: 0o600 },
    );
    return relay;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  stop(): void {
    this.cut();
    this.#server.close();
  }
}

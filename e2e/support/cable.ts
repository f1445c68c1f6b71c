/** The network between a developer's machine and the API server: a relay of bytes that can be cut. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { kubectl } from "./kubectl.ts";
import { kubeconfigWith } from "./users.ts";

export interface Cable {
  /** A kubeconfig's file: the API server over this cable. */
  readonly kubeconfig: string;
  /** Nothing gets through, and nobody is told: what is connected stands still, what connects waits. */
  silence(): void;
  /** What is connected is reset, and connections are. */
  reset(): void;
  /** As before. Whatever was sent meanwhile arrives, as TCP would repeat it. */
  mend(): void;
  close(): void;
}

/** @param of the kubeconfig of the user whose cable it is; undefined: that of KUBECONFIG */
export async function layCable(folder: string, name: string, of?: string): Promise<Cable> {
  const view = JSON.parse(await kubectl("config", "view", "--raw", "--minify", "-o", "json"));
  const { hostname, port } = new URL(view.clusters[0].cluster.server);
  let state: "whole" | "silent" | "reset" = "whole";
  const pairs = new Set<readonly [Socket, Socket]>();
  const server = createServer({ allowHalfOpen: true }, (near) => {
    if (state === "reset") {
      near.on("error", () => {});
      near.resetAndDestroy();
      return;
    }
    const far = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    const pair = [near, far] as const;
    pairs.add(pair);
    for (const [from, to] of [pair, [far, near] as const]) {
      from.on("error", () => to.resetAndDestroy());
      from.on("close", () => {
        pairs.delete(pair);
        to.destroy();
      });
      if (state === "whole") from.pipe(to);
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: own } = server.address() as AddressInfo;
  const each = (act: (from: Socket, to: Socket) => void): void => {
    for (const [near, far] of pairs) {
      act(near, far);
      act(far, near);
    }
  };
  return {
    kubeconfig: await kubeconfigWith(folder, name, (config) => {
      if (of !== undefined) config.users = JSON.parse(readFileSync(of, "utf8")).users;
      for (const { cluster } of config.clusters) cluster.server = `https://127.0.0.1:${own}`;
    }),
    silence: () => {
      state = "silent";
      each((from) => from.unpipe().pause());
    },
    reset: () => {
      state = "reset";
      each((from) => from.resetAndDestroy());
    },
    mend: () => {
      state = "whole";
      each((from, to) => from.pipe(to));
    },
    close: () => {
      each((from) => from.destroy());
      server.close();
    },
  };
}

/** The API server behind a door that counts who goes through. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer } from "node:net";

export interface CountingProxy {
  /** A kubeconfig's `server`. */
  readonly url: string;
  /** "POST /apis/batch/v1/namespaces/…", in order. */
  readonly requests: string[];
  close(): Promise<void>;
}

const STARTED = /Starting to serve on [\d.]+:(\d+)/;

/** `kubectl proxy` logs in; what we forward to it is plain HTTP/1.1, whose request lines can be read. */
export async function startCountingProxy(
  kubeconfig = process.env.KUBECONFIG ?? "",
): Promise<CountingProxy> {
  const proxy = spawn("kubectl", ["proxy", "--port=0"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, KUBECONFIG: kubeconfig },
  });
  const [line] = (await once(proxy.stdout, "data")) as [Buffer];
  const port = Number(STARTED.exec(String(line))?.[1]);
  const requests: string[] = [];
  const server = createServer((socket) => {
    const upstream = connect(port, "127.0.0.1");
    for (const each of [socket, upstream]) each.on("error", () => each.destroy());
    socket.on("data", (chunk: Buffer) => {
      for (const [, request = ""] of chunk
        .toString("latin1")
        .matchAll(/^((?:GET|POST|PUT|PATCH|DELETE) \/\S+) HTTP\/1\.1\r$/gm))
        requests.push(request);
    });
    socket.pipe(upstream).pipe(socket);
    socket.on("close", () => upstream.destroy());
    upstream.on("close", () => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: async () => {
      server.close();
      proxy.kill();
      await once(proxy, "exit");
    },
  };
}

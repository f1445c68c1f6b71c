/** Proxies on the way to the API server: real ones, and which one is meant. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import type { Duplex } from "node:stream";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { ApiClient } from "../src/kubernetes/reach/api-client.ts";
import { loadAccess } from "../src/kubernetes/reach/kubeconfig.ts";
import { chooseProxy, proxyName } from "../src/kubernetes/reach/proxy.ts";
import { api, asked, asking, at, failure, kubeconfig } from "./api-server.ts";

const run = promisify(execFile);

/** A proxy that connects whatever it is asked for to the API server, and keeps what was asked. */
async function startProxy(
  refusal?: string,
  isEncrypted = false,
): Promise<{ port: number; asked: string[] }> {
  const proxy = isEncrypted
    ? createHttpsServer({ key: readFileSync(at("server.key")), cert: readFileSync(at("server")) })
    : createHttpServer();
  const seen: string[] = [];
  proxy.on("connect", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    seen.push(`${request.url} ${request.headers["proxy-authorization"] ?? ""}`.trim());
    socket.on("error", () => {});
    if (refusal !== undefined) {
      socket.end(`HTTP/1.1 ${refusal}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno`);
      return;
    }
    const upstream = connect((api.address() as AddressInfo).port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      upstream.write(head);
      socket.pipe(upstream).pipe(socket);
    });
    upstream.on("error", () => socket.destroy());
    socket.on("close", () => upstream.destroy());
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  after(() => proxy.close());
  return { port: (proxy.address() as AddressInfo).port, asked: seen };
}

test("proxy-url: the API server is reached through it, by its name, over one connection", async () => {
  const { port, asked: seen } = await startProxy();
  const cluster = { server: "https://api.test:6443", "proxy-url": `http://u:p@127.0.0.1:${port}` };
  const ask = await asking({ kubeconfig: kubeconfig({ token: "t" }, cluster) });
  assert.equal(await ask(), "Bearer t");
  assert.equal(await ask(), "Bearer t");
  assert.deepEqual(seen, [`api.test:6443 Basic ${Buffer.from("u:p").toString("base64")}`]);
});

test("port-forwards go through it too", async () => {
  const { port, asked: seen } = await startProxy();
  const cluster = { server: "https://api.test:6443", "proxy-url": `http://127.0.0.1:${port}` };
  const client = new ApiClient(
    await loadAccess({ kubeconfig: kubeconfig({ token: "t" }, cluster) }),
  );
  const { socket, head } = await client.upgrade(
    { verb: "get", group: "", resource: "pods", subresource: "portforward", name: "orders" },
    {},
    { Connection: "Upgrade", Upgrade: "websocket" },
    AbortSignal.timeout(60_000),
  );
  const said = head.length > 0 ? head : (await once(socket, "data"))[0];
  assert.equal(String(said), "Bearer t");
  assert.deepEqual(seen, ["api.test:6443"]);
  socket.destroy();
  client.close();
});

test("a proxy that itself speaks TLS must have a certificate of an authority of this machine", async () => {
  const { port } = await startProxy(undefined, true);
  const cluster = { server: "https://api.test:6443", "proxy-url": `https://127.0.0.1:${port}` };
  const config = kubeconfig({ token: "t" }, cluster);
  await failure(asked({ kubeconfig: config }), "API_SERVER_UNTRUSTED");
  // Authorities of the machine are read when Node starts.
  const source = `import { loadAccess } from ${JSON.stringify(new URL("../src/kubernetes/reach/kubeconfig.ts", import.meta.url).href)};
    import { ApiClient } from ${JSON.stringify(new URL("../src/kubernetes/reach/api-client.ts", import.meta.url).href)};
    const client = new ApiClient(await loadAccess({ kubeconfig: process.argv[1] }));
    console.log((await client.request({ verb: "get", group: "", resource: "pods" })).who);
    client.close();`;
  const { stdout } = await run(
    process.execPath,
    ["--import", "tsx", "--input-type=module", "-e", source, config],
    { env: { ...process.env, NODE_EXTRA_CA_CERTS: at("ca") }, timeout: 60_000 },
  );
  assert.equal(stdout, "Bearer t\n");
});

test("a SOCKS proxy resolves the API server's name itself", async () => {
  const seen: string[] = [];
  // RFC 1928: methods, then one request by name; everything goes to the API server.
  const socks = createTcpServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.write(Buffer.of(5, 0));
      socket.once("data", (request: Buffer) => {
        seen.push(`${request[3]} ${request.subarray(5, 5 + (request[4] ?? 0))}`);
        const upstream = connect((api.address() as AddressInfo).port, "127.0.0.1", () => {
          socket.write(Buffer.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
          socket.pipe(upstream).pipe(socket);
        });
        upstream.on("error", () => socket.destroy());
        socket.on("close", () => upstream.destroy());
      });
    });
  }).listen(0, "127.0.0.1");
  await once(socks, "listening");
  const { port } = socks.address() as AddressInfo;
  const cluster = { server: "https://api.test:6443", "proxy-url": `socks5h://127.0.0.1:${port}` };
  const client = new ApiClient(
    await loadAccess({ kubeconfig: kubeconfig({ token: "t" }, cluster) }),
  );
  const { who: seenAs } = await client.request<{ who: string }>({
    ...{ verb: "get", group: "", resource: "pods" },
  });
  assert.equal(seenAs, "Bearer t");
  assert.deepEqual(seen, ["3 api.test"]);
  client.close();
  socks.close();
});

test("a proxy that refuses, and one that is not there, are not taken for the API server", async () => {
  const through = (url: string) => kubeconfig({ token: "t" }, { "proxy-url": url });
  const wantsLogin = await startProxy("407 Proxy Authentication Required");
  const refused = await failure(
    asked({ kubeconfig: through(`http://127.0.0.1:${wantsLogin.port}`) }),
    "PROXY_REFUSED",
  );
  assert.match(
    refused,
    /^the proxy http:\/\/127\.0\.0\.1:\d+ \(proxy-url of cluster "c"\) makes no connection/,
  );
  assert.match(refused, /because: HTTP 407 .*\nhint: it wants a login: http:\/\/USER:PASSWORD@/);
  const closed = createTcpServer().listen(0, "127.0.0.1");
  await once(closed, "listening");
  const { port } = closed.address() as AddressInfo;
  closed.close();
  await once(closed, "close");
  assert.match(
    await failure(
      asked({ kubeconfig: through(`http://u:hidden@127.0.0.1:${port}`) }),
      "API_SERVER_UNREACHABLE",
    ),
    /through the proxy http:\/\/127\.0\.0\.1:\d+ \(proxy-url of cluster "c"\)\nbecause: connect ECONNREFUSED/,
  );
  assert.match(
    await failure(asked({ kubeconfig: through("ftp://u:hidden@x") }), "PROXY_INVALID"),
    /^proxy-url of cluster "c" is no address of a proxy\n(?!.*hidden)/s,
  );
});

test("HTTPS_PROXY is followed as kubectl follows it, unless use_proxy says no", async () => {
  const { port, asked: seen } = await startProxy();
  const before = process.env.HTTPS_PROXY;
  process.env.HTTPS_PROXY = `127.0.0.1:${port}`;
  try {
    const config = kubeconfig({ token: "t" }, { server: "https://api.test:6443" });
    assert.equal(await asked({ kubeconfig: config }), "Bearer t");
    assert.deepEqual(seen, ["api.test:6443"]);
    const without = await loadAccess({ kubeconfig: config, useProxy: false });
    assert.equal(without.proxy, undefined);
  } finally {
    if (before === undefined) delete process.env.HTTPS_PROXY;
    else process.env.HTTPS_PROXY = before;
  }
});

test("which proxy is meant: proxy-url, the environment, and NO_PROXY by name, address, network and port", () => {
  const chosen = (
    address: string,
    env: NodeJS.ProcessEnv | undefined,
    configured?: string,
  ): string | undefined => {
    const proxy = chooseProxy({ server: new URL(address), clusterName: "c", configured, env });
    return proxy && proxyName(proxy);
  };
  const env = { HTTPS_PROXY: "http://u:p@proxy:3128", http_proxy: "plain:80" };
  const viaEnvironment = "http://proxy:3128 (HTTPS_PROXY)";
  assert.equal(chosen("https://api.test", env), viaEnvironment);
  assert.equal(
    chosen("https://api.test", { https_proxy: "proxy:1" }),
    "http://proxy:1 (https_proxy)",
  );
  assert.equal(chosen("http://api.test", env), "http://plain (http_proxy)");
  assert.equal(
    chosen("https://api.test", env, "socks5://s:1"),
    'socks5://s:1 (proxy-url of cluster "c")',
  );
  assert.equal(chosen("https://api.test", undefined), undefined);
  for (const local of ["https://localhost:1", "https://127.0.0.2:1", "https://[::1]:1"])
    assert.equal(chosen(local, env), undefined, local);
  const excepted: [string, string, boolean][] = [
    ["https://api.test", "*", true],
    ["https://api.test", "other, api.test", true],
    ["https://api.test", "test", true],
    ["https://api.test", ".test", true],
    ["https://api.test", "*.test", true],
    ["https://api.test", ".api.test", false],
    ["https://api.test", "pi.test", false],
    ["https://api.test:6443", "api.test:6443", true],
    ["https://api.test", "api.test:443", true],
    ["https://api.test:6443", "api.test:443", false],
    ["https://10.1.2.3:6443", "10.1.2.3", true],
    ["https://10.1.2.3:6443", "10.1.0.0/16", true],
    ["https://10.1.2.3:6443", "10.2.0.0/16", false],
    ["https://10.1.2.3:6443", "10.1.0.0/99", false],
    ["https://10.1.2.3", "2.3", false],
    ["https://[fd00::1]", "fd00::/8", true],
    ["https://[fd00::1]", "fd00::1", true],
    ["https://[fd00::1]:6443", "[fd00::1]:6443", true],
    ["https://api.test", "", false],
  ];
  for (const [address, list, isExcepted] of excepted)
    assert.equal(
      chosen(address, { ...env, NO_PROXY: list }),
      isExcepted ? undefined : viaEnvironment,
      `${address} with NO_PROXY=${list}`,
    );
});

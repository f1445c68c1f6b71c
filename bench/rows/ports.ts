/** With a cluster: what goes by ports and a proxy instead of a tapped process, beside kubectl's port-forward. */
import { type ChildProcess, spawn } from "node:child_process";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { Laptop } from "../../packages/cli/test/routes-laptop.ts";
import { type Bed, CLI, HTTP_SERVER, LOAD_HTTP_PORT, LOAD_PORT } from "../bed.ts";
import { Cluster } from "../cluster.ts";
import { median, type Sample, warm } from "../measure.ts";
import { cpuMicroseconds } from "../processes.ts";
import type { Shell } from "../shell.ts";
import type { Row, Skipped } from "../table.ts";
import { sampleLoad } from "./outgoing.ts";

const KUBECTL_PORT = 7700;
const FORWARD_PORT = 7710;
const PROXY_PORT = 7720;
const SERVER_PORT = 7730;
/** Of the load generator's far end, what is forwarded: echo, sink, source and HTTP. */
const KINDS = [0, 1, 2, 3];
const READY_TIMEOUT_MS = 60_000;
/** What counts as idle: below this part of a core over so long; looked at no more than so often. */
const IDLE_SHARE = 0.05;
const IDLE_MS = 150;
const IDLE_LOOKS = 40;
const BESIDE = "kubectl port-forward";
const NOTE =
  "Ports: forward's and the proxy's local end accepts at once, as kubectl's does; forward sends what comes with the wish " +
  "to connect, where there is one address. After each sample it is waited for until kubectl is idle: it goes on for up to a " +
  "second with what the pod has sent. Exchange is the other direction, from a client in the cluster to a port of " +
  "this machine, for which kubectl has nothing: beside it stands what kubectl carries the usual way. Routes are measured on " +
  "a laptop made of namespaces, whose way to the API server has two more relays in Node, beside a kubectl in the same laptop.";
/** Where the API server is, for the laptop. */
const LAPTOP_API_PORT = 6443;

export async function ports(bed: Bed): Promise<{ rows: Row[]; skipped: Skipped[] }> {
  const cluster = await Cluster.find();
  if (typeof cluster === "string")
    return { rows: [], skipped: [{ what: "ports and the proxy on a cluster", why: cluster }] };
  try {
    await cluster.prepare(bed);
    return { rows: await measure(bed, cluster), skipped: [] };
  } finally {
    await cluster.remove();
  }
}

async function measure(bed: Bed, cluster: Cluster): Promise<Row[]> {
  const pairs = (from: number): string[] =>
    KINDS.map((kind) => `${from + kind}:${LOAD_PORT + kind}`);
  const kubectl = cluster.start(bed, "port-forward", "pod/server", ...pairs(KUBECTL_PORT));
  const forward = cluster.inpod(bed, "forward", "pod/server", ...pairs(FORWARD_PORT));
  const proxy = cluster.inpod(
    ...([bed, "connect", "-t", "pod/server", "--port", String(PROXY_PORT)] as const),
  );
  await Promise.all([
    says(kubectl, `Forwarding from 127.0.0.1:${KUBECTL_PORT + 3}`),
    says(forward, "until Ctrl-C"),
    says(proxy, "until Ctrl-C"),
  ]);
  const shell = bed.shell("plain", bed.start(["sh"]));
  const routed = process.getuid?.() === 0 ? await routes(bed, cluster) : undefined;
  const { rounds, loadMs } = bed.length;
  const pod = { host: cluster.serverAddress, port: LOAD_PORT };
  const at = (port: number) => ({ host: "127.0.0.1", port });
  const rows: Row[] = [];
  const alone = (take: Sample): Sample =>
    thenIdle(take, [kubectl, ...(routed ? [routed.kubectl] : [])]);
  for (const mode of ["up", "down"] as const) {
    const row = { what: `bulk ${mode}`, mode, connections: 1, unit: "MB/s" };
    const socks = `BENCH_SOCKS=${PROXY_PORT} ${bed.load}`;
    const found = await warm(rounds, {
      kubectl: alone(() => sampleLoad(shell, bed.load, row, at(KUBECTL_PORT), loadMs)),
      forward: alone(() => sampleLoad(shell, bed.load, row, at(FORWARD_PORT), loadMs)),
      proxy: alone(() => sampleLoad(shell, socks, row, pod, loadMs)),
    });
    const shared = { beside: BESIDE, unit: "MB/s", plain: found.kubectl };
    rows.push(
      { what: `bulk ${mode}, forward`, ...shared, inpod: found.forward },
      { what: `bulk ${mode}, connect by proxy`, ...shared, inpod: found.proxy },
    );
    if (routed !== undefined) {
      const { kubectl, routes } = await warm(rounds, {
        kubectl: alone(() => sampleLoad(routed.shell, bed.load, row, at(KUBECTL_PORT), loadMs)),
        routes: alone(() => sampleLoad(routed.shell, bed.load, row, pod, loadMs)),
      });
      rows.push({
        ...{ what: `bulk ${mode}, connect by route`, beside: BESIDE, unit: "MB/s" },
        ...{ plain: kubectl, inpod: routes },
      });
    }
  }
  await routed?.end();
  rows.push(...(await requests(bed, cluster, shell)));
  await shell.end();
  for (const child of [kubectl, forward, proxy]) await bed.end(child, "SIGTERM");
  return rows;
}

/** The sample, and then the wait until none of `children` works any more: the next one would be measured beside it. */
function thenIdle(take: Sample, children: readonly ChildProcess[]): Sample {
  const spent = (): number => children.reduce((sum, { pid = 0 }) => sum + cpuMicroseconds(pid), 0);
  return async () => {
    const rate = await take();
    for (let look = 0; look < IDLE_LOOKS; look++) {
      const before = spent();
      await setTimeout(IDLE_MS);
      if (spent() - before < IDLE_MS * 1000 * IDLE_SHARE) break;
    }
    return rate;
  };
}

/** A machine in the cluster's network by routes: a laptop of its own, so that nothing of this machine is changed. */
async function routes(
  bed: Bed,
  cluster: Cluster,
): Promise<{ shell: Shell; kubectl: ChildProcess; end(): Promise<void> }> {
  const way = await wayTo(cluster.server, join(bed.folder, "way"));
  const laptop = await Laptop.start({
    way: join(bed.folder, "way"),
    network: ([program = "", ...args]) =>
      bed.own(spawn("unshare", ["--net", program, ...args], { stdio: ["ignore", "pipe", "pipe"] })),
  });
  const far = cluster.through(bed, LAPTOP_API_PORT);
  const { kubeconfig, namespace } = far;
  const [enter = "", ...rest] = laptop.enter;
  const words = ["connect", "--mode", "routes", "-n", namespace, "--kubeconfig", kubeconfig];
  const connected = bed.own(
    spawn(enter, [...rest, process.execPath, CLI, ...words], {
      cwd: bed.folder,
      stdio: "pipe",
      detached: true,
    }),
  );
  const pairs = KINDS.map((kind) => `${KUBECTL_PORT + kind}:${LOAD_PORT + kind}`);
  const forward = far.kubectlWords("port-forward", "pod/server", ...pairs);
  const kubectl = bed.start([enter, ...rest, ...forward]);
  await Promise.all([
    says(connected, "until Ctrl-C"),
    says(kubectl, `Forwarding from 127.0.0.1:${KUBECTL_PORT + 3}`),
  ]);
  const shell = bed.shell("laptop", bed.start([enter, ...rest, "sh"]));
  const end = async (): Promise<void> => {
    await shell.end();
    for (const child of [connected, kubectl]) await bed.end(child, "SIGTERM");
    await laptop.stop();
    way.close();
  };
  return { shell, kubectl, end };
}

async function wayTo(url: string, path: string): Promise<Server> {
  const { hostname: host, port } = new URL(url);
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ host, port: Number(port), allowHalfOpen: true, noDelay: true });
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      from.on("error", () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return server;
}

/** Kept-alive connections; the pod's loopback, to which both forwards connect, is not what exchange takes. */
async function requests(bed: Bed, cluster: Cluster, shell: Shell): Promise<Row[]> {
  const { rounds, loadMs } = bed.length;
  const argv = [process.execPath, HTTP_SERVER, String(SERVER_PORT), "local"] as const;
  const server = await bed.server(bed.start(argv));
  const exchange = cluster.inpod(
    ...([bed, "exchange", "pod/server", "--expose", `${SERVER_PORT}:${LOAD_HTTP_PORT}`] as const),
  );
  await says(exchange, "until Ctrl-C");
  const client = bed.shell("client", cluster.start(bed, "exec", "-i", "client", "--", "sh"));
  const rows: Row[] = [];
  for (const connections of [1, 50]) {
    const latest = new Map<string, number[]>();
    const sample = (name: string, from: Shell, load: string, to: string) => async () => {
      const [rate = Number.NaN, , p99 = Number.NaN] = await from.numbers(
        `${load} http ${to} ${connections} ${loadMs}`,
      );
      latest.set(name, [...(latest.get(name) ?? []), p99]);
      return rate;
    };
    const near = (port: number): string => `127.0.0.1 ${port + 3}`;
    const pod = `${cluster.serverAddress} ${LOAD_HTTP_PORT}`;
    const found = await warm(rounds, {
      kubectl: sample("kubectl", shell, bed.load, near(KUBECTL_PORT)),
      forward: sample("forward", shell, bed.load, near(FORWARD_PORT)),
      exchange: sample("exchange", client, cluster.load, pod),
    });
    const late = (name: string): number => median(latest.get(name) ?? []);
    const many = `${connections} connection${connections > 1 ? "s" : ""}`;
    for (const name of ["forward", "exchange"] as const)
      rows.push(
        {
          ...{ what: `requests, ${many}, ${name}`, beside: BESIDE, unit: "/s", note: NOTE },
          ...{ plain: found.kubectl, inpod: found[name] },
        },
        {
          ...{ what: `their 99th percentile, ${many}, ${name}`, beside: BESIDE, unit: "µs" },
          ...{ plain: late("kubectl"), inpod: late(name) },
        },
      );
  }
  await client.end();
  for (const child of [exchange, server]) await bed.end(child, "SIGTERM");
  return rows;
}

/** It has said it on stdout or stderr. */
function says(child: ChildProcess, words: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = "";
    const fail = (why: string): void => reject(new Error(`${why} before "${words}": ${said}`));
    const timer = globalThis.setTimeout(() => fail("not within a minute"), READY_TIMEOUT_MS);
    child.once("close", () => fail("it ended"));
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding("utf8").on("data", (text: string) => {
        said = (said + text).slice(-4000);
        if (!said.includes(words)) return;
        clearTimeout(timer);
        resolve();
      });
  });
}

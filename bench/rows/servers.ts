/** Servers under the tap that accept a new connection for each request, which is what costs calls. */
import { execFileSync, type SpawnOptions } from "node:child_process";
import { join } from "node:path";
import { type Bed, HTTP_SERVER, RELAY, SERVERS } from "../bed.ts";
import { brief } from "../measure.ts";
import type { Shell } from "../shell.ts";
import { atLeast, type Row, type Skipped } from "../table.ts";
import { findPython, findTool } from "../tools.ts";

const FIRST_PORT = 7500;
const RELAY_PORT = 7590;
const ABREAST = [1, 16] as const;
const GOAL = 0.7;

interface Server {
  readonly what: string;
  readonly argv: (port: number) => readonly string[];
  /** Measured through the pod, too. */
  readonly isStolen?: boolean;
}

const PIPES: SpawnOptions = { stdio: ["ignore", "pipe", "pipe"] };
/** Not a terminal session of its own: the scheduler gives each a share of the processors (sched(7), autogroup). */
const BESIDE: SpawnOptions = { ...PIPES, detached: false };

function servers(bed: Bed): { list: Server[]; skipped: Skipped[] } {
  const list: Server[] = [
    {
      ...{ what: "C, blocking accept", isStolen: true },
      argv: (port) => [bed.load, "accept", String(port)],
    },
    { what: "C, epoll and accept4", argv: (port) => [bed.load, "accept-epoll", String(port)] },
    {
      ...{ what: "Node http", isStolen: true },
      argv: (port) => [process.execPath, join(SERVERS, "node.cjs"), String(port)],
    },
  ];
  const skipped: Skipped[] = [];
  const add = (needs: string | undefined, what: string, argv: Server["argv"]): void => {
    if (needs === undefined) {
      skipped.push({ what: `new connections to ${what}`, why: "it is not on this machine" });
    } else list.push({ what, argv });
  };
  const go = findTool("go");
  const built = join(bed.folder, "go-server");
  if (go !== undefined) {
    const env = { ...process.env, GOTOOLCHAIN: "local", GOPROXY: "off", CGO_ENABLED: "0" };
    execFileSync(go, ["build", "-o", built, join(SERVERS, "main.go")], { cwd: bed.folder, env });
  }
  add(go, "Go net/http", (port) => [built, String(port)]);
  const nginx = findTool("nginx");
  add(nginx, "nginx", (port) => nginxArgv(bed, nginx ?? "", port));
  const python = findPython();
  add(python, "Python socketserver", (port) => [
    python ?? "",
    join(SERVERS, "python.py"),
    String(port),
  ]);
  return { list, skipped };
}

/** It writes its pid file when it listens. */
function nginxArgv(bed: Bed, nginx: string, port: number): readonly string[] {
  const pidFile = join(bed.folder, `nginx-${port}.pid`);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const config = bed.file(
    `nginx-${port}.conf`,
    `worker_processes 1; daemon off; pid ${pidFile}; error_log stderr crit;
events { worker_connections 1024; }
http {
  access_log off; keepalive_timeout 0;
  ${temporary.map((name) => `${name}_temp_path ${bed.folder}/${name}_temp;`).join(" ")}
  server { listen 0.0.0.0:${port} backlog=4096; location / { return 200 $remote_port; } }
}
`,
  );
  const ready = `(until [ -s ${pidFile} ]; do sleep 0.02; done; echo ready) &`;
  return ["sh", "-c", `${ready} exec ${nginx} -c ${config}`];
}

async function rate(
  shell: Shell,
  bed: Bed,
  to: { readonly host: string; readonly port: number },
  abreast: number,
  ms: number,
): Promise<number> {
  const numbers = await shell.numbers(
    `${bed.load} requests ${to.host} ${to.port} ${abreast} ${ms}`,
  );
  return numbers[0] ?? Number.NaN;
}

const abreastText = (what: string, abreast: number): string => `${what}, ${abreast} at a time`;

export async function newConnections(bed: Bed): Promise<{ rows: Row[]; skipped: Skipped[] }> {
  const { list, skipped } = servers(bed);
  const { podAddress } = bed.sandbox;
  const near = bed.plainShell("laptop");
  const client = bed.shell("client", bed.sandbox.inClient(["sh"], { stdio: "pipe" }));
  const rows: Row[] = [];
  let port = FIRST_PORT;
  for (const server of list) {
    const [plainPort, tappedPort, podPort] = [port, port + 1, port + 2];
    port += 3;
    const plain = await bed.server(bed.spawnIn("laptop", server.argv(plainPort), PIPES));
    const tapped = await bed.server(bed.exec(server.argv(tappedPort), ["--steal"], BESIDE));
    for (const abreast of ABREAST) {
      const found = await brief(bed.length, {
        plain: (ms) => rate(near, bed, { host: "127.0.0.1", port: plainPort }, abreast, ms),
        inpod: (ms) => rate(near, bed, { host: "127.0.0.1", port: tappedPort }, abreast, ms),
      });
      const what = abreastText(`new connections to ${server.what}`, abreast);
      rows.push({ what, unit: "/s", beside: "without inpod", ...found, goal: atLeast(GOAL) });
    }
    if (server.isStolen) {
      const inPod = await bed.server(bed.spawnIn("pod", server.argv(podPort), PIPES));
      const relays = await startRelays(bed, podPort);
      for (const abreast of ABREAST) {
        const found = await brief(bed.length, {
          plain: (ms) => rate(client, bed, { host: podAddress, port: RELAY_PORT }, abreast, ms),
          inpod: (ms) => rate(client, bed, { host: podAddress, port: tappedPort }, abreast, ms),
        });
        const what = abreastText(`new connections stolen by ${server.what}`, abreast);
        rows.push({ what, unit: "/s", beside: "two Node relays", ...found, goal: atLeast(GOAL) });
      }
      for (const each of [...relays, inPod]) await bed.end(each, "SIGTERM");
    }
    await bed.end(tapped, "SIGTERM");
    await bed.end(plain, "SIGTERM");
  }
  rows.push(...(await openConnections(bed, near, port)));
  await Promise.all([near.end(), client.end()]);
  return { rows, skipped };
}

/** A running application: what it does on connections that are open is not stopped. */
async function openConnections(bed: Bed, near: Shell, port: number): Promise<Row[]> {
  const argv = (at: number): string[] => [process.execPath, HTTP_SERVER, String(at), "answer"];
  const plain = await bed.server(bed.spawnIn("laptop", argv(port), PIPES));
  const tapped = await bed.server(bed.exec(argv(port + 1), ["--steal"], BESIDE));
  const rows: Row[] = [];
  for (const abreast of ABREAST) {
    const requests = async (at: number, ms: number): Promise<number> => {
      const command = `${bed.load} http 127.0.0.1 ${at} ${abreast} ${ms}`;
      return (await near.numbers(command))[0] ?? Number.NaN;
    };
    const found = await brief(bed.length, {
      plain: (ms) => requests(port, ms),
      inpod: (ms) => requests(port + 1, ms),
    });
    const what = `requests to Node http, ${abreast} open connection${abreast > 1 ? "s" : ""}`;
    rows.push({ what, unit: "/s", beside: "without inpod", ...found, goal: atLeast(0.95) });
  }
  for (const each of [tapped, plain]) await bed.end(each, "SIGTERM");
  return rows;
}

/** As many hops as a stolen connection has: client, relay, relay, server. */
async function startRelays(bed: Bed, toPort: number) {
  const relays = [];
  for (const [from, to] of [
    [`127.0.0.1:${RELAY_PORT + 1}`, `127.0.0.1:${toPort}`],
    [`0.0.0.0:${RELAY_PORT}`, `127.0.0.1:${RELAY_PORT + 1}`],
  ] as const) {
    relays.push(await bed.server(bed.spawnIn("pod", [process.execPath, RELAY, from, to], PIPES)));
  }
  return relays;
}

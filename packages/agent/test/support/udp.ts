/** UDP in a pod of namespaces: a server on port 9090 of both families, clients in a network of their own, a session. */
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import type { AgentNotice, Endpoint } from "@inpod/protocol";
import { connectTunnel, type IncomingChannel, rawFromPublicKey, type Tunnel } from "@inpod/tunnel";
import { type Agent, Pod, type Who } from "./pod.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
export const ARGS = [
  ...["--public-key", rawFromPublicKey(publicKey), "--idle-timeout-ms", "20000"],
  ...["--communication-timeout-ms", "20000"],
];

export const PORT = 9090;
/** What a sidecar redirects to PORT, where there is one. */
export const MESH_PORT = 9091;
export const HOSTS = { ipv4: "198.18.9.1", ipv6: "fd09::1" } as const;
export const CLIENTS = { ipv4: "198.18.9.2", ipv6: "fd09::2" } as const;

/** Written for `node -e`: answers with who asked, and how much. */
const SERVER = `const u = require("dgram").createSocket("udp6");
  u.on("message", (m, r) => u.send("pod " + r.address.replace("::ffff:", "") + " " + m.length, r.port, r.address));
  u.bind(${PORT});`;

const CABLE = `
  unshare -n sleep 600 >/dev/null & client=$!
  for i in $(seq 500); do grep -q sleep /proc/$client/comm && break; sleep 0.02; done
  ip link add veth0 type veth peer name veth1 netns $client
  in_client() { nsenter -n -t $client "$@"; }
  ip address add ${HOSTS.ipv4}/24 dev veth0; ip address add ${HOSTS.ipv6}/64 dev veth0 nodad; ip link set veth0 up
  in_client ip address add ${CLIENTS.ipv4}/24 dev veth1; in_client ip address add ${CLIENTS.ipv6}/64 dev veth1 nodad
  in_client ip link set veth1 up
  ${process.execPath} -e "$UDP_SERVER" >/dev/null &
  for i in $(seq 500); do grep -q :${PORT.toString(16)} /proc/net/udp6 && break; sleep 0.02; done
`;

/** Translates addresses, so that connection tracking knows every flow; and redirects a port, as a sidecar's rules do. */
const OTHER_RULES = `nft '
  add table inet other; add chain inet other pre { type nat hook prerouting priority dstnat; };
  add chain inet other out { type nat hook output priority -100; };
  add chain inet other in { type filter hook input priority 0; };
  add rule inet other pre udp dport ${MESH_PORT} redirect to :${PORT};
  add rule inet other in ct state invalid drop'
`;

export async function startPod(who: Who, { otherRules = false } = {}): Promise<Pod> {
  return Pod.start(who, CABLE + (otherRules ? OTHER_RULES : ""), "", { UDP_SERVER: SERVER });
}

/** A process in the clients' network. */
export function outside(pod: Pod): number {
  for (const name of readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
    try {
      const status = readFileSync(`/proc/${name}/status`, "utf8");
      if (/^Name:\s+sleep$/m.test(status) && status.includes(`\nPPid:\t${pod.pid}\n`))
        return Number(name);
    } catch {
      // it has ended meanwhile
    }
  }
  throw new Error("there is no client");
}

/**
 * Written for `node -e`: a connected socket, to which the kernel gives only what comes from there. Sends so many bytes as
 * each line says; prints its port, then each answer.
 */
const CLIENT = `const [host, port] = process.argv.slice(1);
  const u = require("dgram").createSocket(host.includes(":") ? "udp6" : "udp4");
  u.on("message", (m) => console.log(m.length > 100 ? m.length + " bytes" : String(m)));
  u.on("error", (e) => console.log(e.code));
  u.connect(+port, host, () => { console.log(u.address().port);
    require("readline").createInterface({ input: process.stdin }).on("line", (l) => u.send(Buffer.alloc(+l, "x"))); });`;

export interface UdpClient {
  readonly port: number;
  /** What answers a datagram of so many bytes. */
  ask(bytes?: number): Promise<string>;
  /** Sends it, and waits for nothing. */
  send(bytes: number): void;
  close(): void;
}

export async function client(argv: string[]): Promise<UdpClient> {
  const [command = "", ...rest] = argv;
  const child = spawn(command, rest, { stdio: ["pipe", "pipe", "inherit"] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => String((await answers.next()).value);
  const send = (bytes: number): void => {
    child.stdin.write(`${bytes}\n`);
  };
  return {
    port: Number(await next()),
    ask: (bytes = 1) => {
      send(bytes);
      return next();
    },
    send,
    close: () => child.kill("SIGKILL"),
  };
}

export const clientOf = (pod: Pod, host: string, port = PORT, pid = outside(pod)) =>
  client(pod.inside([process.execPath, "-e", CLIENT, host, String(port)], pid));

/**
 * Written for `python3 -c`: one datagram whose source port is 0, as RFC 768 has it of who wants no answer. Sockets have no
 * such port.
 */
export const FROM_NOWHERE = `
import socket, struct, sys
to = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
to.sendto(struct.pack("!HHHH", 0, int(sys.argv[2]), 9, 0) + b"x", (sys.argv[1], 0))
`;

/** Runs a script for `node -e` in the clients' network until it ends. */
export async function runOutside(pod: Pod, script: string, ...args: string[]): Promise<void> {
  const [command = "", ...rest] = pod.inside(
    [process.execPath, "-e", script, ...args],
    outside(pod),
  );
  await once(spawn(command, rest, { stdio: ["ignore", "ignore", "inherit"] }), "close");
}

export interface Flow {
  readonly client: Endpoint;
  readonly local: Endpoint;
  readonly channel: IncomingChannel;
  /** The lengths of its datagrams. */
  readonly bytes: number[];
  end: string;
}

/** Answers each datagram "NAME client's-address bytes"; of a copy nobody hears that. */
export class UdpDeveloper {
  readonly flows: Flow[] = [];
  readonly notices: AgentNotice[] = [];
  tunnel!: Tunnel;
  /** Below the tunnel. */
  socket!: Socket;
  #wake = (): void => {};

  static async join(agent: Agent, name: string): Promise<UdpDeveloper> {
    const developer = new UdpDeveloper();
    developer.socket = agent.dial();
    developer.tunnel = await connectTunnel(developer.socket, {
      sessionId: `session-${name}`,
      privateKey,
      build: "test",
      handlers: {
        onNotice: (notice) => {
          developer.notices.push(notice);
          developer.#wake();
        },
        onStream: (channel) => developer.#flow(channel, name),
      },
    });
    return developer;
  }

  #flow(channel: IncomingChannel, name: string): void {
    const { header } = channel;
    if (header.kind !== "incoming" || header.protocol !== "udp") {
      channel.reset("EINVAL");
      return;
    }
    const { client, local } = header;
    const flow: Flow = { client, local, channel, bytes: [], end: "open" };
    this.flows.push(flow);
    channel.accept({ kind: "incoming" });
    channel.onDatagram = (bytes) => {
      flow.bytes.push(bytes.length);
      const text = `${name} ${client.address} ${bytes.length}`;
      // A large one is answered by one of its size.
      channel.datagram(bytes.length > 1000 ? bytes : Buffer.from(text));
      this.#wake();
    };
    channel.onReset = (errno) => {
      flow.end = errno;
      this.#wake();
    };
  }

  async until(what: string, isSo: () => boolean): Promise<void> {
    const deadline = performance.now() + 60_000;
    while (!isSo()) {
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`not within 60 s: ${what}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

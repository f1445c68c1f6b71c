// Pid 1 of the sandbox's pid namespace. It joins the network namespaces, boots the pod and the client, and serves
// the neighbours itself. When its stdin ends, because the starting process stopped it or died in whatever way, it
// exits and the kernel kills everything else in the namespace (pid_namespaces(7)).
//
// argv[2]: the configuration as JSON. stdout: one JSON line when everything answers. fd 3: the client's commands.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { serveNames } from "./services/dns.js";
import { serveNeighbours } from "./services/services.js";

process.stdin.on("end", () => process.exit(0)).resume();
process.on("SIGTERM", () => process.exit(0));
// What follows the terminal's Ctrl-C is the starting process's decision.
process.on("SIGINT", () => {});

/** @type {{ network: typeof import("./src/network.ts").NETWORK, records: Record<string, string[]>, environment: Record<string, string>, uid: number, gid: number, hasIPv6: boolean }} */
const { network, records, environment, uid, gid, hasIPv6 } = JSON.parse(process.argv[2] ?? "");
const folder = (path) => fileURLToPath(new URL(path, import.meta.url));
const subnet = (address) => `${address}/${network.prefixLength}`;
const ip = (lines) =>
  execFileSync("ip", ["-batch", "-"], { input: lines.join("\n"), stdio: ["pipe", 2, 2] });

const client = spawn("unshare", ["--net", process.execPath, folder("client/client.js")], {
  stdio: ["pipe", "pipe", "inherit", 3],
});
const { pod: podNetwork, services } = network;
const pod = spawn(
  "unshare",
  [
    ...["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"],
    ...["/bin/sh", folder("pod/boot.sh"), folder("pod"), process.execPath],
    ...[podNetwork.hostname, services.nameServer, uid, gid].map(String),
    ...[podNetwork.httpPort, podNetwork.echoPort, podNetwork.sidecarPort, podNetwork.udpPort].map(
      String,
    ),
  ],
  { stdio: ["pipe", "pipe", "inherit"], env: environment },
);
const fail = (what) => (code, signal) => {
  process.stderr.write(`the sandbox's ${what} ended (${signal ?? code})\n`);
  process.exit(1);
};
client.once("exit", fail("client"));
pod.once("exit", fail("pod"));
const podSays = createInterface(pod.stdout);
const clientSays = createInterface(client.stdout);

ip([
  "link set lo up",
  "link add br0 type bridge",
  ...[services.nameServer, services.greetings, services.gateway].map(
    (a) => `address add ${subnet(a)} dev br0`,
  ),
  `address add ${services.metadata}/32 dev br0`,
  "link set br0 up",
]);
const serving = Promise.all([serveNames(services.nameServer, records), serveNeighbours(network)]);

await Promise.all([once(podSays, "line"), once(clientSays, "line")]); // "unshared", both
ip([
  `link add pod0 type veth peer name eth0 netns ${pod.pid}`,
  `link add client0 type veth peer name eth0 netns ${client.pid}`,
  "link set pod0 master br0 up",
  "link set client0 master br0 up",
]);
pod.stdin.end(
  `${subnet(podNetwork.address)} ${services.gateway} ${network.unreachable} ${network.blackHole}\n`,
);
client.stdin.end(`${subnet(network.client.address)} ${network.blackHole}\n`);
await Promise.all([once(podSays, "line"), once(clientSays, "line"), serving]); // "listening", "ready"
if (hasIPv6) {
  // Without duplicate address detection (RFC 4862, 5.4) they can be used at once.
  for (const [member, { addressIPv6 }] of [
    [pod, podNetwork],
    [client, network.client],
  ]) {
    const to = `${addressIPv6}/${network.prefixLengthIPv6}`;
    const argv = ["ip", "address", "add", to, "dev", "eth0", "nodad"];
    execFileSync("nsenter", ["--net", "--target", String(member.pid), ...argv], {
      stdio: ["ignore", 2, 2],
    });
  }
}
process.stdout.write(`${JSON.stringify({ ready: true, pod: pod.pid, client: client.pid })}\n`);

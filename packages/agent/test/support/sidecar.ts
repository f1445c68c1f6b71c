/**
 * A pod with a proxy beside its server, as meshes have it: everything that comes in is redirected to the proxy, which
 * hands it to the server over loopback; everything that leaves is redirected to it as well. The proxy is HAProxy.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Place } from "./outside.ts";
import { Agent, gone, type Pod } from "./pod.ts";

export interface Mesh {
  readonly name: string;
  /** Of the proxy, where a mesh has its own. */
  readonly uid: number;
  readonly inbound: number;
  readonly outbound: number;
  /** How the proxy reaches the server: HAProxy's words. */
  readonly upstream: string;
  /** Whom the server sees. */
  readonly peer: string;
  /** For `iptables-restore`. */
  readonly iptables: string;
  /** For `nft -f`: the same. */
  readonly nft: string;
}

/** The control port of a test is left out of every redirection. */
export const CONTROL = 8090;

/** istio-iptables of Istio 1.2x, with the ports that its own are left out of. */
const istio = (name: string, upstream: string, peer: string): Mesh => ({
  name,
  uid: 1337,
  inbound: 15006,
  outbound: 15001,
  upstream,
  peer,
  iptables: `*nat
:ISTIO_INBOUND - [0:0]
:ISTIO_REDIRECT - [0:0]
:ISTIO_IN_REDIRECT - [0:0]
:ISTIO_OUTPUT - [0:0]
-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A ISTIO_INBOUND -p tcp --dport ${CONTROL} -j RETURN
-A ISTIO_INBOUND -p tcp --dport 15090 -j RETURN
-A ISTIO_INBOUND -p tcp --dport 15021 -j RETURN
-A ISTIO_INBOUND -p tcp --dport 15020 -j RETURN
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A OUTPUT -p tcp -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN
-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUTPUT -j ISTIO_REDIRECT
COMMIT
`,
  nft: `table ip istio {
  chain inbound {
    type nat hook prerouting priority dstnat
    tcp dport { 15008, ${CONTROL}, 15090, 15021, 15020 } return
    meta l4proto tcp redirect to :15006
  }
  chain output {
    type nat hook output priority -100
    meta l4proto != tcp return
    oifname "lo" ip saddr 127.0.0.6 return
    oifname "lo" ip daddr != 127.0.0.1 tcp dport != 15008 meta skuid 1337 redirect to :15006
    oifname "lo" meta skuid != 1337 return
    meta skuid 1337 return
    oifname "lo" ip daddr != 127.0.0.1 tcp dport != 15008 meta skgid 1337 redirect to :15006
    oifname "lo" meta skgid != 1337 return
    meta skgid 1337 return
    ip daddr 127.0.0.1 return
    meta l4proto tcp redirect to :15001
  }
}
`,
});

export const MESHES: readonly Mesh[] = [
  // Since 1.10 the proxy asks the address that it was asked, from one of its own.
  istio("Istio", "0.0.0.0 source 127.0.0.6", "127.0.0.6"),
  istio("Istio before 1.10", "127.0.0.1", "127.0.0.1"),
  {
    name: "Linkerd",
    uid: 2102,
    inbound: 4143,
    outbound: 4140,
    upstream: "0.0.0.0",
    peer: "198.18.7.1",
    // linkerd2-proxy-init.
    iptables: `*nat
:PROXY_INIT_REDIRECT - [0:0]
:PROXY_INIT_OUTPUT - [0:0]
-A PROXY_INIT_REDIRECT -p tcp -m multiport --dports 4190,4191,${CONTROL} -j RETURN
-A PROXY_INIT_REDIRECT -p tcp -j REDIRECT --to-ports 4143
-A PREROUTING -j PROXY_INIT_REDIRECT
-A PROXY_INIT_OUTPUT -m owner --uid-owner 2102 -j RETURN
-A PROXY_INIT_OUTPUT -o lo -j RETURN
-A PROXY_INIT_OUTPUT -p tcp -j REDIRECT --to-ports 4140
-A OUTPUT -j PROXY_INIT_OUTPUT
COMMIT
`,
    nft: `table ip linkerd {
  chain inbound {
    type nat hook prerouting priority dstnat
    tcp dport { 4190, 4191, ${CONTROL} } return
    meta l4proto tcp redirect to :4143
  }
  chain output {
    type nat hook output priority -100
    meta skuid 2102 return
    oifname "lo" return
    meta l4proto tcp redirect to :4140
  }
}
`,
  },
];

export type Rules = "iptables-legacy" | "nft";

const has = (program: string): boolean => {
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  const { status } = spawnSync("sh", ["-c", `command -v ${program}`], { env: { PATH: path } });
  return status === 0;
};

/** Why these rules cannot be made here; false: they can. */
export function sidecarMissing(rules: Rules): string | false {
  if (process.getuid?.() !== 0) return "needs root";
  for (const program of ["haproxy", "openssl"]) if (!has(program)) return `needs ${program}`;
  if (rules === "iptables-legacy" && !has("iptables-legacy-restore"))
    return "needs iptables-legacy";
  return false;
}

export interface SidecarOptions {
  /** In front of the server, with a certificate that is made for it. */
  readonly hasTls?: boolean;
}

export class Sidecar {
  readonly place: Place;
  readonly mesh: Mesh;
  readonly #rules: Rules;
  readonly #folder: string;
  readonly #proxy: number;

  private constructor(place: Place, mesh: Mesh, rules: Rules, folder: string, proxy: number) {
    this.place = place;
    this.mesh = mesh;
    this.#rules = rules;
    this.#folder = folder;
    this.#proxy = proxy;
  }

  /** @param servers of the pod, as for Place.start */
  static async start(
    mesh: Mesh,
    rules: Rules,
    servers: string,
    { hasTls = false }: SidecarOptions = {},
  ): Promise<Sidecar> {
    const folder = mkdtempSync(join(tmpdir(), "inpod-sidecar-"));
    execFileSync("chmod", ["755", folder]);
    const certificate = join(folder, "proxy.pem");
    if (hasTls) makeCertificate(certificate);
    writeFileSync(
      join(folder, "haproxy.cfg"),
      `defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend inbound
  bind 0.0.0.0:${mesh.inbound}${hasTls ? ` ssl crt ${certificate}` : ""}
  option forwardfor
  default_backend server
backend server
  server server ${mesh.upstream}
frontend outbound
  bind 0.0.0.0:${mesh.outbound}
  http-request set-header x-through sidecar
  default_backend out
backend out
  server out 0.0.0.0
`,
    );
    const place = await Place.start("root", servers);
    try {
      // Whoever has read its configuration listens; it ends with the pod's network, which the test ends.
      const proxy = await startProxy(place.pod, mesh, join(folder, "haproxy.cfg"));
      const text = rules === "nft" ? mesh.nft : mesh.iptables;
      const command = rules === "nft" ? ["nft", "-f", "-"] : ["iptables-legacy-restore"];
      const [program = "", ...rest] = place.pod.inside(command);
      execFileSync(program, rest, { input: text, env: sbin() });
      return new Sidecar(place, mesh, rules, folder, proxy);
    } catch (error) {
      place.stop();
      throw error;
    }
  }

  /** Everything that the mesh has made, as its own program writes it; counters left out. */
  ruleset(): string {
    const table = this.mesh.name === "Linkerd" ? "linkerd" : "istio";
    const command =
      this.#rules === "nft"
        ? ["nft", "-s", "list", "table", "ip", table]
        : ["iptables-legacy-save", "-t", "nat"];
    const [program = "", ...rest] = this.place.pod.inside(command);
    return execFileSync(program, rest, { encoding: "utf8", env: sbin() })
      .replace(/\[\d+:\d+\]/g, "")
      .replace(/^#.*\n/gm, "");
  }

  serve(args: string[]): Promise<Agent> {
    return Agent.serve("root", this.place.pod, args, {
      options: ["--node-uid", "40404", "--node-gid", "40404"],
    });
  }

  async stop(): Promise<void> {
    this.place.stop();
    try {
      process.kill(this.#proxy, "SIGKILL");
      await gone(this.#proxy);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
    rmSync(this.#folder, { recursive: true });
  }
}

const sbin = (): NodeJS.ProcessEnv => ({ PATH: `${process.env.PATH}:/usr/sbin:/sbin` });

function makeCertificate(path: string): void {
  const key = `${path}.key`;
  const words =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=sidecar -days 2";
  execFileSync("openssl", [...words.split(" "), "-keyout", key, "-out", path], { stdio: "ignore" });
  appendFileSync(path, readFileSync(key));
}

async function startProxy(pod: Pod, mesh: Mesh, configuration: string): Promise<number> {
  const id = String(mesh.uid);
  const own = ["setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--"];
  const [program = "", ...rest] = pod.inside([...own, "haproxy", "-db", "-f", configuration]);
  // nsenter and setpriv become it.
  const child = spawn(program, rest, { stdio: ["ignore", "inherit", "inherit"], env: sbin() });
  let hasEnded = false;
  child.once("exit", () => {
    hasEnded = true;
  });
  const deadline = performance.now() + 60_000;
  for (;;) {
    const listening = pod.run("ss", "-Hltn");
    if (listening.includes(`:${mesh.inbound} `) && listening.includes(`:${mesh.outbound} `)) break;
    if (hasEnded || performance.now() > deadline) throw new Error("HAProxy does not listen");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return child.pid as number;
}

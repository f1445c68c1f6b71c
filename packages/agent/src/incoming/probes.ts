/**
 * What of a port is the kubelet's business with the pod. Requests tell it themselves (package http); connections that
 * are no HTTP do not, so that those are the pod's which can be the kubelet's: from the node's addresses, from the pod's
 * gateways (a bridge's own address, Cilium's router), or link-local. Others come from there as well, as what kube-proxy
 * masquerades and programs of the node's network do: for those it costs a look at their first bytes.
 */
import { readFileSync } from "node:fs";
import { BlockList, isIPv4, isIPv6 } from "node:net";
import { isKubeletRequest, type RequestTest } from "@inpod/http";
import type { PodProbes, Probe } from "@inpod/protocol";
import { plainAddress } from "../outgoing/tcp.ts";

/** What the first bytes of a connection were: see filtered.ts; `untouched`: it ended without any. */
type ConnectionKind = string;

export interface PortProbes {
  /** Undefined: no probe of this port is made of requests. */
  readonly isRequest: RequestTest | undefined;
  /** Whether a connection from this address can be the kubelet's. */
  mayAsk(address: string): boolean;
  /** Whether one that can be the kubelet's, and of which this has come, is taken for a probe. */
  isConnection(kind: ConnectionKind): boolean;
}

const KINDS: Readonly<Record<Probe["kind"], ConnectionKind | undefined>> = {
  http: undefined, // each request for itself
  https: "tls",
  grpc: "http2",
  tcp: "untouched",
};

export class KubeletProbes {
  readonly #sources = new BlockList();
  readonly #byPort = new Map<number, PortProbes>();

  /** @param gateways of the pod's network */
  constructor({ from, probes }: PodProbes, gateways: readonly string[]) {
    this.#sources.addSubnet("169.254.0.0", 16, "ipv4");
    this.#sources.addSubnet("fe80::", 10, "ipv6");
    for (const address of [...from, ...gateways]) {
      if (isIPv4(address)) this.#sources.addAddress(address, "ipv4");
      else if (isIPv6(address)) this.#sources.addAddress(address, "ipv6");
    }
    for (const { port } of probes) {
      if (this.#byPort.has(port)) continue;
      const own = probes.filter((each) => each.port === port);
      const kinds = new Set(own.map(({ kind }) => KINDS[kind]));
      this.#byPort.set(port, {
        isRequest: isKubeletRequest(own),
        mayAsk: (address) => this.#mayAsk(address),
        isConnection: (kind) => kinds.has(kind),
      });
    }
  }

  ofPort(port: number): PortProbes | undefined {
    return this.#byPort.get(port);
  }

  #mayAsk(address: string): boolean {
    const plain = plainAddress(address).replace(/%.*$/, "");
    return isIPv4(plain) || isIPv6(plain)
      ? this.#sources.check(plain, isIPv4(plain) ? "ipv4" : "ipv6")
      : true;
  }
}

/** Of this process's network namespace, which is the pod's. Where the kernel does not show them: none. */
export function gatewaysOf(folder = "/proc/self/net"): string[] {
  return [...gateways4(read(`${folder}/route`)), ...gateways6(read(`${folder}/ipv6_route`))];
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

/** `Iface Destination Gateway Flags …`, each address as the bytes of a little-endian number. */
export function gateways4(table: string): string[] {
  return table.split("\n").flatMap((line) => {
    const [, , gateway] = line.split(/\s+/);
    if (gateway === undefined || !/^[0-9A-F]{8}$/i.test(gateway) || /^0+$/.test(gateway)) return [];
    const bytes = Buffer.from(gateway, "hex");
    return [[...(isLittleEndian ? bytes.reverse() : bytes)].join(".")];
  });
}

/** `destination length source length gateway …`, addresses as 32 digits. */
export function gateways6(table: string): string[] {
  return table.split("\n").flatMap((line) => {
    const [, , , , gateway] = line.split(/\s+/);
    if (gateway === undefined || !/^[0-9a-f]{32}$/i.test(gateway) || /^0+$/.test(gateway))
      return [];
    return [gateway.replace(/(.{4})(?!$)/g, "$1:")];
  });
}

const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** The bytes of the control socket; the layout is in ../../native/enter/control.h. Pure. */
import { isIP, isIPv4 } from "node:net";
import { type Endpoint, ipBytes, type TargetDescription } from "@inpod/protocol";
import { Failure } from "../failure.ts";

export const OPERATIONS = {
  steal: 1,
  release: 2,
  releaseAll: 3,
  drained: 4,
  describe: 5,
  container: 6,
  mirror: 7,
  unmirror: 8,
  pass: 9,
  passed: 10,
  flush: 11,
  stealUdp: 14,
  releaseUdp: 15,
  otherEnd: 12,
} as const;
export type Operation = keyof typeof OPERATIONS;

export type EnterEvent =
  /** `isFinal`: not a container that may be started again. */
  | { readonly kind: "target-gone"; readonly detail: string; readonly isFinal: boolean }
  /** nft has ended: no port is stolen any more. */
  | { readonly kind: "rules-lost"; readonly detail: string }
  | { readonly kind: "worker-gone"; readonly detail: string }
  /** The reader of packets has ended: no port is mirrored any more. */
  | { readonly kind: "capture-lost"; readonly detail: string }
  /** The first file worker, or that of the target's next life. `mark`: where on its socket it begins. */
  | { readonly kind: "worker-ready"; readonly detail: string; readonly mark: Buffer };
const EVENTS = new Map<number, EnterEvent["kind"]>([
  [1, "target-gone"],
  [2, "rules-lost"],
  [3, "worker-gone"],
  [4, "worker-ready"],
  [5, "capture-lost"],
]);

/** u32 id · u8 operation or event · u8[3] 0 · i32 errno */
const HEADER_BYTES = 12;
const REQUEST_BYTES = 12;
/** Of the request, and the protocol's number in IP. */
const PROTOCOL_AT = 1;
export const TCP = 6;
export const UDP = 17;
const CONTAINER_ID_BYTES = 64;
/** native/enter/files/worker.h has the same number. */
const MARK_BYTES = 32;

/** @param protocol of "mirror" and "unmirror" */
export function encodeRequest(
  operation: Operation,
  id: number,
  port = 0,
  relayPort = 0,
  protocol = TCP,
): Buffer {
  const request = Buffer.alloc(REQUEST_BYTES);
  request.writeUInt8(OPERATIONS[operation], 0);
  if (operation === "mirror" || operation === "unmirror") request.writeUInt8(protocol, PROTOCOL_AT);
  request.writeUInt16LE(port, 2);
  request.writeUInt16LE(relayPort, 4);
  request.writeUInt32LE(id, 8);
  return request;
}

/** @param container lower-case hexadecimal digits; enter looks at them again */
export function encodeContainerRequest(id: number, container: string): Buffer {
  const rest = Buffer.alloc(CONTAINER_ID_BYTES);
  if (Buffer.byteLength(container) > rest.length) throw new Failure("EINVAL", "no container's id");
  rest.write(container, "latin1");
  return Buffer.concat([encodeRequest("container", id), rest]);
}

/** A connection of ours from `ownPort` to the stolen `port`, made for a client. */
export interface Passing {
  readonly ownPort: number;
  readonly port: number;
  /** Whom the pod is to see; undefined: us. */
  readonly client: Endpoint | undefined;
}

export function encodePassRequest(
  operation: "pass" | "passed",
  id: number,
  { ownPort, port, client }: Passing,
): Buffer {
  const rest = Buffer.alloc(CONTAINER_ID_BYTES);
  if (client !== undefined) {
    rest.writeUInt8(isIPv4(client.address) ? 4 : 6, 0);
    rest.writeUInt16LE(client.port, 2);
    addressBytes(client.address).copy(rest, 4);
  }
  return Buffer.concat([encodeRequest(operation, id, port, ownPort), rest]);
}

/** A connection by the address of its client and that of the pod or of ours. */
export interface Tracked {
  readonly client: Endpoint;
  /** `sent`: what the client has sent its packets to. `accepted`: what the socket knows that has accepted it. */
  readonly by: "sent" | "accepted";
  readonly local: Endpoint;
}

export function encodeOtherEndRequest(id: number, { client, by, local }: Tracked): Buffer {
  const rest = Buffer.alloc(CONTAINER_ID_BYTES);
  rest.writeUInt8(isIPv4(client.address) ? 4 : 6, 0);
  rest.writeUInt8(by === "accepted" ? 1 : 0, 1);
  rest.writeUInt16LE(client.port, 2);
  addressBytes(client.address).copy(rest, 4);
  addressBytes(local.address).copy(rest, 20);
  return Buffer.concat([encodeRequest("otherEnd", id, local.port), rest]);
}

/** @param payload what OTHER_END answers for an address of IPv4, or of IPv6. Throws EPROTO. */
export function parseOtherEnd(payload: Buffer, isV4: boolean): Endpoint {
  if (payload.length !== 18) throw new Failure("EPROTO", "no end of a connection");
  const port = payload.readUInt16LE(16);
  if (isV4) return { address: [...payload.subarray(0, 4)].join("."), port };
  const groups = Array.from({ length: 8 }, (_, at) => payload.readUInt16BE(2 * at).toString(16));
  // As every other address of IPv6 is written here.
  return { address: new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1), port };
}

/** @throws Failure EINVAL */
function addressBytes(address: string): Buffer {
  // Scoped addresses (fe80::1%eth0) are not the pod's to see.
  if (isIP(address) === 0 || address.includes("%")) throw new Failure("EINVAL", "no address");
  return Buffer.from(ipBytes(address));
}

export interface Answer {
  /** 0: success. */
  readonly errno: number;
  readonly payload: Buffer;
}

/** @param message without its length. Throws EPROTO. */
export function parseAnswer(message: Buffer): Answer {
  if (message.length < HEADER_BYTES) throw new Failure("EPROTO", "a short answer of enter");
  return { errno: message.readInt32LE(8), payload: message.subarray(HEADER_BYTES) };
}

/** Undefined: an event of a newer enter. Throws EPROTO. */
export function parseEvent(message: Buffer): EnterEvent | undefined {
  if (message.length < HEADER_BYTES) throw new Failure("EPROTO", "a short event of enter");
  const kind = EVENTS.get(message.readUInt8(4));
  if (!kind) return undefined;
  if (kind === "worker-ready") {
    const mark = Buffer.from(message.subarray(HEADER_BYTES));
    if (mark.length !== MARK_BYTES) throw new Failure("EPROTO", "a file worker without a mark");
    return { kind, detail: "", mark };
  }
  const detail = message.toString("latin1", HEADER_BYTES);
  if (kind !== "target-gone") return { kind, detail };
  return { kind, detail, isFinal: message.readInt32LE(8) !== 0 };
}

/** @param payload what FLUSH answers. Throws EPROTO. */
export function parseFlushed(payload: Buffer): { ended: number; left: number } {
  if (payload.length !== 8) throw new Failure("EPROTO", "no counts of connections");
  return { ended: payload.readUInt32LE(0), left: payload.readUInt32LE(4) };
}

/** @param payload what DESCRIBE answers. Throws EPROTO. */
export function parseDescription(payload: Buffer): TargetDescription {
  const parts: string[] = [];
  let at = 8;
  for (let part = 0; part < 7; part++) {
    if (at + 4 > payload.length) throw new Failure("EPROTO", "a short description of the target");
    const length = payload.readUInt32LE(at);
    at += 4;
    if (length > payload.length - at)
      throw new Failure("EPROTO", "a cut description of the target");
    parts.push(payload.toString("latin1", at, at + length));
    at += length;
  }
  const [hostname = "", addresses = "", environ = "", incoming, files, environment, mirror] = parts;
  return {
    hostname,
    addresses: addresses.split(" ").filter((address) => address !== ""),
    environment: parseEnviron(environ),
    uid: payload.readUInt32LE(0),
    gid: payload.readUInt32LE(4),
    missing: {
      ...(incoming ? { incoming } : {}),
      ...(mirror ? { mirror } : {}),
      ...(files ? { files } : {}),
      ...(environment ? { environment } : {}),
    },
  };
}

/**
 * /proc/PID/environ (proc(5)). What has no name is left out: a process may write over its own
 * environment (setproctitle does), and execve(2) takes any strings.
 */
export function parseEnviron(environ: string): [name: string, value: string][] {
  const variables: [string, string][] = [];
  for (const entry of environ.split("\0")) {
    const equals = entry.indexOf("=");
    if (equals > 0) variables.push([entry.slice(0, equals), entry.slice(equals + 1)]);
  }
  return variables;
}

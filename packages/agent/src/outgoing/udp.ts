/** A connected UDP socket in the target's network namespace. */
import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import type { IncomingChannel } from "@inpod/tunnel";
import { errnoOf } from "../failure.ts";
import type { OwnEnds } from "../mirror/own-ends.ts";
import { type Destination, endpoint } from "./tcp.ts";

/** As long as Linux keeps a UDP stream in connection tracking (nf_conntrack_udp_timeout_stream). */
const IDLE_TIMEOUT_MS = 120_000;
/** Datagrams the kernel has not taken yet; more are dropped, as a full socket buffer would. */
const MAX_QUEUED_BYTES = 1024 * 1024;
/** One datagram is lost, as networks lose them; the next may go: full buffers, beyond 65507 bytes. */
const LOST = new Set(["EAGAIN", "EMSGSIZE", "ENOBUFS", "ENOMEM"]);

/**
 * Accepts `channel`; resets it with the errno (ECONNREFUSED when the peer's ICMP says so) and with
 * ETIMEDOUT when nothing went either way for two minutes. Returns the socket.
 */
export function openUdp(
  channel: IncomingChannel,
  { host, port }: Destination,
  own: Pick<OwnEnds, "add" | "remove">,
  idleTimeoutMs = IDLE_TIMEOUT_MS,
): Socket {
  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
  let isOpen = true;
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    clearTimeout(idle);
    socket.close();
  };
  const fail = (errno: string): void => {
    if (!isOpen) return;
    close();
    channel.reset(errno);
  };
  const idle = setTimeout(() => fail("ETIMEDOUT"), idleTimeoutMs);

  let isConnected = false;
  const early: Uint8Array[] = [];
  let queuedBytes = 0;
  const send = (bytes: Uint8Array): void => {
    idle.refresh();
    queuedBytes += bytes.byteLength;
    socket.send(bytes, (error) => {
      queuedBytes -= bytes.byteLength;
      if (error && !LOST.has(errnoOf(error))) fail(errnoOf(error));
    });
  };
  channel.onDatagram = (bytes) => {
    if (!isOpen || queuedBytes + bytes.byteLength > MAX_QUEUED_BYTES) return;
    if (isConnected) send(bytes);
    else if (early.length < 64) early.push(bytes);
  };
  channel.onReset = close;
  channel.onEnd = () => {
    if (!isOpen) return;
    close();
    channel.end();
  };
  socket.on("message", (bytes) => {
    idle.refresh();
    channel.datagram(bytes);
  });
  socket.on("error", (error) => fail(errnoOf(error)));
  socket.once("connect", () => {
    if (!isOpen) return;
    isConnected = true;
    const bound = socket.address();
    const local = endpoint(bound.address, bound.port);
    // Its datagrams are the user's program's own, also where the target's ports are copied to it.
    own.add(local);
    socket.once("close", () => own.remove(local));
    channel.accept({
      kind: "udp",
      local,
      peer: { address: host, port },
    });
    for (const bytes of early.splice(0)) send(bytes);
  });
  socket.connect(port, host);
  return socket;
}

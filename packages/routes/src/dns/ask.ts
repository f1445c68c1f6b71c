/** One message to a name server and its answer: of the cluster through the session, of this machine's through its network. */
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import type { Channel, Session } from "@inpod/session";

export interface NameServers {
  /** Undefined: none has answered in time. */
  ask(message: Uint8Array, isTcp: boolean): Promise<Buffer | undefined>;
}

const DNS_PORT = 53;
/** Below a resolver's own 5 s (resolv.conf(5)), so that a second server has its turn. */
export const ANSWER_MS = 2000;
/** MAXNS of glibc and musl. */
export const MAX_SERVERS = 3;
/** Over TCP a message has its length before it, as u16. */
const MAX_MESSAGE = 0x1_0000 + 2;

export type AskOne = (
  server: string,
  message: Uint8Array,
  isTcp: boolean,
  signal: AbortSignal,
) => Promise<Buffer>;

const askEach = (servers: readonly string[], one: AskOne): NameServers => ({
  ask: async (message, isTcp) => {
    for (const server of servers.slice(0, MAX_SERVERS)) {
      try {
        return await one(server, message, isTcp, AbortSignal.timeout(ANSWER_MS));
      } catch {
        // The next one's turn.
      }
    }
    return undefined;
  },
});

export const clusterServers = (
  servers: readonly string[],
  session: Pick<Session, "openUdp" | "connectTcp">,
): NameServers =>
  askEach(servers, async (server, message, isTcp, signal) => {
    if (!isTcp) return datagramOf(session.openUdp(server, DNS_PORT), message, signal);
    const connecting = session.connectTcp(server, DNS_PORT);
    connecting.then(
      ({ channel }) => {
        if (signal.aborted) channel.reset("ECANCELED");
      },
      () => {},
    );
    const { channel } = await Promise.race([connecting, aborted(signal)]);
    return messageOf(channel, message, signal);
  });

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });

function datagramOf(channel: Channel, message: Uint8Array, signal: AbortSignal): Promise<Buffer> {
  return new Promise<Buffer>((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
    channel.onReset = (errno) => reject(new Error(errno));
    channel.onDatagram = (bytes) => {
      if (isAnswerTo(bytes, message)) resolve(Buffer.from(bytes));
    };
    channel.datagram(message);
  }).finally(() => channel.reset("ECONNRESET"));
}

function messageOf(channel: Channel, message: Uint8Array, signal: AbortSignal): Promise<Buffer> {
  return new Promise<Buffer>((resolve, reject) => {
    const cutter = new MessageCutter();
    signal.addEventListener("abort", () => reject(signal.reason));
    channel.onReset = (errno) => reject(new Error(errno));
    channel.onEnd = () => reject(new Error("no answer"));
    channel.onData = (bytes) => {
      channel.consumed(bytes.length);
      for (const each of cutter.take(bytes)) resolve(each);
    };
    channel.write(withLength(message));
  }).finally(() => channel.reset("ECONNRESET"));
}

export const askMachine: AskOne = (server, message, isTcp, signal) =>
  isTcp ? overTcp(server, message, signal) : overUdp(server, message, signal);

function overUdp(server: string, message: Uint8Array, signal: AbortSignal): Promise<Buffer> {
  const socket = createSocket(isIPv6(server) ? "udp6" : "udp4");
  return new Promise<Buffer>((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
    socket.on("error", reject);
    socket.on("message", (bytes) => {
      if (isAnswerTo(bytes, message)) resolve(bytes);
    });
    // Connected: answers are the server's alone, and that nobody listens is told. A callback of connect() would be given its
    // error, and nobody else told: a machine without a network has no way to its name server.
    socket.once("connect", () => socket.send(message));
    socket.connect(DNS_PORT, server);
  }).finally(() => socket.close());
}

function overTcp(server: string, message: Uint8Array, signal: AbortSignal): Promise<Buffer> {
  const socket = connect({ host: server, port: DNS_PORT, signal });
  return new Promise<Buffer>((resolve, reject) => {
    const cutter = new MessageCutter();
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("no answer")));
    socket.on("data", (bytes: Buffer) => {
      for (const each of cutter.take(bytes)) resolve(each);
    });
    socket.write(withLength(message));
  }).finally(() => socket.destroy());
}

/** By its number and that it is one: who asks looks at the rest. */
const isAnswerTo = (bytes: Uint8Array, message: Uint8Array): boolean =>
  bytes.length >= 12 &&
  bytes[0] === message[0] &&
  bytes[1] === message[1] &&
  ((bytes[2] ?? 0) & 0x80) !== 0;

export function withLength(message: Uint8Array): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

/** Messages out of a stream. */
export class MessageCutter {
  #pending: Buffer = Buffer.alloc(0);

  take(bytes: Uint8Array): Buffer[] {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    const whole: Buffer[] = [];
    for (;;) {
      const length = this.#pending.length < 2 ? undefined : this.#pending.readUInt16BE(0);
      if (length === undefined || this.#pending.length < 2 + length) break;
      whole.push(this.#pending.subarray(2, 2 + length));
      this.#pending = this.#pending.subarray(2 + length);
    }
    if (this.#pending.length > MAX_MESSAGE) this.#pending = Buffer.alloc(0);
    return whole;
  }
}

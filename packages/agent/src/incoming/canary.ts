/**
 * Whether what is sent to a Service arrives here: a connection through it, made from the pod's own network, in which
 * nothing is sent but its end. Whoever gets it instead (another replica, the pod's own server) sees what a load
 * balancer's check looks like, whatever protocol it speaks. Where it arrives at a relay of ours it is answered by words
 * that nobody else knows. A mirrored port cannot be answered: there two such connections have to be seen, each while one
 * was on its way.
 */
import { readFileSync } from "node:fs";
import { connect, type Socket, SocketAddress } from "node:net";
import type { CanaryResult, CanaryWish, Endpoint } from "@inpod/protocol";
import { errnoOf } from "../failure.ts";
import { plainAddress } from "../outgoing/tcp.ts";

/** After its end has been sent: whoever answers is in the cluster. */
const ANSWER_MS = 500;
/** Bytes: as many as there can be sessions with one out. */
const MAX_ANSWER = 8192;
/** Between two attempts when nobody accepts: endpoints may be on their way to the node. */
const PAUSE_MS = 200;
/** What is captured reaches us a little later than the connection is over. */
const COPY_MS = 100;
/** Connections that must have been seen. */
const COPIES = 2;

type Attempt =
  | { readonly kind: "arrived" | "elsewhere" }
  | { readonly kind: "refused"; readonly errno: string };

export class Canary {
  /** On their way to a port that is stolen: by which words each is known. */
  readonly #out = new Map<number, Set<Buffer>>();
  /** Who waits for copies of connections to a port without a byte. */
  readonly #waiting = new Map<number, Set<() => void>>();

  /** A new connection to the stolen port may be one: see what it does first. */
  isOut(port: number): boolean {
    return this.#out.has(port);
  }

  /** @param socket has ended without a byte, while one is out. A client that is not ours has gone, too. */
  answer(socket: Socket, port: number): void {
    socket.end(Buffer.concat([...(this.#out.get(port) ?? [])]));
    const timer = setTimeout(() => socket.destroy(), ANSWER_MS);
    socket.once("close", () => clearTimeout(timer));
    socket.resume();
  }

  /** A connection to a mirrored port has ended without a byte. */
  copied(port: number): void {
    for (const seen of this.#waiting.get(port) ?? []) seen();
  }

  async send(wish: CanaryWish): Promise<CanaryResult> {
    const begin = performance.now();
    const left = (): number => wish.timeoutMs - (performance.now() - begin);
    let attempts = 0;
    let elsewhere = 0;
    let arrived = 0;
    let errno: string | undefined;
    let staysInside = false;
    const isArrived = (): boolean => arrived >= (wish.way === "steal" ? 1 : COPIES);
    const words = Buffer.from(`inpod-canary ${wish.nonce}\n`);
    const out = this.#out.get(wish.port) ?? new Set();
    if (wish.way === "steal") this.#out.set(wish.port, out.add(words));
    try {
      if (wish.attempts === 0) await pause(left());
      while (!isArrived() && !staysInside && attempts < wish.attempts && left() > 0) {
        attempts++;
        const attempt = await this.#attempt(wish, words, left(), (socket) => {
          // The first may have been unlucky.
          staysInside = attempts > 1 && hasBothEnds(socket, wish.port);
        });
        if (attempt.kind === "arrived") arrived++;
        if (attempt.kind === "elsewhere") elsewhere++;
        if (attempt.kind !== "refused") continue;
        ({ errno } = attempt);
        await pause(Math.min(PAUSE_MS, left()));
      }
    } finally {
      out.delete(words);
      if (out.size === 0) this.#out.delete(wish.port);
    }
    return {
      isProved: isArrived(),
      ms: Math.round(performance.now() - begin),
      attempts,
      elsewhere,
      ...(errno === undefined ? {} : { errno }),
      staysInside: staysInside && !isArrived(),
    };
  }

  async #attempt(
    { host, servicePort: port, port: own, way }: CanaryWish,
    words: Buffer,
    timeoutMs: number,
    onConnected: (socket: Socket) => void,
  ): Promise<Attempt> {
    let isCopied = false;
    let onCopied = (): void => {};
    const seen = (): void => {
      isCopied = true;
      onCopied();
    };
    const waiting = this.#waiting.get(own) ?? new Set();
    if (way === "mirror") this.#waiting.set(own, waiting.add(seen));
    try {
      const attempt = await oneConnection(host, port, timeoutMs, words, onConnected);
      if (way === "steal" || attempt.kind === "refused") return attempt;
      await new Promise<void>((resolve) => {
        onCopied = resolve;
        setTimeout(resolve, isCopied ? 0 : COPY_MS);
      });
      return { kind: isCopied ? "arrived" : "elsewhere" };
    } finally {
      waiting.delete(seen);
      if (waiting.size === 0) this.#waiting.delete(own);
    }
  }
}

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

/** @returns when it is over, however */
function oneConnection(
  host: string,
  port: number,
  timeoutMs: number,
  words: Buffer,
  onConnected: (socket: Socket) => void,
): Promise<Attempt> {
  const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
  return new Promise((resolve) => {
    const got: Buffer[] = [];
    let length = 0;
    let timer = setTimeout(() => over({ kind: "refused", errno: "ETIMEDOUT" }), timeoutMs);
    const over = (attempt: Attempt): void => {
      clearTimeout(timer);
      resolve(attempt);
      socket.destroy();
    };
    // Others may have one out to the same port.
    const isOurs = (): boolean => Buffer.concat(got).includes(words);
    const answered = (): void => over({ kind: isOurs() ? "arrived" : "elsewhere" });
    socket.once("connect", () => {
      clearTimeout(timer);
      // After a time in which this process did not get to run: what has come meanwhile is read first.
      timer = setTimeout(
        () => setImmediate(() => setImmediate(answered)),
        Math.min(ANSWER_MS, timeoutMs),
      );
      onConnected(socket);
      socket.end();
    });
    socket.on("data", (bytes) => {
      got.push(bytes);
      length += bytes.length;
      if (isOurs() || length >= MAX_ANSWER) answered();
    });
    socket.once("end", answered);
    socket.once("error", (error) =>
      // An RST is an answer, too: somebody has accepted.
      socket.localPort === undefined || errnoOf(error) === "ECONNREFUSED"
        ? over({ kind: "refused", errno: errnoOf(error) })
        : answered(),
    );
  });
}

/**
 * Whether the other end of this connection is in the same network namespace, under the very addresses that this one
 * has: then it has not been on any wire, and no rule for what arrives has seen it.
 */
function hasBothEnds(socket: Socket, port: number): boolean {
  const address = plainAddress(socket.localAddress ?? "");
  try {
    // A server that listens on :: has clients of IPv4 there, too.
    return ["tcp", "tcp6"].some((name) =>
      peersOf(readFileSync(`/proc/self/net/${name}`, "latin1"), port).some(
        (peer) => peer.port === socket.localPort && peer.address === address,
      ),
    );
  } catch {
    return false;
  }
}

/** Peers of sockets whose own port is `port`: `sl local_address rem_address …`, addresses as words of a little-endian machine. */
export function peersOf(table: string, port: number): Endpoint[] {
  const own = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return table.split("\n").flatMap((line) => {
    const [, local, peer] = line.trim().split(/\s+/);
    if (!local?.endsWith(own) || peer === undefined) return [];
    const [hex = "", peerPort = ""] = peer.split(":");
    return [{ address: addressOf(hex), port: Number.parseInt(peerPort, 16) }];
  });
}

function addressOf(hex: string): string {
  const words = Buffer.from(hex, "hex").swap32();
  if (words.length === 4) return words.join(".");
  const groups = words.toString("hex").replace(/(.{4})(?!$)/g, "$1:");
  const mapped = /^(0000:){5}ffff:/.test(groups);
  return mapped
    ? words.subarray(12).join(".")
    : new SocketAddress({ address: groups, family: "ipv6" }).address;
}

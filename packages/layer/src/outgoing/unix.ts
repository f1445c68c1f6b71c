/** connect(2) to unix sockets that are the pod's: feature.network.outgoing.unix_streams. */
import { readlinkSync } from "node:fs";
import { Socket } from "node:net";
import { posix } from "node:path";
import type { ByteString } from "@inpod/protocol";
import { errnoNumber } from "@inpod/protocol";
import type { Channel, Session } from "@inpod/session";
import { splice } from "@inpod/session";
import { encodeUnixAddress, type Tap, type TrappedCall } from "@inpod/tap";
import type { Decision } from "../config.ts";
import { errnoOf } from "../errno.ts";
import { bytesToText } from "../rules/match.ts";
import { compileUnix } from "../rules/unix.ts";

type ConnectCall = Extract<TrappedCall, { kind: "connect" }>;

export interface UnixName {
  /** Of a path: absolute. Bytes: latin1, one in each char. */
  readonly name: ByteString;
  readonly isAbstract: boolean;
}

/**
 * @param address struct sockaddr_un (unix(7)): a path ends at its NUL or the address's end, an abstract name begins with one
 * @param cwd of the process, for a relative path. @returns undefined: unnamed, or nobody knows from where it is relative
 */
export function unixName(address: Buffer, cwd: () => ByteString | undefined): UnixName | undefined {
  const bytes = address.subarray(2);
  if (bytes.length === 0) return undefined;
  if (bytes[0] === 0) return { name: bytes.subarray(1).toString("latin1"), isAbstract: true };
  const end = bytes.indexOf(0);
  const path = bytes.subarray(0, end < 0 ? bytes.length : end).toString("latin1");
  if (path.startsWith("/")) return { name: path, isAbstract: false };
  const from = cwd();
  return from === undefined ? undefined : { name: `${from}/${path}`, isAbstract: false };
}

/** For people and expressions: an abstract name has "@" in the place of each NUL, as ss(8) writes it. */
export const textOf = ({ name, isAbstract }: UnixName): string =>
  isAbstract ? `@${bytesToText(name).replaceAll("\0", "@")}` : posix.normalize(bytesToText(name));

export interface UnixStreamsParts {
  readonly expressions: readonly string[];
  readonly decided: (call: ConnectCall, decision: Decision) => void;
}

export class UnixStreams {
  readonly #tap: Tap;
  readonly #session: Session;
  readonly #decided: UnixStreamsParts["decided"];
  readonly #decide: ReturnType<typeof compileUnix>;
  readonly #connected = new Map<number, Channel>();

  /** @throws ConfigValueError */
  constructor(tap: Tap, session: Session, { expressions, decided }: UnixStreamsParts) {
    this.#tap = tap;
    this.#session = session;
    this.#decided = decided;
    this.#decide = compileUnix(expressions);
    tap.askUnix(expressions.length > 0);
  }

  async connect(call: ConnectCall): Promise<void> {
    const to = unixName(call.address, () => workingDirectory(call.tgid));
    const subject = to && textOf(to);
    const decision = this.#decide(subject);
    this.#decided(call, {
      ...{ call: "connect", subject: `unix ${subject ?? "without a name"}` },
      ...decision,
    });
    if (to === undefined || decision.verdict === "local") {
      this.#tap.continue(call.token);
      return;
    }
    try {
      const { name, isAbstract } = to;
      const { channel, peer } = await this.#session.connectUnix(name, {
        isAbstract,
        waits: !call.isNonBlocking,
        isSeqpacket: !call.isStream,
      });
      this.#connected.set(call.token, channel);
      if (this.#tap.replyUnix(call.token, encodeUnixAddress(peer))) return;
      this.#connected.delete(call.token); // its deadline has passed, or a signal has taken it away
      channel.reset("ECONNRESET");
    } catch (error) {
      this.#tap.reply(call.token, 0, errnoNumber(errnoOf(error)));
    }
  }

  /** The tap's "accepted" event. */
  accepted(token: number, fd: number): void {
    const channel = this.#connected.get(token);
    this.#connected.delete(token);
    if (fd < 0) {
      channel?.reset("ECONNRESET");
      return;
    }
    const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
    if (channel) splice(socket, channel);
    else socket.destroy();
  }
}

function workingDirectory(tgid: number): ByteString | undefined {
  try {
    return readlinkSync(`/proc/${tgid}/cwd`, "latin1");
  } catch {
    return undefined; // it is gone, or not ours to look at
  }
}

/**
 * A port of this machine that stands for one of the target: each connection that arrives is brought to whoever listens
 * here then, so a server that is started again, or late, is simply used.
 */
import { connect, type Socket } from "node:net";

import {
  type Channel,
  copyTo,
  deliverTls,
  type OnConnection,
  resetSocket,
  splice,
  type TlsDelivery,
  type TlsFailure,
} from "@inpod/session";
import { Nobody } from "./exposed-nobody.ts";
import { Datagrams } from "./exposed-udp.ts";

/**
 * IPv4 first, and IPv6 where that is refused: a server of "localhost" may be at either, as its system's resolver orders
 * them.
 */
const LOOPBACK = ["127.0.0.1", "::1"] as const;
/** So long a port that does not speak TLS is not tried again: each time costs its server a client that says nonsense. */
const NO_TLS_MS = 60_000;
/** On this machine whoever listens has accepted by then, or its queue is full. */
const LOOK_MS = 1000;

export interface ExposedOptions {
  /** Of this machine. */
  readonly port: number;
  readonly protocol?: "tcp" | "udp";
  /** `mirror`: copies, to which nothing is answered. */
  readonly way: "steal" | "mirror";
  /** Only some requests arrive: a connection that the local end closes is not the end of them. */
  readonly isFiltered?: boolean;
  /** How it gets what came in TLS that has ended in the agent. Undefined: in TLS again, whoever it is. */
  readonly tls?: TlsDelivery | undefined;
  /** What a client of HTTP reads where nobody listens. */
  readonly nobodyText: string;
  /** Nobody listens, told of every connection. */
  onNobody?(): void;
  /** Somebody does, told of every connection. */
  onSomebody?(): void;
  /** It speaks no TLS, or not as it must. `isGivenInside`: it gets what was inside; else the client is reset. */
  onTlsFailed?(why: string, isGivenInside: boolean): void;
}

type IncomingHeader = Parameters<OnConnection>[1];

export class ExposedPort {
  readonly #options: ExposedOptions;
  readonly #datagrams: Datagrams;
  readonly #nobody: Nobody;
  /** Until then it is taken for one without TLS. Of performance.now(). */
  #noTlsUntilMs = 0;

  constructor(options: ExposedOptions) {
    this.#options = options;
    this.#nobody = new Nobody(options.nobodyText);
    this.#datagrams = new Datagrams(options);
  }

  /**
   * For Session.steal() and Session.mirror(). What is open ends with its channel: at a session's end its agent leaves
   * requests that are under way the time to be answered.
   */
  readonly onConnection: OnConnection = (channel, header) => {
    if (this.#options.protocol === "udp") this.#datagrams.flow(channel);
    else this.#connect(channel, header);
  };

  /** Whether somebody listens now, TCP. It costs whoever does a connection without a word. */
  async isListening(): Promise<boolean> {
    for (const host of LOOPBACK) if (await answers(host, this.#options.port)) return true;
    return false;
  }

  /** What comes before the local end stands waits in the channel: the sender's credit is the limit. */
  #connect(channel: Channel, header: IncomingHeader, isPlain = false): void {
    let isOver = false;
    let stop: () => void = () => {};
    const dial = ([host, ...others]: readonly string[]): void => {
      if (host === undefined) {
        this.#options.onNobody?.();
        if (this.#options.way === "mirror") channel.reset("ECONNREFUSED");
        else this.#nobody.meet(channel);
        return;
      }
      const socket = connect({
        host,
        port: this.#options.port,
        noDelay: true,
        allowHalfOpen: true,
      });
      const failed = (): void => {
        if (!isOver) dial(others);
      };
      socket.once("error", failed);
      socket.once("connect", () => {
        socket.off("error", failed);
        this.#options.onSomebody?.();
        if (isPlain || !this.#isForTls(header)) {
          this.#join(socket, channel, header.needsAnswers === true);
          return;
        }
        stop = deliverTls(socket, channel, header.tls ?? {}, this.#options.tls, (failure) => {
          if (this.#isWithoutTls(failure)) this.#connect(channel, header, true);
          else channel.reset("ECONNRESET");
        });
      });
      stop = () => resetSocket(socket);
    };
    channel.onReset = () => {
      isOver = true;
      stop();
    };
    if (!isOver) dial(LOOPBACK);
  }

  #isForTls({ tls, needsAnswers }: IncomingHeader): boolean {
    const { way, tls: delivery } = this.#options;
    const isAnswered = way === "steal" || needsAnswers === true;
    if (tls === undefined || !isAnswered || delivery?.protocol === "tcp") return false;
    return performance.now() >= this.#noTlsUntilMs;
  }

  /** Who is to be the right one is given nothing without having shown that. */
  #isWithoutTls({ why, kind }: TlsFailure): boolean {
    const { tls: delivery, onTlsFailed } = this.#options;
    const isAnybody = delivery?.trustRoots === undefined && delivery?.serverCert === undefined;
    const isWithout = isAnybody && kind !== "other";
    // Who closes may do so for another reason; who answers with something else does not speak it.
    if (isWithout && kind === "answered") this.#noTlsUntilMs = performance.now() + NO_TLS_MS;
    onTlsFailed?.(why, isWithout);
    return isWithout;
  }

  #join(socket: Socket, channel: Channel, needsAnswers: boolean): void {
    const { way, isFiltered = false } = this.#options;
    if (way === "mirror" && !needsAnswers) copyTo(socket, channel, isFiltered);
    else splice(socket, channel);
  }
}

const answers = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port });
    const yes = (): void => {
      socket.destroy();
      resolve(true);
    };
    socket.once("error", () => resolve(false));
    socket.once("connect", yes);
    socket.setTimeout(LOOK_MS, yes);
  });

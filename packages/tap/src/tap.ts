/** Trapped calls in, answers out. Decides nothing but by the tables it is given. */
import { setTimeout } from "node:timers/promises";
import { getSystemErrorName } from "node:util";
import type { PathOperation, SocketCall, TapEvent, Visitor } from "./events.ts";
import type { Door, Native, TapStatistics } from "./native.ts";
import { loadNative } from "./native.ts";
import {
  destinationBytes,
  MATCHES,
  NAME_TABLES,
  NO_TABLE,
  REPORT_LEVELS,
  type RemoteRoot,
  type StatFields,
  type TapDestination,
  type TapPathRule,
  VERDICTS,
} from "./tables.ts";

/** The tap could not be set up; `errno` names the refused door. */
export class TapError extends Error {
  readonly errno: string;
  constructor(errno: string, what: string) {
    super(`${what}: ${errno}`);
    this.errno = errno;
  }
}

/** How often descriptors of ended processes are closed. */
const FORGET_MS = 1000;

/** The call was answered meanwhile, or is over. */
const ESRCH = 3;
const EOPNOTSUPP = 95;
const EINTR = 4;
const EBUSY = 16;

/** C says EBUSY for a second at most. */
async function connectSoon(connect: () => number): Promise<number> {
  for (;;) {
    await setTimeout(1);
    const fd = connect();
    if (fd !== -EBUSY) return fd;
  }
}

/** One tap in a process: its threads and tables are the process's own. */
export class Tap {
  readonly #native: Native;
  /** By the trees' listeners. */
  readonly #ends = new Map<number, () => void>();
  #onVisitor: (visitor: Visitor) => void = () => {};
  #answered: (token: number, errno: number | undefined) => void = () => {};
  /** Whether this kernel lets connects be in progress; else they wait for the agent, and a signal ends them. */
  readonly canConnectLater: boolean;
  #canListListening = true;
  /** Towards which connects are in progress; 0: none can be. */
  readonly #pendingPort: number;

  constructor(onEvent: (event: TapEvent) => void, native: Native = loadNative()) {
    this.#native = native;
    setInterval(() => native.forgetEnded(), FORGET_MS).unref();
    this.#pendingPort = native.start((given) => {
      const event = given as TapEvent | Visitor;
      if (event.kind === "visitor") {
        this.#onVisitor(event);
        return;
      }
      if (event.kind === "end") this.#ends.get(event.listener)?.();
      onEvent(event);
    });
    this.canConnectLater = this.#pendingPort > 0;
  }

  /**
   * A socket at `path`: each connection is told, and its descriptor is the listener's. Once. native.closeDoor() ends it.
   *
   * @throws TapError
   */
  openDoor(path: string, onVisitor: (visitor: Visitor) => void): number {
    this.#onVisitor = onVisitor;
    const door = this.#native.openDoor(Buffer.from(path));
    if (door < 0) throw new TapError(getSystemErrorName(door), `listening at ${path}`);
    return door;
  }

  /** Resolves when no process of the tree is left. Before receiving. */
  treeEnd(listener: number): Promise<void> {
    return new Promise((resolve) => {
      this.#ends.set(listener, () => {
        this.#ends.delete(listener);
        resolve();
      });
    });
  }

  /** It was never received from, and has no end. */
  forgetTree(listener: number): void {
    this.#ends.delete(listener);
  }

  get native(): Native {
    return this.#native;
  }

  /** What this machine refuses: errno names. What could not be tried is not among them. A millisecond. */
  shutDoors(): ReadonlyMap<Door, string> {
    const tried = Object.entries(this.#native.probeDoors()) as [Door, number][];
    return new Map(
      tried
        .filter(([, failed]) => failed < 0)
        .map(([door, failed]) => [door, getSystemErrorName(failed)]),
    );
  }

  /** The event loop may end although the tap's threads run. */
  unref(): void {
    this.#native.unref();
  }

  setPathRules(rules: readonly TapPathRule[]): void {
    this.#native.setPathRules(
      rules.map((rule) => ({
        match: MATCHES.indexOf(rule.match),
        operations: rule.operations,
        verdict: VERDICTS.indexOf(rule.verdict),
        fallback: rule.fallback ?? false,
        isBinding: rule.isBinding ?? false,
        isGuarding: rule.isGuarding ?? false,
        isReported: rule.isReported ?? false,
        text: rule.text,
        table: rule.table ?? NO_TABLE,
      })),
    );
  }

  /** From now on "remote" is served by C; undefined: not any more. */
  setRemote(root: RemoteRoot | undefined): void {
    if (root) {
      const { rootFd, device, hintFd = -1, prefix = "" } = root;
      const { isReadOnly = false, isAsked = false } = root;
      this.#native.setRemote(rootFd, device, hintFd, isReadOnly, isAsked, prefix);
    } else this.#native.setRemote(-1, 0n, -1, false, false, "");
  }

  /** The C matcher's verdict. */
  matchPath(
    path: string,
    operation: PathOperation,
  ): { verdict: TapPathRule["verdict"]; rule: number } {
    const [verdict, rule] = this.#native.matchPath(path, operation);
    return { verdict: VERDICTS[verdict] ?? "local", rule };
  }

  /** Programs (base name of the executable, or of argv[0]) that are left alone. Once, before launching. */
  setSkips(names: readonly string[]): void {
    this.#native.setSkips(names);
  }

  /**
   * TCP connects that stay on this machine without being asked about: by the first entry that matches; none: it is asked.
   * Not while reports are wanted, nor to loopback when the tree listens itself.
   */
  setDestinations(destinations: readonly TapDestination[]): void {
    this.#native.setDestinations(Buffer.concat(destinations.map(destinationBytes)));
  }
  /** The C table's verdict. */
  isLocalDestination(address: Buffer): boolean {
    return this.#native.isLocalDestination(address);
  }

  /** Loopback connects to a native port are never stopped. */
  setNativePort(port: number, isNative: boolean): void {
    this.#native.setNativePort(port, isNative);
  }
  setRelayPort(port: number): void {
    this.#native.setRelayPort(port);
  }
  /**
   * "news": "decided" is told, of rules that say so, once for each path. "all": of every call, with its result, and
   * statistics().untold counts what is missing.
   */
  wantReports(level: keyof typeof REPORT_LEVELS): void {
    this.#native.wantReports(REPORT_LEVELS[level]);
  }
  /** @param watch gets a positive errno, 0, or undefined where the kernel goes on; not of what C serves ("decided") */
  watchAnswers(watch: (token: number, errno: number | undefined) => void): void {
    this.#answered = watch;
  }
  hideNscd(hide: boolean): void {
    this.#native.hideNscd(hide);
  }
  setHostname(name: string): void {
    this.#native.setHostname(name);
  }

  /**
   * What getsockname and getpeername tell of a socket that meets ours at `port`. Buffers: struct sockaddr.
   *
   * @param other the port at the other end, as several connections share one if theirs differ; else that of a connect in
   * progress, or none of UDP. @returns forgets it, if it is still this one
   */
  setName(
    table: keyof typeof NAME_TABLES,
    port: number,
    local: Buffer,
    peer: Buffer,
    other: number = table === "outgoing" ? this.#pendingPort : 0,
  ): () => void {
    this.#native.setName(NAME_TABLES[table], port, other, local, peer);
    return this.nameAt(table, port, other);
  }
  /**
   * The name of the connection between `port` and the port at its other end, which is there now. @returns forgets it, if
   * it is still this one: when Node tells that a socket is closed, its port may be another connection's
   */
  nameAt(table: keyof typeof NAME_TABLES, port: number, other: number): () => void {
    const number = this.#native.nameNumber(NAME_TABLES[table], port, other);
    return () => this.#native.forgetName(NAME_TABLES[table], port, number);
  }

  /** The call's result; a positive `errno` fails it. */
  reply(token: number, value: number, errno = 0): void {
    this.#answered(token, errno);
    this.#native.reply(token, value, errno);
  }
  /** The call goes on as if there were no tap. Never after having acted on it. */
  continue(token: number): void {
    this.#answered(token, undefined);
    this.#native.continue(token);
  }
  replyStat(token: number, stat: StatFields): void {
    this.#answered(token, 0);
    this.#native.replyStat(
      token,
      BigUint64Array.from([
        BigInt(stat.mode),
        stat.size,
        stat.ino,
        stat.dev,
        BigInt(stat.nlink),
        BigInt(stat.uid),
        BigInt(stat.gid),
        stat.rdev,
        BigInt(stat.blksize),
        stat.blocks,
        BigInt.asUintN(64, stat.atimeNs),
        BigInt.asUintN(64, stat.mtimeNs),
        BigInt.asUintN(64, stat.ctimeNs),
      ]),
    );
  }
  replyReadlink(token: number, target: Buffer): void {
    this.#answered(token, 0);
    this.#native.replyReadlink(token, target);
  }
  /**
   * C does the call below the remote root, with `path` (absolute; another one after mapping).
   *
   * @param options.second of rename and link, where the second path is the pod's, too; else they fail with EXDEV
   */
  serveRemote(
    token: number,
    path: string,
    options: { readonly fallback: boolean; readonly second?: string },
  ): void {
    this.#native.serveRemote(token, path, options.second ?? "", options.fallback);
  }
  /**
   * C does the call with other files of this machine than those that it names (mapping). What is opened is opened by
   * this process, so with its rights.
   */
  serveLocal(token: number, path: string, options: { readonly second?: string } = {}): void {
    this.#native.serveLocal(token, path, options.second ?? "");
  }
  /** `content` as a sealed memfd becomes the descriptor that open returns. */
  replyFile(
    token: number,
    file: { name: string; content: Buffer; mode: number; mtimeNs: bigint },
  ): void {
    this.#answered(token, 0);
    const { name, content, mode, mtimeNs } = file;
    this.#native.replyFile(token, name, content, mode, BigInt.asIntN(64, mtimeNs));
  }
  /** A descriptor of ours becomes the one that open returns; it is taken. */
  replyDescriptor(token: number, fd: number): void {
    this.#answered(token, 0);
    if (this.#native.replyDescriptor(token, fd) === -ESRCH) this.#native.close(fd);
  }

  /** Binds the process's socket to `port` of its loopback. The port bound, or a negative errno. */
  bindSocket(token: number, port: number): number {
    return this.#native.bindSocket(token, port);
  }
  /** Binds it as the program has asked. The port bound, or a negative errno. */
  bindAsAsked(token: number): number {
    return this.#native.bindAsAsked(token);
  }
  /** Answers bind with success; from now on the socket says it is bound to `requested`. */
  replyBound(token: number, requested: Buffer): void {
    this.#answered(token, 0);
    this.#native.replyBound(token, requested);
  }
  /** Listens on the process's socket; reply() is still to come. 0 or a negative errno. */
  listenSocket(token: number): number {
    return this.#native.listenSocket(token);
  }

  /** Connects the process's socket to our relay and answers; "relayed" tells from which port. False: nobody waits. */
  replyRelayed(token: number, relayPort: number, local: Buffer, peer: Buffer): boolean {
    return this.#native.replyRelayed(token, relayPort, local, peer) === 0;
  }
  /**
   * Puts the socket in progress. A non-blocking connect is answered with that; a blocking one is held, and if a signal
   * takes it away the connect goes on. Its port, or a negative errno, which the program got; but with -EOPNOTSUPP it got
   * none, and the call is held as before.
   */
  startPending(token: number): number {
    const port = this.#native.startPending(token);
    if (port < 0 && port !== -EOPNOTSUPP) this.#answered(token, -port);
    return port;
  }
  /**
   * Success: a file descriptor of our end, owned by the caller, or a negative errno: then failPending().
   * `isHeld`: the program waits in its call; "relayed" tells when it has the answer. A reset that comes earlier would be
   * the connect's own errno.
   */
  completePending(call: SocketCall, userPort: number): { fd: number; isHeld: boolean } {
    const fd = this.#native.completePending(userPort, call.isIPv6Only);
    if (fd >= 0) this.#answered(call.token, 0);
    return { fd, isHeld: fd >= 0 && this.#native.verdictConnected(call.token) === 0 };
  }
  failPending(call: SocketCall, userPort: number, errno: number): void {
    const { token, tgid, fd, cookie, isIPv6Only } = call;
    this.#answered(token, errno);
    this.#native.failPending(token, tgid, fd, cookie, userPort, isIPv6Only, errno);
  }

  /**
   * The datagram to loopback is for somebody of this machine. Others to there go on without an event for a second, but for
   * those of sockets that are bound to a port of the pod.
   */
  continueHere(token: number): void {
    this.#answered(token, undefined);
    this.#native.continueHere(token);
  }
  replyConnectedDatagram(token: number, relayPort: number): void {
    this.#answered(token, 0);
    this.#native.replyConnectedDatagram(token, relayPort);
  }
  replySentTo(token: number, relayPort: number): void {
    this.#answered(token, 0);
    this.#native.replySentTo(token, relayPort);
  }

  /** Whether connects of stream and seqpacket sockets of AF_UNIX are asked about; else they are native. */
  askUnix(asks: boolean): void {
    this.#native.askUnix(asks);
  }
  /** Connects the program's unix socket to us and answers; its peer is `peer` for it. "accepted" has our end. False: nobody waits. */
  replyUnix(token: number, peer: Buffer): boolean {
    return this.#native.replyUnix(token, peer) === 0;
  }

  /** The peer of a connected socket of UDP refuses: its next call, or its poll, says so, and it goes on. */
  refuseDatagram(call: SocketCall, relayPort: number): void {
    const { tgid, fd, cookie, isIPv6, isIPv6Only } = call;
    this.#native.refuseDatagram(tgid, fd, cookie, relayPort, isIPv6, isIPv6Only);
  }

  /**
   * A connection to the program's listener in the name of `peer`: a file descriptor, or a negative errno. At once, but
   * where the kernel may be about to accept for the program, which would not tell that name: a second at most.
   */
  connectToUser(
    port: number,
    isIPv6: boolean,
    local: Buffer,
    peer: Buffer,
  ): number | Promise<number> {
    const connect = (): number => this.#native.connectToUser(port, isIPv6, local, peer);
    const fd = connect();
    return fd === -EBUSY ? connectSoon(connect) : fd;
  }

  /**
   * TCP ports on which somebody listens in this network namespace, whoever it is; `ipv6`: of both kinds, too. Undefined:
   * the kernel does not tell (/proc does). A twentieth of a millisecond.
   */
  listeningPorts(): { ipv4: ReadonlySet<number>; ipv6: ReadonlySet<number> } | undefined {
    if (!this.#canListListening) return undefined;
    const ipv4 = this.#native.listeningPorts(false);
    const ipv6 = this.#native.listeningPorts(true);
    if (typeof ipv4 !== "number" && typeof ipv6 !== "number") {
      return { ipv4: new Set(ipv4), ipv6: new Set(ipv6) };
    }
    // Each question for what is not there has the kernel look for a module. EINTR: the list has changed meanwhile.
    this.#canListListening = [ipv4, ipv6].includes(-EINTR);
    return undefined;
  }

  statistics(): TapStatistics {
    return this.#native.statistics();
  }
}

/** Trapped calls in, answers out. Decides nothing but by the tables it is given. */
import { getSystemErrorName } from "node:util";
import type { Door, Native, TapStatistics } from "./native.ts";
import { loadNative } from "./native.ts";

/** A call that the tables could not decide. It must be answered exactly once, before its deadline in C. */
export type TrappedCall =
  | (SocketCall & {
      readonly kind: "connect";
      /** struct sockaddr: where the program believes the socket to be bound. */
      readonly local: Buffer;
    })
  | (SocketCall & { readonly kind: "bind" })
  | (SocketCall & { readonly kind: "sendto" })
  | (SocketCall & { readonly kind: "listen" })
  | {
      readonly kind: "path";
      readonly token: number;
      readonly tgid: number;
      /** Without a remote root only the first four; any can be continued, failed or served below the remote root. */
      readonly call: PathCallName;
      /** Absolute and normalised; latin1, a byte in each char. */
      readonly path: string;
      /** O_… of open, AT_… of stat and access. */
      readonly flags: number;
      /** R_OK, W_OK, X_OK of access. */
      readonly mode: number;
      readonly operation: PathOperation;
      /** Index of the rule that said "ask", or "remote" while there is no remote root. */
      readonly rule: number;
      /**
       * Named from a directory of the pod, and below it: it is the pod's unless a binding rule says otherwise. continue()
       * then serves the developer's file of that path.
       */
      readonly isBelowRemote: boolean;
      /** Of rename and link: where to. */
      readonly second?: {
        readonly path: string;
        readonly rule: number;
        readonly isBelowRemote: boolean;
      };
    };

export type PathCallName =
  | ("open" | "stat" | "access" | "readlink")
  | ("statfs" | "inotify" | "handle" | "getxattr" | "listxattr" | "chdir" | "exec")
  | ("chmod" | "chown" | "utime" | "truncate" | "setxattr" | "removexattr")
  | ("mkdir" | "unlink" | "rmdir" | "mknod" | "symlink" | "link" | "rename");

export interface SocketCall {
  readonly token: number;
  readonly tgid: number;
  /** The descriptor's number in the process. */
  readonly fd: number;
  /** SO_COOKIE: what a socket is known by. */
  readonly cookie: number;
  readonly isUnix: boolean;
  readonly isIPv6: boolean;
  readonly isIPv6Only: boolean;
  readonly isStream: boolean;
  readonly isNonBlocking: boolean;
  /** Of connect: whether startPending() can be used. */
  readonly canBePending: boolean;
  /** struct sockaddr; empty for listen. */
  readonly address: Buffer;
}

export type TapEvent =
  | TrappedCall
  /** The socket of an earlier replyRelayed() is connected from `port`, or failed; of completePending() port 0. */
  | {
      readonly kind: "relayed";
      readonly token: number;
      readonly port: number;
      readonly errno: number;
    }
  /** Of an earlier replyUnix(): our end's descriptor, owned by whoever handles it, or a negative errno. */
  | { readonly kind: "accepted"; readonly token: number; readonly fd: number }
  /**
   * What C decided about a path, after wantReports(); not all, when there are very many. `rule` -1: it was named from
   * a directory of the pod.
   */
  | {
      readonly kind: "decided";
      /** Of what TypeScript decided and C served; else 0, or of no call that it knows. */
      readonly token: number;
      readonly tgid: number;
      readonly operation: PathOperation;
      /** 0 or a positive errno; -1: the kernel goes on by itself, or reports are not wanted of every call. */
      readonly result: number;
      /** From when it was received; 0 where not every call is wanted. */
      readonly tookMs: number;
      readonly call: PathCallName;
      readonly path: string;
      readonly rule: number;
      readonly verdict: "local" | "not-found" | "remote" | "read-only";
      /** The pod has no such file: this machine's, if there is one. */
      readonly isFallback: boolean;
    }
  /** After wantReports("all"): a connect(2) to a socket of this machine, which C knows. */
  | {
      readonly kind: "decided-connect";
      readonly tgid: number;
      /** struct sockaddr, of AF_UNIX or of a loopback port on which the tree listens. */
      readonly address: Buffer;
      /** As above. */
      readonly result: number;
    }
  /** A program of the tree made its first trapped call. */
  | {
      readonly kind: "program";
      readonly tgid: number;
      readonly executable: string;
      readonly isSkipped: boolean;
    }
  /** A program that is not, or not wholly, as without inpod; told once for each process that executes one. */
  | {
      readonly kind: "limited";
      /** Path of its executable, or its name where that is closed to us. */
      readonly program: string;
      readonly why: ProgramLimit;
    }
  /** What could not be done as in the pod; the program got an errno that makes it go on otherwise, or fail. */
  | {
      readonly kind: "refused";
      readonly tgid: number;
      readonly call: PathCallName;
      readonly path: string;
      /**
       * "traced": somebody (a debugger) traces the program already, "ptrace": it may not be traced (kernel.yama.ptrace_scope,
       * another user's program), "size": a program too large to be copied, "inotify": no watches in the pod, "32-bit": a
       * program of i386's.
       */
      readonly why: "traced" | "ptrace" | "size" | "inotify" | "32-bit";
    }
  /** No process of the tree is left whose listener that was: tap.treeEnd() tells it, too. */
  | { readonly kind: "end"; readonly listener: number };

/** Who wants to be a tree of this session, and its connection; `pid` is 0 where it cannot be seen from here (a container's). */
export interface Visitor {
  readonly kind: "visitor";
  readonly fd: number;
  readonly pid: number;
  readonly uid: number;
}

/**
 * "setuid" (or setgid), "capabilities": no_new_privs takes them from it. "closed": the kernel does not let us look into it,
 * so it goes on natively. "listener": it asked for a seccomp listener of its own, and gets EBUSY. "32-bit": of a kind whose
 * calls are not translated.
 */
export type ProgramLimit = "setuid" | "capabilities" | "closed" | "listener" | "32-bit";

/** Bits, as in C (enum path_operation). */
export const PathOperation = { read: 1, write: 2, lookup: 4 } as const;
export type PathOperation = (typeof PathOperation)[keyof typeof PathOperation];

export interface TapPathRule {
  readonly match:
    | "exact"
    | "tree"
    | "prefix"
    | "suffix"
    | "contains"
    | "shared-object"
    /** Matches everything: only TypeScript can tell. */
    | "ask"
    /** By `table`; it asks for paths that only TypeScript can tell. */
    | "automaton";
  /** Lower case, latin1; rules ignore the case of ASCII letters. */
  readonly text: string;
  /** Mask of PathOperation. */
  readonly operations: number;
  /** "remote": C serves it below the remote root; it is asked about where there is none. */
  readonly verdict: "local" | "ask" | "not-found" | "remote";
  /** Of "remote", reading only: what the pod does not have (ENOENT, ENOTDIR) is the developer's. */
  readonly fallback?: boolean;
  /** Decides also about a path that is named from a directory of the pod; no other rule does. */
  readonly isBinding?: boolean;
  /** What it keeps from being written to in the pod is not written to from the pod's directories either: EROFS. */
  readonly isGuarding?: boolean;
  /** Its decisions are told, once for each path and operation, while reports are wanted. */
  readonly isReported?: boolean;
  /** Of an automaton: ../native/addon/match.c has its layout. */
  readonly table?: Uint16Array;
}

const MATCHES = [
  ...["exact", "tree", "prefix", "suffix", "contains", "shared-object"],
  ...["ask", "automaton"],
];
const NO_TABLE = new Uint16Array();
const VERDICTS = ["local", "ask", "not-found", "remote"] as const;

/** enum report_level */
const REPORT_LEVELS = { nothing: 0, news: 1, all: 2 } as const;

/** An address or subnet; without `bytes` any. */
export interface TapDestination {
  /** From the left; the rest is 0. */
  readonly bytes?: readonly number[];
  /** Bits; left out: 0. */
  readonly prefixLength?: number;
  readonly isIPv6?: boolean;
  /** Left out: any. */
  readonly port?: number;
  /** Else it is asked about. */
  readonly isLocal: boolean;
}

/** destinations.c has the layout. */
function destinationBytes(entry: TapDestination): Buffer {
  const { bytes, prefixLength = 0, isIPv6 = false, port = 0, isLocal } = entry;
  const buffer = Buffer.alloc(22);
  buffer.writeUInt8(bytes === undefined ? 0 : isIPv6 ? 6 : 4, 0);
  buffer.writeUInt8(prefixLength, 1);
  buffer.writeUInt8(isLocal ? 1 : 0, 2);
  buffer.writeUInt16LE(port, 4);
  buffer.set(bytes ?? [], 6);
  return buffer;
}

/** Which of a socket's ports names it: see names.c. */
const NAME_TABLES = { outgoing: 0, incoming: 1, datagram: 2 } as const;

/** statx(2)'s fields in the order of files.c. */
export interface StatFields {
  readonly mode: number;
  readonly size: bigint;
  readonly ino: bigint;
  readonly dev: bigint;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: bigint;
  readonly blksize: number;
  readonly blocks: bigint;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** The pod's files below one directory of this process. The descriptors are duplicated. */
export interface RemoteRoot {
  /** O_PATH is enough. */
  readonly rootFd: number;
  /** Its st_dev, which no other file of this machine has (or see prefix): by it the pod's directories are known. */
  readonly device: bigint;
  /** SOCK_SEQPACKET: u32 id and a path out, the id back when it can be looked up quickly. */
  readonly hintFd?: number;
  /** What no rule gives the pod is not written to below its directories either: EROFS. */
  readonly isReadOnly?: boolean;
  /** "remote" is asked about first, as without a root; serveRemote() then does the call. */
  readonly isAsked?: boolean;
  /** Where it stands in the file systems of this machine; undefined: nowhere, it is a mount of its own. */
  readonly prefix?: string;
}

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

/** One tap in a process: its threads and tables are the process's own. */
export class Tap {
  readonly #native: Native;
  /** By the trees' listeners. */
  readonly #ends = new Map<number, () => void>();
  #onVisitor: (visitor: Visitor) => void = () => {};
  #answered: (token: number, errno: number | undefined) => void = () => {};
  /** Whether this kernel lets connects be in progress; else they wait for the agent, and a signal ends them. */
  readonly canConnectLater: boolean;

  constructor(onEvent: (event: TapEvent) => void, native: Native = loadNative()) {
    this.#native = native;
    setInterval(() => native.forgetEnded(), FORGET_MS).unref();
    this.canConnectLater =
      native.start((given) => {
        const event = given as TapEvent | Visitor;
        if (event.kind === "visitor") {
          this.#onVisitor(event);
          return;
        }
        if (event.kind === "end") this.#ends.get(event.listener)?.();
        onEvent(event);
      }) > 0;
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

  /** What getsockname and getpeername tell of a socket that meets ours at `port`. Buffers: struct sockaddr. */
  setName(table: keyof typeof NAME_TABLES, port: number, local: Buffer, peer: Buffer): void {
    this.#native.setName(NAME_TABLES[table], port, local, peer);
  }
  forgetName(table: keyof typeof NAME_TABLES, port: number): void {
    this.#native.setName(NAME_TABLES[table], port, null, null);
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

  /** Connects the process's socket to our relay and answers; "relayed" tells from which port. */
  replyRelayed(token: number, relayPort: number, local: Buffer, peer: Buffer): void {
    this.#native.replyRelayed(token, relayPort, local, peer);
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

  replyConnectedDatagram(token: number, relayPort: number): void {
    this.#answered(token, 0);
    this.#native.replyConnectedDatagram(token, relayPort);
  }
  replySentTo(token: number, relayPort: number): void {
    this.#answered(token, 0);
    this.#native.replySentTo(token, relayPort);
  }

  /** Whether connects of stream sockets of AF_UNIX are asked about; else they are native. */
  askUnix(asks: boolean): void {
    this.#native.askUnix(asks);
  }
  /** Connects the program's unix socket to us and answers; its peer is `peer` for it. "accepted" has our end. */
  replyUnix(token: number, peer: Buffer): void {
    this.#native.replyUnix(token, peer);
  }

  /** The peer of a connected socket of UDP refuses: its next call, or its poll, says so, and it goes on. */
  refuseDatagram(call: SocketCall, relayPort: number): void {
    const { tgid, fd, cookie, isIPv6, isIPv6Only } = call;
    this.#native.refuseDatagram(tgid, fd, cookie, relayPort, isIPv6, isIPv6Only);
  }

  /** A connection to the program's listener in the name of `peer`: a file descriptor, or a negative errno. */
  connectToUser(port: number, isIPv6: boolean, local: Buffer, peer: Buffer): number {
    return this.#native.connectToUser(port, isIPv6, local, peer);
  }

  statistics(): TapStatistics {
    return this.#native.statistics();
  }
}

/** What the tap hands over: the calls that its tables could not decide, and what it tells. */
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
  /**
   * Of an earlier replyUnix(): our end's descriptor, owned by whoever handles it, or a negative errno. Of a seqpacket
   * socket it is a stream, in which each record has its length before it.
   */
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
export type ProgramLimit =
  | "setuid"
  | "capabilities"
  | "closed"
  | "listener"
  | "32-bit"
  | "messages";

/** Bits, as in C (enum path_operation). */
export const PathOperation = { read: 1, write: 2, lookup: 4 } as const;
export type PathOperation = (typeof PathOperation)[keyof typeof PathOperation];

/** What the tap decides by, and how C reads it. */
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

export const MATCHES = [
  ...["exact", "tree", "prefix", "suffix", "contains", "shared-object"],
  ...["ask", "automaton"],
];
export const NO_TABLE = new Uint16Array();
export const VERDICTS = ["local", "ask", "not-found", "remote"] as const;

/** enum report_level */
export const REPORT_LEVELS = { nothing: 0, news: 1, all: 2 } as const;

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
export function destinationBytes(entry: TapDestination): Buffer {
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
export const NAME_TABLES = { outgoing: 0, incoming: 1, datagram: 2 } as const;

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

/**
 * What the file service answers, and tells by itself:
 *
 *   u32 length of the rest · u32 id of the request, 0: an event · i32 errno, 0: success · body (of a success)
 */
import { ProtocolError } from "../frames.ts";
import { attributes } from "./attributes.ts";
import {
  bool,
  type Field,
  type Fields,
  linkTarget,
  nameOrNone,
  optionalBytes,
  path,
  Reader,
  readAll,
  relativePath,
  rest,
  size,
  u32,
  u64,
  type Values,
  Writer,
  writeAll,
} from "./fields.ts";
import { records } from "./records.ts";
import { type FileOperation, MAX_RECORDS } from "./requests.ts";

/** Bytes of an answer after its length. */
export const MAX_ANSWER = MAX_RECORDS + 64 * 1024;

const made = { attributes };
const nothing = {};

const ANSWERS = {
  /** `content`: undefined where it was not asked for, is too long, or changed meanwhile; of a link its target. */
  look: { attributes, content: optionalBytes },
  /** It ends where the kernel would: `negative` for ENOENT, a file that is no directory, a loop, what may not be entered. */
  chain: { records: records(path) },
  /** `nextCookie` 0: the end was reached. `attributes`: the directory's. */
  list: { nextCookie: u64, isLeased: bool, attributes, records: records(relativePath) },
  /** `isComplete`: every directory in it was listed completely. */
  tree: { isComplete: bool, records: records(relativePath) },
  readlink: { target: linkTarget },
  access: nothing,
  /** statfs(2); `type` is the filesystem's magic number. */
  statfs: {
    blocks: u64,
    bfree: u64,
    bavail: u64,
    files: u64,
    ffree: u64,
    bsize: u32,
    frsize: u32,
    namelen: u32,
    type: u32,
  },
  getxattr: { value: rest },
  /** Names, each ended by NUL. */
  listxattr: { names: rest },
  open: { attributes },
  /** Shorter than asked: the end of the file. */
  read: { content: rest },
  /** `written` may be less than what was sent. `offset`: where it landed. */
  write: { written: u32, offset: size, attributes },
  close: nothing,
  fstat: { attributes },
  fsync: nothing,
  fallocate: { attributes },
  lseek: { offset: size },
  copy: { copied: size, attributes },
  setattr: made,
  mkdir: made,
  unlink: nothing,
  rmdir: nothing,
  symlink: made,
  link: made,
  rename: nothing,
  mknod: made,
  setxattr: nothing,
  removexattr: nothing,
  lock: nothing,
  forget: nothing,
} as const satisfies Readonly<Record<FileOperation, Fields>>;

export type FileAnswers = { readonly [Op in FileOperation]: Values<(typeof ANSWERS)[Op]> };

export type FileEvent =
  /**
   * `directory` was leased. `name`: what in it is another now; "": the directory itself, and any name in it.
   * `what`: "changed" attributes or content; "appeared" or "disappeared" the name (perhaps in another's place);
   * "gone": the directory was moved, removed or covered, and with it all that is below has lost its lease.
   */
  | {
      readonly kind: "invalidate";
      readonly directory: string;
      readonly name: string;
      readonly what: FileChange;
    }
  /** No lease holds any more: too much happened at once, or somebody else answers now. */
  | { readonly kind: "leases-lost" };
export type FileChange = "changed" | "appeared" | "disappeared" | "gone";
const CHANGES: readonly FileChange[] = ["changed", "appeared", "disappeared", "gone"];

const change: Field<FileChange> = {
  write: (to, value) => to.u8(CHANGES.indexOf(value) + 1),
  read: (from) => {
    const known = CHANGES[from.u8() - 1];
    if (known === undefined) throw new ProtocolError("an unknown change of a file");
    return known;
  },
};
const invalidate = { directory: path, name: nameOrNone, what: change };

export function encodeFileAnswer<Op extends FileOperation>(
  id: number,
  op: Op,
  answer: FileAnswers[Op],
): Uint8Array {
  const to = start(id, 0);
  writeAll(to, ANSWERS[op] as Fields, answer as never);
  return to.framed();
}

/** @param errno Linux's number, not 0 */
export const encodeFileFailure = (id: number, errno: number): Uint8Array =>
  start(id, errno).framed();

export function encodeFileEvent(event: FileEvent): Uint8Array {
  const to = start(0, 0);
  to.u8(event.kind === "invalidate" ? 1 : 2);
  if (event.kind === "invalidate") writeAll(to, invalidate, event);
  return to.framed();
}

function start(id: number, errno: number): Writer {
  const to = new Writer();
  to.u32(0);
  to.u32(id);
  to.i32(errno);
  return to;
}

/** @param message without its length. @throws ProtocolError */
export function parseAnswerHeader(message: Uint8Array): {
  readonly id: number;
  readonly errno: number;
  readonly body: Uint8Array;
} {
  const from = new Reader(message);
  const [id, errno] = [from.u32(), from.i32()];
  // Linux's are below 4096; the two ends would else disagree about what is a failure.
  if (errno < 0 || errno > 4095) throw new ProtocolError("an errno that cannot be");
  return { id, errno, body: from.bytes(from.left) };
}

/** @param body of an answer without errno. What is bytes in it are views of the message. @throws ProtocolError */
export function parseFileAnswer<Op extends FileOperation>(
  op: Op,
  body: Uint8Array,
): FileAnswers[Op] {
  const from = new Reader(body);
  const answer = readAll(from, ANSWERS[op] as Fields);
  from.end();
  return answer as unknown as FileAnswers[Op];
}

/** @param body of a message with id 0. Undefined: an event of a newer agent. @throws ProtocolError */
export function parseFileEvent(body: Uint8Array): FileEvent | undefined {
  const from = new Reader(body);
  switch (from.u8()) {
    case 1: {
      const event = { kind: "invalidate", ...readAll(from, invalidate) } as const;
      from.end();
      return event;
    }
    case 2:
      from.end();
      return { kind: "leases-lost" };
    default:
      return undefined;
  }
}

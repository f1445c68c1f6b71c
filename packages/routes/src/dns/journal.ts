/**
 * What /etc/resolv.conf was, written down before it is changed. `inpod-routes restore` puts it back (native/routes/
 * restore.c): at the end; when the CLI is killed, by the process that holds the routes; and when both were, by the next
 * start, or `inpod recover`.
 */
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { runHelper } from "../helper.ts";
import { notSplit } from "./errors.ts";

/** Where it is, and where what it was is kept: not in /run, the machine may be started again. */
export interface JournalPlace {
  readonly path: string;
  readonly directory: string;
}

export const JOURNAL: JournalPlace = {
  path: "/etc/resolv.conf",
  directory: "/var/lib/inpod-resolv.conf",
};

/** Of proc_pid_stat(5): field 22, counted behind the name, which may contain anything. */
const START_TIME = 19;

/** A process that began then; one that has its number later is another. */
const identity = (pid: number | "self"): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const start = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[START_TIME];
    return `${pid === "self" ? process.pid : pid} ${start}`;
  } catch {
    return undefined;
  }
};

export type Holder =
  | { readonly kind: "nobody" }
  /** A session that runs. */
  | { readonly kind: "held"; readonly pid: number }
  /** A session that was killed. */
  | { readonly kind: "left" };

export function holder({ directory }: JournalPlace = JOURNAL): Holder {
  let owner: string;
  try {
    lstatSync(directory);
  } catch {
    return { kind: "nobody" };
  }
  try {
    owner = readFileSync(join(directory, "owner"), "latin1").trim();
  } catch {
    return { kind: "left" };
  }
  const pid = Number(owner.split(" ")[0]);
  return identity(pid) === owner ? { kind: "held", pid } : { kind: "left" };
}

/** Bytes, or a link to another file in a link's place. */
export type Content = Uint8Array | { readonly link: string };

/**
 * Writes down what the file is, and changes it.
 * @param guard told in between: from then on whoever it is may have to restore it
 * @throws UserError DNS_NOT_SPLIT; nothing has changed then
 */
export async function changeFile(
  place: JournalPlace,
  content: Content,
  guard: () => void,
): Promise<void> {
  const { path, directory } = place;
  try {
    mkdirSync(directory, { mode: 0o755 });
  } catch (error) {
    throw isErrno(error, "EEXIST")
      ? heldBy(holder(place))
      : notSplit(`what ${path} is cannot be written down in ${directory}`, error);
  }
  try {
    // Everybody may see whose it is: verify looks as an ordinary user, too.
    put(join(directory, "owner"), Buffer.from(identity("self") ?? ""), 0o644);
    const link = linkTarget(path);
    if (link === undefined) put(join(directory, "original"), readFileSync(path));
    else symlinkSync(link, join(directory, "original"));
    if ("link" in content) symlinkSync(content.link, join(directory, "written"));
    else put(join(directory, "written"), content);
    guard();
    if ("link" in content || link !== undefined) replaceLink(path, content);
    else writeInPlace(path, content);
  } catch (error) {
    await restoreFile(place);
    throw notSplit(`${path} cannot be changed`, error, hintsOf(path, error));
  }
}

function hintsOf(path: string, error: unknown): string[] {
  if (isErrno(error, "EPERM")) return [`it may be immutable: lsattr ${path}, chattr -i ${path}`];
  if (isErrno(error, "EROFS")) return ["its file system is read-only"];
  if (isErrno(error, "ENOENT")) return [`there is none: make one, with your name server`];
  return [];
}

const heldBy = (who: Holder): Error =>
  notSplit(
    who.kind === "held"
      ? `another inpod connect (process ${who.pid}) has its /etc/resolv.conf`
      : "its /etc/resolv.conf is still that of a session that was killed",
    undefined,
    who.kind === "held" ? [] : ["restore it: inpod recover"],
  );

const isErrno = (error: unknown, code: string): boolean =>
  (error as NodeJS.ErrnoException | undefined)?.code === code;

function put(path: string, content: Uint8Array, mode = 0o600): void {
  writeFileSync(path, content, { mode, flush: true });
}

function linkTarget(path: string): string | undefined {
  if (!lstatSync(path).isSymbolicLink()) return undefined;
  readFileSync(path); // one that leads nowhere is not understood
  return readlinkSync(path);
}

/** The same inode: it may be a mount point, as in containers; owner and mode stay. */
function writeInPlace(path: string, content: Uint8Array): void {
  const fd = openSync(path, "r+");
  try {
    // In one call, and what follows is cut off after it: who reads meanwhile finds a name server.
    writeSync(fd, content, 0, content.length, 0);
    ftruncateSync(fd, content.length);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** In the link's place: what it leads to is some other program's, and stays as it is. */
function replaceLink(path: string, content: Content): void {
  const aside = `${path}.inpod`;
  if ("link" in content) {
    rmSync(aside, { force: true });
    symlinkSync(content.link, aside);
  } else writeFileSync(aside, content, { mode: 0o644, flush: true });
  try {
    renameSync(aside, path);
  } catch (error) {
    unlinkSync(aside);
    throw error;
  }
}

export type Restored =
  | { readonly kind: "nothing" }
  | { readonly kind: "restored" }
  /** Somebody else has written it since: it stays as it is. */
  | { readonly kind: "changed" }
  | { readonly kind: "failed"; readonly why: string };

/** Whoever has changed it. */
export async function restoreFile({ path, directory }: JournalPlace): Promise<Restored> {
  if (holder({ path, directory }).kind === "nobody") return { kind: "nothing" };
  const { isDone, text } = await runHelper(["restore", directory, path]);
  if (!isDone) return { kind: "failed", why: text };
  return { kind: text === "restored" ? "restored" : text === "changed" ? "changed" : "nothing" };
}

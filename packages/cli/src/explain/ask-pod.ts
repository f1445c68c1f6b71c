/** Questions to the target about what is explained: nothing is changed there, and no content is read. */
import { isLoopback, parseAddress } from "@inpod/layer/rules";
import type { FileAttributes } from "@inpod/protocol";
import { type Session, TunnelFailure } from "@inpod/session";
import { toBytes, toText } from "../exec/environment.ts";
import type { PodFile } from "./paths.ts";

/** A connection that takes longer is said to. */
const CONNECT_MS = 5000;
const R_OK = 4;
const W_OK = 2;
const S_IFMT = 0o170000;
const KINDS: ReadonlyMap<number, string> = new Map([
  [0o040000, "a directory"],
  [0o120000, "a link"],
  [0o140000, "a socket"],
  [0o010000, "a named pipe"],
  [0o020000, "a character device"],
  [0o060000, "a block device"],
]);

/** Links are followed as a program would. */
export async function askFile(path: string, session: Pick<Session, "files">): Promise<PodFile> {
  const bytes = toBytes(path);
  try {
    const records = await session.files.chain(bytes);
    const last = records.at(-1);
    if (last?.kind !== "entry") return { exists: false, words: ["nothing of that name"] };
    const end = toText(last.path);
    const { attributes } = last;
    const may = await Promise.all(
      ([R_OK, W_OK] as const).map((mode) => access(last.path, mode, session)),
    );
    const [read, write] = may;
    const rights =
      read === undefined
        ? `may be read ${write === undefined ? "and" : "but not"} written to`
        : `may not be read${write === undefined ? ", but written to" : " or written to"}`;
    const refused = [...new Set(may.filter((errno) => errno !== undefined))].join(", ");
    return {
      exists: true,
      refused: read,
      words: [
        ...(end === path ? [] : [`links lead to ${end}`]),
        describe(attributes),
        `with the target's own ids it ${rights}${refused === "" ? "" : ` (${refused})`}`,
      ],
    };
  } catch (error) {
    const errno = errnoOf(error);
    const words = [`it cannot be looked at: ${errno}`];
    return isThere(error) ? { exists: true, refused: errno, words } : { exists: false, words };
  }
}

/** What may not be looked at is there for all that one knows: no fallback takes its place. */
const isThere = (error: unknown): boolean =>
  !(error instanceof TunnelFailure && /^(ENOENT|ENOTDIR)$/.test(error.errno));

function describe({ mode, uid, gid, size }: FileAttributes): string {
  const kind = KINDS.get(mode & S_IFMT);
  const what = kind ?? `a file of ${size} bytes`;
  return `${what}, mode ${(mode & 0o7777).toString(8).padStart(4, "0")}, owner ${uid}:${gid}`;
}

async function access(
  path: string,
  mode: number,
  session: Pick<Session, "files">,
): Promise<string | undefined> {
  try {
    await session.files.access(path, mode);
    return undefined;
  } catch (error) {
    return errnoOf(error);
  }
}

const errnoOf = (error: unknown): string =>
  error instanceof TunnelFailure
    ? error.errno
    : error instanceof Error
      ? error.message
      : String(error);

/** Connects from the pod and ends the connection at once, without a byte. */
export async function askConnect(
  address: string,
  port: number,
  session: Pick<Session, "connectTcp">,
): Promise<string> {
  const parsed = parseAddress(address);
  const where = `${address.includes(":") ? `[${address}]` : address}:${port}`;
  const place = parsed !== undefined && isLoopback(parsed) ? "its own " : "";
  const connected = session.connectTcp(address, port).then(({ channel }) => {
    channel.reset("ECONNRESET");
    return `${place}${where} is connected to from the pod`;
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(
      () => resolve(`${place}${where} does not answer within ${CONNECT_MS / 1000} s`),
      CONNECT_MS,
    );
  });
  try {
    return await Promise.race([connected, late]);
  } catch (error) {
    return `${place}${where} cannot be connected to from the pod: ${errnoOf(error)}`;
  } finally {
    clearTimeout(timer);
    connected.catch(() => {}); // the one that came too late
  }
}

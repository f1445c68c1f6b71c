/** Tar archives of the POSIX ustar format (pax(1)), the same bytes for the same entries. */

export interface Entry {
  /** Relative, without "./"; a directory's ends in "/". At most 100 ASCII characters. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** Empty for a directory. */
  readonly content: Uint8Array;
}

const BLOCK_BYTES = 512;
const MAX_NAME = 100;

/** The pieces of an archive with these entries, in their order. Owner is root, time is the epoch. */
export function* tar(entries: Iterable<Entry>): Generator<Uint8Array> {
  for (const entry of entries) {
    yield header(entry);
    yield entry.content;
    yield new Uint8Array(-entry.content.length & (BLOCK_BYTES - 1));
  }
  yield new Uint8Array(2 * BLOCK_BYTES);
}

/** Sorted by path, with an entry for each directory on the way to another entry. */
export function withDirectories(entries: readonly Entry[]): Entry[] {
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  for (const { path } of entries) {
    for (let end = path.indexOf("/"); end >= 0; end = path.indexOf("/", end + 1)) {
      const directory = path.slice(0, end + 1);
      if (byPath.has(directory)) continue;
      byPath.set(directory, { path: directory, mode: 0o755, content: new Uint8Array() });
    }
  }
  return [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

function header({ path, mode, content }: Entry): Uint8Array {
  // Linkers and modules have shorter paths; the prefix field would carry longer ones.
  if (!/^[\x21-\x7e]+$/.test(path) || path.length > MAX_NAME) {
    throw new Error(`${path}: no name for a tar entry`);
  }
  const block = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, at: number, digits: number) =>
    block.write(value.toString(8).padStart(digits, "0"), at, "latin1");
  block.write(path, 0, "latin1");
  octal(mode, 100, 7);
  octal(0, 108, 7); // uid
  octal(0, 116, 7); // gid
  octal(content.length, 124, 11);
  octal(0, 136, 11); // mtime
  block.write(path.endsWith("/") ? "5" : "0", 156, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  // The checksum counts its own field as spaces.
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

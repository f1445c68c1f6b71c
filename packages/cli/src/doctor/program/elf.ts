/** As much of an ELF file as says who can run it (elf(5)). Pure. */

export interface ElfFacts {
  readonly bits: 32 | 64;
  /** e_machine: 62 is x86-64, 183 is AArch64, 3 is i386, 40 is 32-bit Arm. */
  readonly machine: number;
  /** The dynamic loader; undefined: the program is static. */
  readonly loader: string | undefined;
}

const PT_INTERP = 3;
/** Program headers of a real file are ten or so. */
const MAX_HEADERS = 256;
const MAX_LOADER_PATH = 4096;
const HEADER_BYTES = { 32: 52, 64: 64 } as const;

/**
 * @param read up to so many bytes at an offset of the file
 * @returns undefined: it is no ELF file of a little-endian machine
 */
export function parseElf(read: (offset: number, bytes: number) => Buffer): ElfFacts | undefined {
  const head = read(0, HEADER_BYTES[64]);
  if (head.length < HEADER_BYTES[32] || head.toString("latin1", 0, 4) !== "\x7fELF")
    return undefined;
  const bits = head[4] === 1 ? 32 : head[4] === 2 ? 64 : undefined;
  const isLittleEndian = head[5] === 1;
  if (bits === undefined || !isLittleEndian || head.length < HEADER_BYTES[bits]) return undefined;
  const machine = head.readUInt16LE(18);
  const is64 = bits === 64;
  const offset = is64 ? Number(head.readBigUInt64LE(32)) : head.readUInt32LE(28);
  const size = head.readUInt16LE(is64 ? 54 : 42);
  const count = Math.min(head.readUInt16LE(is64 ? 56 : 44), MAX_HEADERS);
  const headers = read(offset, size * count);
  for (let at = 0; at + (is64 ? 40 : 20) <= headers.length && size > 0; at += size) {
    if (headers.readUInt32LE(at) !== PT_INTERP) continue;
    const start = is64 ? Number(headers.readBigUInt64LE(at + 8)) : headers.readUInt32LE(at + 4);
    const length = is64 ? Number(headers.readBigUInt64LE(at + 32)) : headers.readUInt32LE(at + 16);
    const loader = read(start, Math.min(length, MAX_LOADER_PATH)).toString("latin1");
    return { bits, machine, loader: loader.replace(/\0.*$/s, "") };
  }
  return { bits, machine, loader: undefined };
}

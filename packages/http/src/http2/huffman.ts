/**
 * HPACK's Huffman code (RFC 7541, appendix B). It is canonical: shorter codes first, those of one length in the
 * order of their symbols, so that the lengths say all.
 */
import { latin1 } from "../bytes.ts";

/** Bits of the code of each byte: `a` is 5, `b` is 6, … */
const LENGTHS =
  "isxxxxxxxtzxxzxxxxxxxxzxxxxxxxxxbffhibdgffdgdbbbaaabbbbbbbcdkbhf" +
  "ibccccccccccccccccccccccdcdioijbkabababbbaccbbbabcbaabccccckgjix" +
  "prpprrrsrssssststtrstssssqrsrsstrqprrssqsrrtqrssqqrqsrssprrrsrrs" +
  "vvporsruvvvwwvtuoqvwwvwtqqvvxwwwptpqrqqsrruuttvsvwvvwwwwwxwwwwwv";
const SHORTEST = 5;
const LONGEST = 30;
/** Padding is the beginning of the code of EOS, which is all ones (section 5.2). */
const MAX_PADDING_BITS = 7;

const FAILS = 0xffff;
const NO_SYMBOL = 0x100;

/** What four bits lead to from each inner node of the tree: the next node, and a symbol if one was completed. */
interface Machine {
  readonly next: Uint16Array;
  /** No code is shorter than five bits: there is one symbol at most. */
  readonly symbols: Uint16Array;
  /** The node is on the way to EOS, at most seven bits deep: a string may end there. */
  readonly mayEnd: Uint8Array;
}

function build(): Machine {
  /** Of each inner node both ways on: ≥ 0 is a node, < 0 is ~symbol, undefined leads nowhere. */
  const nodes: [number | undefined, number | undefined][] = [[undefined, undefined]];
  let code = 0;
  for (let length = SHORTEST; length <= LONGEST; length++) {
    for (let symbol = 0; symbol < 256; symbol++) {
      if (LENGTHS.charCodeAt(symbol) - 0x61 + SHORTEST !== length) continue;
      let node = 0;
      for (let bit = length - 1; bit > 0; bit--) {
        const way = (code >>> bit) & 1;
        let next = nodes[node]?.[way];
        if (next === undefined) {
          next = nodes.push([undefined, undefined]) - 1;
          (nodes[node] as (number | undefined)[])[way] = next;
        }
        node = next;
      }
      (nodes[node] as (number | undefined)[])[code & 1] = ~symbol;
      code += 1;
    }
    code *= 2;
  }
  const next = new Uint16Array(nodes.length * 16);
  const symbols = new Uint16Array(nodes.length * 16).fill(NO_SYMBOL);
  for (let from = 0; from < nodes.length; from++) {
    for (let bits = 0; bits < 16; bits++) {
      let node: number | undefined = from;
      for (let bit = 3; bit >= 0 && node !== undefined; bit--) {
        node = nodes[node]?.[(bits >> bit) & 1];
        if (node === undefined || node >= 0) continue;
        symbols[from * 16 + bits] = ~node;
        node = 0;
      }
      next[from * 16 + bits] = node ?? FAILS;
    }
  }
  const mayEnd = new Uint8Array(nodes.length);
  for (let node: number | undefined = 0, depth = 0; depth <= MAX_PADDING_BITS; depth++) {
    if (node !== undefined && node >= 0) mayEnd[node] = 1;
    node = nodes[node as number]?.[1];
  }
  return { next, symbols, mayEnd };
}

const machine = build();
/** No symbol has fewer bits. */
let scratch = new Uint8Array(1024);

/** @returns one char for each byte; undefined: that is no code */
export function decodeHuffman(bytes: Uint8Array, from: number, end: number): string | undefined {
  const most = Math.ceil(((end - from) * 8) / SHORTEST);
  if (scratch.length < most) scratch = new Uint8Array(most * 2);
  const { next, symbols, mayEnd } = machine;
  let length = 0;
  let node = 0;
  for (let at = from; at < end; at++) {
    const byte = bytes[at] as number;
    const high = node * 16 + (byte >> 4);
    node = next[high] as number;
    if (node === FAILS) return undefined;
    let symbol = symbols[high] as number;
    if (symbol !== NO_SYMBOL) scratch[length++] = symbol;
    const low = node * 16 + (byte & 15);
    node = next[low] as number;
    if (node === FAILS) return undefined;
    symbol = symbols[low] as number;
    if (symbol !== NO_SYMBOL) scratch[length++] = symbol;
  }
  return mayEnd[node] === 1 ? latin1(scratch.subarray(0, length)) : undefined;
}

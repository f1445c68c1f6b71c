import { setFlagsFromString } from "node:v8";

/**
 * For a process that bulk data flows through; call once, at its beginning. Each chunk that a socket reads is garbage a
 * moment later, outside V8's heap, and a scavenge of the little that lives frees it. Two habits of V8 (in Node 20 to 24)
 * made that dear:
 *
 * - It marks the whole heap as soon as that may grow by less than its new space (16 MiB) holds, and after each marking
 *   allows it to grow by no more than that: a heap of 10 MB was marked 20 times a second, a third of all processor time.
 *   With room for four times what lives it is marked when it grows.
 * - It scavenges with several threads, which wait for each other, actively, when other programs have the processors:
 *   4 ms each instead of 0.3.
 *
 * @param mayGrow false: there is a limit of memory, and marking often keeps the heap small
 */
export function tuneHeapForBulk({ mayGrow }: { readonly mayGrow: boolean }): void {
  if (mayGrow) setFlagsFromString("--heap-growing-percent=400");
  setFlagsFromString("--no-parallel-scavenge");
}

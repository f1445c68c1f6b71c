import { setFlagsFromString } from "node:v8";

/**
 * For a process that bulk data flows through; call once, at its beginning.
 *
 * Each chunk that a socket reads is garbage a moment later, outside V8's heap, and a scavenge frees it. But V8 (of Node
 * 20 to 24) also marks the whole heap as soon as that may grow by less than its new space (16 MiB) holds, and after
 * each marking allows it to grow by no more than that: a heap of 10 MB was marked 20 times a second, a third of all
 * processor time. With room for four times what lives it is marked when it grows.
 */
export function growHeapFreely(): void {
  setFlagsFromString("--heap-growing-percent=400");
}

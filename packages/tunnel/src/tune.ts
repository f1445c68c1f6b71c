import { tuneHeapForBulk } from "./heap.ts";
import { optimiseSoon } from "./optimise.ts";

/**
 * V8 for a process that relays; call once, at its beginning.
 * @param mayGrow false: there is a limit of memory, of which what compilers need is a part, too
 */
export function tuneForRelaying({ mayGrow }: { readonly mayGrow: boolean }): void {
  tuneHeapForBulk({ mayGrow });
  if (mayGrow) optimiseSoon();
}

/** A whole path that is about to be looked up, component by component: what is not known of it is asked for at once. */
import type { FileNode } from "./node.ts";
import type { World } from "./world.ts";

/** Links on the way of one path; the kernel gives up after as many (ELOOP). */
const MAX_LINKS = 40;
/** Directories on the way of one path that are listed for its sake. */
const MAX_ROUNDS = 4;

type Walked =
  | { readonly kind: "known" }
  | { readonly kind: "unknown"; readonly parent: FileNode; readonly rest: number };

export class Hints {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** @param path absolute, as a program gives it. Rejections do not matter: the lookup itself will say them. */
  async warm(path: string): Promise<void> {
    const { fetch, nodes, prefetch } = this.#world;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const walked = this.#walk(path);
      if (walked.kind === "known") return;
      const { parent } = walked;
      // Whoever was in the directory above goes on below it: there, more than this path is wanted.
      const isWalking =
        parent.parent?.parent &&
        nodes.isListingFresh(parent.parent) &&
        !nodes.isListingFresh(parent) &&
        parent.directory?.isTooLarge === false;
      if (!isWalking) return fetch.chain(path);
      await prefetch.listing(parent);
    }
  }

  #walk(path: string): Walked {
    const { nodes } = this.#world;
    let node = nodes.root;
    let links = 0;
    const rest = path.split("/").reverse();
    while (node && rest.length > 0) {
      const name = rest.pop() as string;
      if (name === "" || name === ".") continue;
      if (name === "..") {
        node = node.parent ?? node;
        continue;
      }
      if (!node.directory) return { kind: "known" };
      if (nodes.isAbsent(node, name)) return { kind: "known" };
      const child: FileNode | undefined = node.directory.children.get(name);
      if (!child || !nodes.isEntryFresh(child)) {
        return { kind: "unknown", parent: node, rest: rest.length };
      }
      if (!child.isLink) {
        node = child;
        continue;
      }
      if (!child.target || ++links > MAX_LINKS) return { kind: "known" };
      const target = Buffer.from(child.target).toString("latin1");
      if (target.startsWith("/")) node = nodes.root;
      rest.push(...target.split("/").reverse());
    }
    return { kind: "known" };
  }
}

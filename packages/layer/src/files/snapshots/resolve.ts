/** Where a path leads in the tree, by what is known of its links: as the kernel goes, inside the pod's root. Pure. */
import type { ByteString } from "@inpod/protocol";
import { isDirectory, isLink, type Node } from "./tree.ts";

/** MAXSYMLINKS of the kernel. */
const MAX_LINKS = 40;

export type Resolved =
  /** `at`: without links. */
  | { readonly kind: "found"; readonly at: ByteString; readonly node: Node }
  /** There is no such name in `parent` here; whether the pod has one the tree cannot say. */
  | { readonly kind: "none"; readonly at: ByteString; readonly parent: Node }
  | { readonly kind: "loop" | "not-directory"; readonly at: ByteString }
  /** Something on the way is not to be believed any more. */
  | { readonly kind: "old"; readonly at: ByteString };

/** @param follow the link at the end, too @param isBelieved asked of everything on the way but the root */
export function resolve(
  root: Node,
  path: ByteString,
  follow: boolean,
  isBelieved: (node: Node) => boolean = () => true,
): Resolved {
  let left = path.split("/");
  let way: { readonly name: ByteString; readonly node: Node }[] = [];
  let links = 0;
  const atNow = (name?: ByteString): ByteString =>
    `/${[...way.map((step) => step.name), ...(name === undefined ? [] : [name])].join("/")}`;
  while (left.length > 0) {
    const [name = "", ...rest] = left;
    left = rest;
    const here = way.at(-1)?.node ?? root;
    if (!isDirectory(here.attributes)) return { kind: "not-directory", at: atNow() };
    if (name === "" || name === ".") continue;
    if (name === "..") {
      way.pop();
      continue;
    }
    const node = here.children.get(name);
    if (!node) return { kind: "none", at: atNow(name), parent: here };
    if (!isBelieved(node)) return { kind: "old", at: atNow(name) };
    if (isLink(node.attributes) && (follow || left.some((next) => next !== ""))) {
      if (++links > MAX_LINKS) return { kind: "loop", at: atNow(name) };
      const target = node.target ?? "";
      if (target.startsWith("/")) way = [];
      left = [...target.split("/"), ...left];
      continue;
    }
    way.push({ name, node });
  }
  return { kind: "found", at: atNow(), node: way.at(-1)?.node ?? root };
}

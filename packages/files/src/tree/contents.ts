/** Contents of small files, the least recently used given up first. */
import type { FileNode } from "./node.ts";
import { versionOf } from "./node.ts";

export class Contents {
  readonly #limitBytes: number;
  readonly #kept = new Set<FileNode>();
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** @param bytes copied: they are a view of a much larger answer */
  keep(node: FileNode, bytes: Uint8Array): void {
    this.drop(node);
    node.content = { bytes: bytes.slice(), version: versionOf(node.attributes) };
    this.#kept.add(node);
    this.#bytes += bytes.length;
    for (const oldest of this.#kept) {
      if (this.#bytes <= this.#limitBytes) break;
      this.drop(oldest);
    }
  }

  use(node: FileNode): void {
    if (this.#kept.delete(node)) this.#kept.add(node);
  }

  drop(node: FileNode): void {
    if (!this.#kept.delete(node)) return;
    this.#bytes -= node.content?.bytes.length ?? 0;
    node.content = undefined;
  }
}

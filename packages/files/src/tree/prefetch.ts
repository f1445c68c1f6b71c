/**
 * What is asked for at once where one answer would do: round trips are what costs. Evidence of what a program is about
 * to do are the directories that it looked into before, those whose names it read, and the files that it opened.
 */
import { Errno } from "../fuse/numbers.ts";
import type { FileError } from "../remote/failures.ts";
import type { Fetch } from "./fetch.ts";
import type { Directory, FileNode } from "./node.ts";
import { INLINE_BYTES, UNWATCHED_MS } from "./policy.ts";

/** The same is not asked for again within this time: where nothing is watched it would be, every second. */
const AGAIN_AFTER_MS = 10_000;
/** Single names, within a second, after which the whole directory is asked for again. */
const LOOKS_BEFORE_LIST = 2;

export class Prefetch {
  readonly #fetch: Fetch;

  constructor(fetch: Fetch) {
    this.#fetch = fetch;
  }

  /**
   * A name about which nothing is known, or no more. Undefined: there is none.
   * @throws FileError
   */
  async look(parent: FileNode, name: string): Promise<FileNode | undefined> {
    const directory = parent.directory as Directory;
    if (!directory.isTooLarge && this.#wantsList(directory)) {
      await this.listing(parent).catch(refusedToList);
      const { nodes } = this.#fetch;
      if (nodes.isAbsent(parent, name)) return undefined;
      const node = directory.children.get(name);
      if (node && nodes.isEntryFresh(node)) return node;
    }
    return this.#fetch.look(parent, name, 0);
  }

  #wantsList(directory: Directory): boolean {
    if (!directory.wasListed) return true;
    const now = performance.now();
    if (now - directory.looksSinceMs > UNWATCHED_MS) {
      directory.looksSinceMs = now;
      directory.looks = 0;
    }
    return ++directory.looks > LOOKS_BEFORE_LIST;
  }

  /** The directory's names, and perhaps those of its neighbours, who seem to be next. */
  async listing(node: FileNode): Promise<void> {
    const { parent } = node;
    const { nodes } = this.#fetch;
    const directory = node.directory as Directory;
    const above = parent?.directory;
    // Of the pod's root the neighbours are /usr and /proc: nobody walks through all of them.
    if (parent?.parent && above && nodes.isListingFresh(parent)) {
      above.childrenListed++;
      const isWalk = above.wasRead || above.childrenListed > 1;
      const top = isWalk && isDue(above.treeAtMs) ? parent : node;
      const ofTop = top.directory as Directory;
      if (isDue(ofTop.treeAtMs)) {
        await this.#fetch.tree(top, ofTop.opens > 0 || directory.opens > 0);
        if (nodes.isListingFresh(node)) return;
      }
    }
    await this.#fetch.list(node, false);
  }

  /** A small file is opened whose content is not known. Undefined: its content does not come that way. */
  async content(node: FileNode): Promise<Uint8Array | undefined> {
    const { parent } = node;
    const directory = parent?.directory;
    if (!parent || !directory || node.attributes.size > INLINE_BYTES) return undefined;
    directory.opens++;
    const walked = [parent.parent, parent].find(
      (top) => top?.parent && Number.isFinite(top.directory?.treeAtMs),
    );
    if (walked?.directory) {
      walked.directory.opens++;
      if (isDue(walked.directory.contentsAtMs)) {
        await this.#fetch.tree(walked, true).catch(refusedToList);
        if (this.#known(node)) return node.currentContent;
      }
    }
    if (directory.opens > 1 && !directory.isTooLarge && isDue(directory.contentsAtMs)) {
      await this.#fetch.list(parent, true).catch(refusedToList);
      if (this.#known(node)) return node.currentContent;
    }
    await this.#fetch.refresh(node, INLINE_BYTES);
    return this.#known(node) ? node.currentContent : undefined;
  }

  #known(node: FileNode): boolean {
    return (
      this.#fetch.nodes.areAttributesFresh(node) &&
      !node.isGone &&
      node.currentContent !== undefined
    );
  }
}

const isDue = (atMs: number): boolean => performance.now() - atMs > AGAIN_AFTER_MS;

/** What may not be listed may still be entered: one name can be asked for. */
function refusedToList(error: FileError): void {
  if (error.errno !== Errno.EACCES && error.errno !== Errno.EPERM) throw error;
}

/** One name in one directory, and the file that it is. */
import type { FileAttributes } from "@inpod/protocol";
import { FileType } from "../fuse/numbers.ts";

export interface Content {
  readonly bytes: Uint8Array;
  readonly version: string;
}

/** What only directories have. */
export class Directory {
  /** Known names. All that there are while the listing is fresh. */
  readonly children = new Map<string, FileNode>();
  /** Names that there are not, and until when that is believed; apart from what a listing says. */
  readonly absent = new Map<string, number>();
  /** Absent names that the kernel was told under a lease, the last of them last. */
  readonly toldAbsent = new Set<string>();
  /** 0: none. Else what was learnt under it (the same number) holds until an event says otherwise. */
  lease = 0;
  /** The clock of the last event or own change of which names there are: what was asked before may be older. */
  changedAt = 0;
  /** When it was listed completely: under which lease, or until when that is believed. */
  listedLease = 0;
  listedUntilMs = 0;
  wasListed = false;
  isTooLarge = false;
  /** A program has read its names. */
  wasRead = false;
  /** Files in it that were opened to be read. */
  opens = 0;
  /** Directories in it that had to be listed. */
  childrenListed = 0;
  /** It was asked for with all that is below; and once more with contents. */
  treeAtMs = Number.NEGATIVE_INFINITY;
  contentsAtMs = Number.NEGATIVE_INFINITY;
  /** Single names that were asked for since `looksSinceMs`. */
  looks = 0;
  looksSinceMs = 0;

  tellAbsent(name: string): void {
    this.toldAbsent.delete(name);
    this.toldAbsent.add(name);
    const [oldest] = this.toldAbsent;
    if (this.toldAbsent.size > MAX_TOLD_ABSENT && oldest !== undefined)
      this.toldAbsent.delete(oldest);
  }
}

/** Of a directory. Of more than these the kernel believes the older ones for its time (LEASED_MS), whatever happens. */
const MAX_TOLD_ABSENT = 1000;

export class FileNode {
  /** What the kernel calls it. Never used twice. */
  readonly id: number;
  parent: FileNode | undefined;
  name: string;
  attributes: FileAttributes;
  readonly directory: Directory | undefined;
  /** That its name leads to this file: under which lease of its parent, or until when it is believed. */
  nameLease = 0;
  nameUntilMs = 0;
  /** The same for its attributes. Of a directory the lease is its own. */
  attributesLease = 0;
  attributesUntilMs = 0;
  /** The clock of the last event or own change of this file. */
  changedAt = 0;
  /** References that the kernel holds. */
  lookups = 0;
  /** Open files of it. */
  handles = 0;
  writers = 0;
  content: Content | undefined;
  target: Uint8Array | undefined;
  /** What access(2) was told, by mode, while the attributes hold. */
  access: Map<number, number> | undefined;
  /** The version whose pages the kernel has. */
  cachedVersion: string | undefined;
  /** Its name leads elsewhere now: only who has it open can still use it. */
  isGone = false;

  constructor(id: number, parent: FileNode | undefined, name: string, attributes: FileAttributes) {
    this.id = id;
    this.parent = parent;
    this.name = name;
    this.attributes = attributes;
    if (typeOf(attributes) === FileType.directory) this.directory = new Directory();
  }

  get isRegular(): boolean {
    return typeOf(this.attributes) === FileType.regular;
  }

  get isLink(): boolean {
    return typeOf(this.attributes) === FileType.link;
  }

  /** Where it is in the pod, as bytes, one in each char. */
  get path(): string {
    let path = "";
    for (let node: FileNode = this; node.parent; node = node.parent) path = `/${node.name}${path}`;
    return path === "" ? "/" : path;
  }

  /** The content, if it is that of the attributes. */
  get currentContent(): Uint8Array | undefined {
    return this.content?.version === versionOf(this.attributes) ? this.content.bytes : undefined;
  }
}

export const typeOf = (attributes: FileAttributes): number => attributes.mode & FileType.mask;

/** Another one: the content may be another. */
export const versionOf = ({ size, mtimeNs, ctimeNs, ino }: FileAttributes): string =>
  `${size} ${mtimeNs} ${ctimeNs} ${ino}`;

/** Whether a name leads to the same file as before. */
export const isSameFile = (a: FileAttributes, b: FileAttributes): boolean =>
  a.ino === b.ino && a.dev === b.dev && typeOf(a) === typeOf(b);

/** Limits and times of the caches, and the reasons for them. */

/** How long what the agent said may be believed where it cannot watch. */
export const UNWATCHED_MS = 1000;
/**
 * How long the kernel may answer by itself for what is leased. What a lease covers is invalidated at once; this
 * bounds what is lost when an invalidation meets an answer that is under way.
 */
export const LEASED_MS = 10_000;

/** Bytes: a file up to this size comes along with its attributes. */
export const INLINE_BYTES = 64 * 1024;
/** Of a listing whose names and attributes alone are wanted. */
export const LIST_BYTES = 1024 * 1024;
/** A directory with more is never kept whole: it is listed page by page, and looked into name by name. */
export const MAX_LISTED = 10_000;
export const TREE_ENTRIES = 4000;
export const TREE_BYTES = 1024 * 1024;
/** Of a tree or directory whose small files are read. */
export const CONTENTS_BYTES = 2 * 1024 * 1024;
/** Of the directory at the end of a path that the tap announces. */
export const CHAIN_BYTES = 256 * 1024;

export interface Limits {
  /** Bytes of small files' contents. */
  readonly contentBytes: number;
  /** Bytes that were read ahead and nobody has asked for yet. */
  readonly aheadBytes: number;
  /** Files that are known at once. The kernel is asked to forget some when there are more. */
  readonly nodes: number;
}

export const LIMITS: Limits = {
  contentBytes: 12 * 1024 * 1024,
  aheadBytes: 12 * 1024 * 1024,
  nodes: 30_000,
};

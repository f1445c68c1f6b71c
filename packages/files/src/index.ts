/**
 * The pod's files as a file system: the target's root is a FUSE mount without a mount point, served by a child process
 * that asks the agent's file service (protocol/src/file-service) through two streams of the tunnel.
 *
 * The caller has the root as a descriptor, opens below it what programs ask for, and hands those descriptors to them.
 * Reading, seeking, mapping and listing are the kernel's business from then on.
 *
 * Words: a *node* is a name in a directory and the file that it is, known to the kernel by a number; a *lease* is the
 * agent's promise to say when something in a directory is another; *fresh* is what may be told without asking.
 *
 * The process that uses a mount is never the one that serves it: it would wait for itself. This package never opens
 * anything below its own mount.
 */
export type { FilesChannel, FilesLink, FilesStream } from "./link.ts";
export type { ServerFigures, Via } from "./relay/frames.ts";
export type { FileServer, FileServerOptions } from "./server.ts";
export { FileServerFailed, FileServerRefused, startFileServer } from "./server.ts";
export type { Limits } from "./tree/policy.ts";

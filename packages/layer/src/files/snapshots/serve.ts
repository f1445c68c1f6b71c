/** Calls on the pod's files where nothing can be mounted: each waits until the tree has what it is about. */
import { closeSync, constants, openSync, statSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import type { ByteString } from "@inpod/protocol";
import { errnoNumber } from "@inpod/protocol";
import type { TargetFiles } from "@inpod/session";
import { PathOperation, type Tap, type TrappedCall } from "@inpod/tap";
import type { Reporter } from "../../config.ts";
import { errnoOf } from "../../errno.ts";
import type { PathDecision } from "../../rules/paths.ts";
import { makeFolder } from "./folder.ts";
import { type Opened, Snapshots } from "./snapshots.ts";
import { SnapshotTree, TreeError } from "./tree.ts";

/** open(2); Node does not name it. */
const O_PATH = 0o10000000;

type PathCall = Extract<TrappedCall, { kind: "path" }>;

/** Bytes of one file; of all that are kept. */
const FILE_BYTES = 64 * 1024 * 1024;
const ALL_BYTES = 256 * 1024 * 1024;

export interface SnapshotParts {
  readonly tap: Tap;
  readonly files: TargetFiles;
  readonly reporter: Reporter;
}

export class SnapshotServer {
  readonly #tap: Tap;
  readonly #reporter: Reporter;
  readonly #tree: SnapshotTree;
  readonly #snapshots: Snapshots;
  readonly #rootFd: number;
  /** Removed by close(), and by the keeper if we are killed. */
  readonly folder: string;

  /** @throws the error of the file system when there is no place for a directory of ours */
  constructor({ tap, files, reporter }: SnapshotParts) {
    const { path, isMemory } = makeFolder();
    this.folder = path;
    this.#tap = tap;
    this.#reporter = reporter;
    this.#tree = new SnapshotTree(path, tap.native);
    const limits = { fileBytes: FILE_BYTES, allBytes: ALL_BYTES };
    this.#snapshots = new Snapshots(this.#tree, files, { ...limits, isMemory });
    const { rootFolder } = this.#tree;
    this.#rootFd = openSync(rootFolder, constants.O_RDONLY | constants.O_DIRECTORY);
    const { dev: device } = statSync(rootFolder, { bigint: true });
    tap.setRemote({
      rootFd: this.#rootFd,
      device,
      prefix: rootFolder,
      isAsked: true,
      isReadOnly: true,
    });
  }

  /** Once. What programs have open they keep. */
  close(): void {
    this.#tap.setRemote(undefined);
    closeSync(this.#rootFd);
    this.#tree.close();
  }

  /** @param path the pod's, after mapping */
  async serve(call: PathCall, path: ByteString, decision: PathDecision): Promise<void> {
    try {
      await this.#serve(call, path, decision);
    } catch (error) {
      const errno = nameOf(error);
      if (decision.fallback && /^(ENOENT|ENOTDIR)$/.test(errno)) {
        this.#tap.continue(call.token);
        return;
      }
      if (errno === "EFBIG" || errno === "EOVERFLOW") this.#tellTooLarge(path, errno);
      this.#tap.reply(call.token, 0, errnoNumber(errno));
    }
  }

  async #serve(call: PathCall, path: ByteString, { fallback }: PathDecision): Promise<void> {
    if (call.operation === PathOperation.write || (isAccess(call) && call.mode & constants.W_OK)) {
      this.#tellReadOnly(call, path);
      this.#tap.reply(call.token, 0, errnoNumber("EROFS"));
      return;
    }
    if (isAccess(call) && (await this.#snapshots.mayAccess(path, call.mode))) {
      this.#tap.reply(call.token, 0);
      return;
    }
    if (call.call === "exec") await this.#fill(path);
    else if (call.call === "open") {
      const opened = await this.#open(path, call.flags);
      if (opened.kind === "descriptor") {
        this.#tap.replyDescriptor(call.token, opened.fd);
        return;
      }
      if (opened.kind === "memory") {
        const { mode, mtimeNs } = opened.attributes;
        const name = path.slice(-200);
        this.#tap.replyFile(call.token, { name, content: opened.content, mode, mtimeNs });
        return;
      }
    } else {
      await this.#snapshots.look(path);
    }
    this.#tap.serveRemote(call.token, path, { fallback });
  }

  /** What is executed is read by the tap, from the tree. */
  async #fill(path: ByteString): Promise<void> {
    const opened = await this.#snapshots.open(path, 0);
    if (opened.kind === "descriptor") closeSync(opened.fd);
    if (opened.kind === "memory") throw new TreeError("ENOSPC", "no room for a program");
  }

  /** With O_PATH too: such a descriptor can be read through /proc/self/fd. Not if that is all it will ever be. */
  async #open(path: ByteString, flags: number): Promise<Opened> {
    try {
      return await this.#snapshots.open(path, flags);
    } catch (error) {
      if (!(flags & O_PATH) || !/^(EFBIG|EOVERFLOW|ENXIO|EACCES)$/.test(nameOf(error))) throw error;
      await this.#snapshots.look(path);
      return { kind: "tree" };
    }
  }

  #tellReadOnly(call: PathCall, path: ByteString): void {
    const text = `${path} of the pod is not written to (${call.call}: EROFS): without FUSE its files are only read; inpod doctor says what FUSE needs here`;
    this.#reporter.notice({ key: "snapshots: write", text });
  }

  #tellTooLarge(path: ByteString, errno: string): void {
    const what =
      errno === "EFBIG" ? `is larger than ${FILE_BYTES / 1024 / 1024} MiB` : "has too many entries";
    const text = `${path} of the pod ${what}, which without FUSE is not served (${errno}); inpod doctor says what FUSE needs here`;
    this.#reporter.notice({ key: `snapshots: large ${path}`, text });
  }
}

const isAccess = ({ call }: PathCall): boolean => call === "access";

/** Of a TreeError, a TunnelFailure, or of the file system in which the tree stands. */
function nameOf(error: unknown): string {
  const { errno, code } = error as { errno?: unknown; code?: unknown };
  if (typeof errno === "number" && typeof code === "string") return getSystemErrorName(errno);
  return errnoOf(error);
}

/**
 * Calls with a path: the developer's file, or the pod's. A file of the pod is served whole, as a sealed memfd;
 * directories, writing and larger files stay the developer's in this version, and --verbose says so.
 */
import { constants, readFileSync } from "node:fs";
import type { ByteString, FileStat } from "@inpod/protocol";
import { errnoNumber } from "@inpod/protocol";
import type { Session } from "@inpod/session";
import { PathOperation, type Tap, type TrappedCall } from "@inpod/tap";
import type { Reporter } from "../config.ts";
import { errnoOf } from "../errno.ts";
import type { PathDecision } from "../rules/paths.ts";
import { nsswitchWithPodHosts } from "../rules/resolver.ts";

type PathCall = Extract<TrappedCall, { kind: "path" }>;

const MAX_FILE_BYTES = 4 * 1024 * 1024;
const AT_SYMLINK_NOFOLLOW = 0x100;
const NSSWITCH = "/etc/nsswitch.conf";
const MAX_NSSWITCH_BYTES = 64 * 1024;

export class Files {
  readonly #tap: Tap;
  readonly #session: Session;
  readonly #reporter: Reporter;

  constructor(tap: Tap, session: Session, reporter: Reporter) {
    this.#tap = tap;
    this.#session = session;
    this.#reporter = reporter;
  }

  /** @param path after feature.fs.mapping */
  async serve(call: PathCall, path: ByteString, decision: PathDecision): Promise<void> {
    switch (decision.verdict) {
      case "local":
        this.#tap.continue(call.token);
        return;
      case "not-found":
        this.#tap.reply(call.token, 0, errnoNumber("ENOENT"));
        return;
      case "nsswitch":
        this.#serveNsswitch(call);
        return;
      case "remote":
        await this.#serveRemote(call, path, decision);
    }
  }

  async #serveRemote(call: PathCall, path: ByteString, decision: PathDecision): Promise<void> {
    try {
      switch (call.call) {
        case "open":
          await this.#open(call, path);
          return;
        case "stat": {
          const follow = (call.flags & AT_SYMLINK_NOFOLLOW) === 0;
          const { files } = this.#session;
          this.#replyStat(call.token, await (follow ? files.stat(path) : files.lstat(path)));
          return;
        }
        case "access":
          await this.#access(call, path);
          return;
        case "readlink":
          this.#tap.replyReadlink(
            call.token,
            Buffer.from(await this.#session.files.readlink(path), "latin1"),
          );
          return;
        default:
          // They are asked about when there is a remote root, and then it is there that they are served.
          this.#stayLocal(call, path, "without the pod's filesystem only looked at and read");
      }
    } catch (error) {
      const errno = errnoOf(error);
      if (decision.fallback && (errno === "ENOENT" || errno === "ENOTDIR")) {
        this.#stayLocal(call, path, "the pod has no such file");
      } else {
        this.#tap.reply(call.token, 0, errnoNumber(errno));
      }
    }
  }

  async #open(call: PathCall, path: ByteString): Promise<void> {
    if (call.operation !== PathOperation.read || call.flags & constants.O_DIRECTORY) {
      const what =
        call.operation === PathOperation.write
          ? "files of the pod are not written to"
          : "directories of the pod are not opened";
      this.#stayLocal(call, path, `${what} in this version`);
      return;
    }
    if (call.flags & constants.O_NOFOLLOW) {
      const { mode } = await this.#session.files.lstat(path);
      if ((mode & constants.S_IFMT) === constants.S_IFLNK) {
        this.#tap.reply(call.token, 0, errnoNumber("ELOOP"));
        return;
      }
    }
    try {
      const { stat, content } = await this.#session.files.read(path, MAX_FILE_BYTES);
      this.#tap.replyFile(call.token, {
        name: path.slice(-200),
        content,
        mode: stat.mode,
        mtimeNs: BigInt(stat.mtimeNs),
      });
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "EFBIG") {
        const text = `${path} of the pod is larger than 4 MiB, which this version cannot serve; the program sees the file of this machine, if any`;
        this.#reporter.notice({ key: `large ${path}`, text });
        this.#stayLocal(call, path, "larger than 4 MiB");
      } else if (errno === "EISDIR" || errno === "EINVAL") {
        this.#stayLocal(call, path, "not a regular file in the pod");
      } else {
        throw error;
      }
    }
  }

  async #access(call: PathCall, path: ByteString): Promise<void> {
    if (call.mode & constants.W_OK) {
      this.#stayLocal(call, path, "files of the pod are not written to in this version");
      return;
    }
    await this.#session.files.access(path, call.mode);
    this.#tap.reply(call.token, 0);
  }

  #stayLocal(call: PathCall, path: ByteString, why: string): void {
    this.#reporter.decision({ call: call.call, subject: path, verdict: "local", why });
    this.#tap.continue(call.token);
  }

  #replyStat(token: number, stat: FileStat): void {
    this.#tap.replyStat(token, {
      mode: stat.mode,
      size: BigInt(stat.size),
      ino: BigInt(stat.ino),
      dev: BigInt(stat.dev),
      nlink: stat.nlink,
      uid: stat.uid,
      gid: stat.gid,
      rdev: BigInt(stat.rdev),
      blksize: stat.blksize,
      blocks: BigInt(stat.blocks),
      atimeNs: BigInt(stat.atimeNs),
      mtimeNs: BigInt(stat.mtimeNs),
      ctimeNs: BigInt(stat.ctimeNs),
    });
  }

  /** The machine's own file but for its `hosts:` line, so that only files and DNS (the pod's) give names. */
  #serveNsswitch(call: PathCall): void {
    if (call.call !== "open" || call.operation !== PathOperation.read) {
      this.#tap.continue(call.token);
      return;
    }
    let local = "";
    try {
      local = readFileSync(NSSWITCH, "latin1").slice(0, MAX_NSSWITCH_BYTES);
    } catch {
      // No such file (musl, minimal images): the one line is enough.
    }
    const content = Buffer.from(nsswitchWithPodHosts(local), "latin1");
    this.#tap.replyFile(call.token, { name: NSSWITCH, content, mode: 0o100644, mtimeNs: 0n });
  }
}

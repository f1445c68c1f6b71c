/** Puts the server together: the mount, the connection to the kernel, the tree, and the tap's hints. */
import { readFileSync } from "node:fs";
import { AnswerWriter, type Owner } from "./fuse/answers.ts";
import { FuseConnection } from "./fuse/connection.ts";
import { HintSocket } from "./hint-socket.ts";
import type { FilesLink } from "./link.ts";
import { type Mounted, mount } from "./mount/mount.ts";
import type { Native } from "./native.ts";
import type { ServerFigures, Via } from "./relay/frames.ts";
import { FileService } from "./remote/file-service.ts";
import { Hints } from "./tree/hints.ts";
import { Invalidation } from "./tree/invalidation.ts";
import type { Limits } from "./tree/policy.ts";
import { Tree } from "./tree/tree.ts";
import { World } from "./tree/world.ts";

export interface Serving {
  readonly mounted: Mounted;
  /** The tap's end, to be handed over. */
  readonly hintFd: number;
  figures(): ServerFigures;
}

/** @throws NoMount, FileError about the root */
export async function serve(options: {
  native: Native;
  link: FilesLink;
  limits: Limits;
  ways: readonly Via[];
  log: (text: string) => void;
  onEnd: (why: string) => void;
}): Promise<Serving> {
  const { native, log } = options;
  const onBug = (error: unknown) =>
    log(error instanceof Error ? (error.stack ?? error.message) : String(error));
  const service = new FileService(options.link, {
    onEvent: (event) => invalidation.event(event),
    onLoss: () => invalidation.all(),
    onBug,
  });
  const owner = shownOwner();
  const world = new World({
    service,
    writer: new AnswerWriter(owner),
    owner,
    limits: options.limits,
  });
  const invalidation = new Invalidation(world.nodes, () => world.nodes.kernel);
  const [mounted] = await Promise.all([mount(native, options.ways), world.fetch.root()]);
  const connection = new FuseConnection({
    native,
    device: mounted.device,
    notifying: mounted.notifying,
    handler: new Tree(world),
    // Told as an error of the device, whatever ended it.
    onEnd: () => options.onEnd("nobody uses the mount any more, or the kernel has given it up"),
    onBug,
  });
  world.nodes.kernel = connection;
  const hints = new HintSocket(native, new Hints(world));
  return {
    mounted,
    hintFd: hints.tapFd,
    figures: () => ({
      asked: Object.fromEntries(service.counts),
      fuse: Object.fromEntries(connection.counts),
      nodes: world.nodes.size,
      residentBytes: process.memoryUsage.rss(),
    }),
  };
}

/**
 * Root sees who owns the pod's files. For another user they would be of somebody whom his user namespace does not know,
 * and the kernel would let him write none of them.
 */
function shownOwner(): Owner | undefined {
  const uid = process.geteuid?.() ?? 0;
  const gid = process.getegid?.() ?? 0;
  return uid === 0 && hasAllIds() ? undefined : { uid, gid };
}

function hasAllIds(): boolean {
  const [first, outside, count] = readFileSync("/proc/self/uid_map", "latin1").trim().split(/\s+/);
  return first === "0" && outside === "0" && Number(count) === 0xffff_ffff;
}

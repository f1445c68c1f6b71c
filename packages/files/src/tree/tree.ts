/** The pod's tree as the kernel asks for it: each request goes to who answers it. */
import type { Answer } from "../fuse/answers.ts";
import type { Handler } from "../fuse/connection.ts";
import { Errno } from "../fuse/numbers.ts";
import type { Request } from "../fuse/requests.ts";
import { Changes, refusesNode } from "./changes.ts";
import { Directories } from "./directories.ts";
import { Lookups } from "./lookups.ts";
import { OpenFiles } from "./open-files.ts";
import type { World } from "./world.ts";

export class Tree implements Handler {
  readonly #world: World;
  readonly #lookups: Lookups;
  readonly #directories: Directories;
  readonly #files: OpenFiles;
  readonly #changes: Changes;

  constructor(world: World) {
    this.#world = world;
    this.#lookups = new Lookups(world);
    this.#directories = new Directories(world);
    this.#files = new OpenFiles(world);
    this.#changes = new Changes(world, this.#files);
  }

  forget(node: number, count: number): void {
    this.#world.nodes.forget(node, count);
  }

  handle({ node, body }: Request): Answer | Promise<Answer> {
    switch (body.op) {
      case "lookup":
        return this.#lookups.lookup(node, body.name);
      case "getattr":
        return this.#lookups.getattr(node);
      case "readlink":
        return this.#lookups.readlink(node);
      case "access":
        return this.#lookups.access(node, body.mode);
      case "statfs":
        return this.#lookups.statfs(node);
      case "getxattr":
        return this.#lookups.getxattr(node, body.name, body.size);
      case "listxattr":
        return this.#lookups.listxattr(node, body.size);
      case "opendir":
        return this.#directories.open(node);
      case "readdir":
      case "readdirplus":
        return this.#directories.read(
          body.handle,
          body.offset,
          body.size,
          body.op === "readdirplus",
        );
      case "releasedir":
        return this.#directories.release(body.handle);
      case "open":
        return this.#files.open(node, body.flags);
      case "read":
        return this.#files.read(body.handle, body.offset, body.size);
      case "write":
        return this.#files.write(body.handle, body.offset, body.data);
      case "release":
        return this.#files.release(body.handle);
      case "fsync":
        return this.#files.fsync(body.handle, body.isDataOnly);
      case "fallocate":
        return this.#files.fallocate(body.handle, body.mode, body.offset, body.length);
      case "lseek":
        return this.#files.lseek(body.handle, body.offset, body.whence);
      case "copyFileRange":
        return this.#files.copy(body.from, body.to, body.length);
      case "create":
        return this.#changes.create(node, body.name, body.flags, body.mode);
      case "mknod":
        return refusesNode(body.mode) ?? this.#changes.mknod(node, body.name, body.mode);
      case "mkdir":
        return this.#changes.mkdir(node, body.name, body.mode);
      case "symlink":
        return this.#changes.symlink(node, body.name, body.target);
      case "link":
        return this.#changes.link(body.source, node, body.name);
      case "unlink":
      case "rmdir":
        return this.#changes.remove(node, body.name, body.op);
      case "rename":
        return this.#changes.rename(node, body.name, body.newParent, body.newName, body.flags);
      case "setattr":
        return this.#changes.setattr(node, body);
      case "setxattr":
        return this.#changes.setxattr(node, body.name, body.value, body.flags);
      case "removexattr":
        return this.#changes.removexattr(node, body.name);
      default:
        return { errno: Errno.ENOSYS };
    }
  }
}

/** Cgroups with names of runtimes' kind, by which a container is found. */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The named hierarchy of version 1, or version 2. */
const HIERARCHIES = ["systemd", "unified", ""].map((name) => join("/sys/fs/cgroup", name));
const hierarchy = HIERARCHIES.find((path) => existsSync(join(path, "cgroup.procs")));
export const noCgroups = hierarchy === undefined && "needs a cgroup hierarchy";

export class Cgroup {
  readonly #path: string;

  constructor(name: string) {
    if (hierarchy === undefined) throw new Error("no cgroup hierarchy is mounted");
    this.#path = join(hierarchy, name);
    mkdirSync(this.#path);
  }

  enroll(pid: number): void {
    writeFileSync(join(this.#path, "cgroup.procs"), String(pid));
  }

  /** When its processes have ended: a zombie of somebody else's is still a member, for a moment. */
  async remove(): Promise<void> {
    for (let tries = 0; tries < 500; tries++) {
      try {
        rmdirSync(this.#path);
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
    throw new Error(`${this.#path} cannot be removed`);
  }
}

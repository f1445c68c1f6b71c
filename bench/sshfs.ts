/** sshfs, which a developer would use in inpod's place: a server of our own on loopback, and a mount. */
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import type { Bed } from "./bed.ts";

const run = promisify(execFile);
const SSHD = "/usr/sbin/sshd";
const TIMEOUT_MS = 20_000;
const PRIVILEGE_SEPARATION = "/run/sshd";

/** A sentence where it cannot be measured. */
export function sshfsMissing(): string | undefined {
  if (process.getuid?.() !== 0) return "the ssh server of the comparison is started by root";
  for (const path of [SSHD, "/usr/bin/sshfs", "/usr/bin/ssh-keygen", "/dev/fuse"]) {
    if (!existsSync(path)) return `there is no ${path}`;
  }
  return undefined;
}

export class SshServer {
  readonly port: number;
  readonly #folder: string;
  #mounts = 0;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.port = port;
  }

  static async start(bed: Bed): Promise<SshServer> {
    const folder = join(bed.folder, "ssh");
    mkdirSync(folder, { mode: 0o700 });
    mkdirSync(PRIVILEGE_SEPARATION, { recursive: true });
    for (const name of ["host", "user"]) {
      await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, name)]);
    }
    const port = await freePort();
    const config = [
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      `HostKey ${join(folder, "host")}`,
      `AuthorizedKeysFile ${join(folder, "user.pub")}`,
      "PasswordAuthentication no",
      "StrictModes no",
      "PermitRootLogin yes",
      "UsePAM no",
      `PidFile ${join(folder, "pid")}`,
      "Subsystem sftp internal-sftp",
    ];
    writeFileSync(join(folder, "config"), `${config.join("\n")}\n`);
    const server = spawn(SSHD, ["-D", "-e", "-f", join(folder, "config")], { stdio: "ignore" });
    bed.own(server);
    return new SshServer(folder, port);
  }

  /** @param port where the server is reached. The mount's path. */
  async mount(directory: string, port: number): Promise<string> {
    const at = join(this.#folder, `mount-${++this.#mounts}`);
    mkdirSync(at);
    const options = [
      `IdentityFile=${join(this.#folder, "user")}`,
      "StrictHostKeyChecking=no",
      "UserKnownHostsFile=/dev/null",
      "BatchMode=yes",
    ].flatMap((option) => ["-o", option]);
    const argv = [...options, "-p", String(port), `127.0.0.1:${directory}`, at];
    const deadline = Date.now() + TIMEOUT_MS;
    for (;;) {
      try {
        await run("sshfs", argv, { timeout: TIMEOUT_MS });
        return at;
      } catch (error) {
        if (Date.now() > deadline) throw error;
        await delay(100); // the server is not listening yet
      }
    }
  }

  async unmount(at: string): Promise<void> {
    await run("fusermount3", ["-u", "-z", at], { timeout: TIMEOUT_MS });
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

/** Whether this machine can run a tapped process; asked before anything is made in a cluster. */
import { release } from "node:os";
import { getSystemErrorName } from "node:util";
import { UserError } from "@inpod/protocol";
import type { Tap, TapError } from "@inpod/tap";

/** SECCOMP_ADDFD_FLAG_SEND (seccomp_unotify(2)): an open is answered in one step that no signal can split. */
const OLDEST_KERNEL = [5, 14] as const;

const notLinux = (platform: string): UserError =>
  new UserError("NOT_LINUX", `exec needs Linux, and this is ${platform}`, {
    hints: [
      "run inpod in WSL2 (Windows), or in a Linux VM such as Lima or Colima (macOS)",
      "or in a dev container: docker run --cap-add SYS_PTRACE …",
    ],
  });

const oldKernel = (version: string): UserError =>
  new UserError(
    "KERNEL_TOO_OLD",
    `Linux ${version} is too old: exec needs ${OLDEST_KERNEL.join(".")} or newer`,
    {
      hints: ["run inpod on a newer machine, VM or WSL2 kernel (wsl --update)"],
    },
  );

const getFdRefused = (errno: string): UserError =>
  new UserError(
    "PIDFD_GETFD_REFUSED",
    "this machine refuses pidfd_getfd, without which sockets cannot be taken over",
    {
      cause: new Error(errno),
      hints: [
        "in a container it is Docker's default seccomp profile: start it with --cap-add SYS_PTRACE",
        "with podman or another runtime: a seccomp profile that allows pidfd_getfd",
      ],
    },
  );

export const tapRefused = (error: TapError): UserError =>
  new UserError(
    "TAP_REFUSED",
    "the system calls of your program cannot be watched on this machine",
    {
      cause: error,
      hints: [
        "EBUSY: something above already watches it (inpod inside inpod, or a runtime's seccomp agent)",
        "EINVAL or ENOSYS: the kernel lacks CONFIG_SECCOMP_FILTER, or a sandbox such as gVisor stands for it",
      ],
    },
  );

/** @throws UserError naming the setting that refuses */
export function checkPlatform(
  platform: NodeJS.Platform = process.platform,
  version: string = release(),
): void {
  if (platform !== "linux") throw notLinux(platform);
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_KERNEL;
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor))
    throw oldKernel(version);
}

/** @throws UserError */
export function checkTap(tap: Tap): void {
  const result = tap.native.probeGetFd();
  if (result < 0) throw getFdRefused(getSystemErrorName(result));
}

/**
 * Whether `exec` can be at home on this machine, by what is known without loading anything: the command line asks
 * before it loads the tap, which exists on Linux only.
 */
import { release } from "node:os";
import { UserError } from "@inpod/protocol";

/** SECCOMP_ADDFD_FLAG_SEND (seccomp_unotify(2)): an open is answered in one step that no signal can split. */
const OLDEST_KERNEL = [5, 14] as const;

const notLinux = (platform: string): UserError =>
  new UserError("MACHINE_NOT_LINUX", `inpod exec needs Linux, and this is ${platform}`, {
    hints: [
      "run inpod in WSL2 (Windows), or in a Linux VM such as Lima or Colima (macOS)",
      "or in a dev container: docker run --cap-add SYS_PTRACE …",
    ],
  });

const oldKernel = (version: string): UserError =>
  new UserError(
    "MACHINE_OLD_KERNEL",
    `Linux ${version} is too old: inpod exec needs ${OLDEST_KERNEL.join(".")} or newer`,
    { hints: ["run inpod on a newer machine, VM or WSL2 kernel (wsl --update)"] },
  );

/**
 * @param version as uname -r has it: "6.1.0-18-amd64", "5.15.167.4-microsoft-standard-WSL2"
 * @throws UserError naming what is to change
 */
export function checkPlatform(
  platform: NodeJS.Platform = process.platform,
  version: string = release(),
): void {
  if (platform !== "linux") throw notLinux(platform);
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  const [oldestMajor, oldestMinor] = OLDEST_KERNEL;
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    throw oldKernel(version);
  }
}

/** Whether this machine lets a process be tapped; asked before anything is made in a cluster. */
import { getSystemErrorName } from "node:util";
import { UserError } from "@inpod/protocol";
import type { Tap, TapError } from "@inpod/tap";

const getFdRefused = (errno: string): UserError =>
  new UserError(
    "MACHINE_PIDFD_GETFD_REFUSED",
    "this machine refuses pidfd_getfd, without which sockets cannot be taken over",
    {
      cause: new Error(errno),
      hints: [
        "in a container it is the default seccomp profile: start it with --cap-add SYS_PTRACE",
        "in a pod: securityContext: {capabilities: {add: [SYS_PTRACE]}}",
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

/** @throws UserError */
export function checkTap(tap: Tap): void {
  const result = tap.native.probeGetFd();
  if (result < 0) throw getFdRefused(getSystemErrorName(result));
}

/**
 * A directory that plays the pod's files: a tmpfs that is mounted nowhere, as the file server's own filesystem is. An
 * ordinary user makes it in a user namespace.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fstatSync } from "node:fs";
import { script, tap } from "./support.ts";

const MAKE = `import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def check(result, what):
  if result < 0: raise OSError(ctypes.get_errno(), what)
  return result
uid, gid = os.getuid(), os.getgid()
if uid != 0:
  check(libc.unshare(0x10000000 | 0x00020000), "unshare")
  open("/proc/self/setgroups", "w").write("deny")
  open("/proc/self/uid_map", "w").write(f"{uid} {uid} 1")
  open("/proc/self/gid_map", "w").write(f"{gid} {gid} 1")
fs = check(libc.syscall(430, b"tmpfs", 1), "fsopen")
check(libc.syscall(431, fs, 6, None, None, 0), "fsconfig")
mount = check(libc.syscall(432, fs, 1, 0), "fsmount")
socket.send_fds(socket.socket(fileno=3), [b"M"], [mount])
`;

export interface MadeRoot {
  readonly rootFd: number;
  readonly device: bigint;
  /** Where this test can reach a path of it. */
  at(path: string): string;
}

export async function makeRemoteRoot(): Promise<MadeRoot> {
  const pair = tap.native.socketPair();
  if (typeof pair === "number") throw new Error(`socketpair: ${pair}`);
  const [ours, theirs] = pair;
  const child = spawn("python3", [script("make-root.py", MAKE)], {
    stdio: ["ignore", "ignore", "inherit", theirs],
  });
  tap.native.close(theirs);
  await once(child, "exit");
  const rootFd = tap.native.receiveListener(ours);
  tap.native.close(ours);
  if (rootFd < 0) throw new Error(`no detached tmpfs: ${rootFd}`);
  const { dev: device } = fstatSync(rootFd, { bigint: true });
  return { rootFd, device, at: (path) => `/proc/self/fd/${rootFd}${path}` };
}

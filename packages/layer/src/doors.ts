/**
 * What the tap needs of a machine, and what it means where one of it is refused or missing: for `exec`, which ends, and for
 * `inpod doctor`. Pure.
 */
import type { Door } from "@inpod/tap";

/** Without one of them nothing works; in the order in which they are told, because one may explain the next. */
export const NEEDED = [
  "seccomp",
  "addfd-send",
  "proc",
  "pidfd_getfd",
  "process_vm_readv",
  "process_vm_writev",
  "openat2",
  "memfd_create",
  "so-cookie",
] as const satisfies readonly Door[];
export type NeededDoor = (typeof NEEDED)[number];

/** What has another way, or is missed in some places only. */
export const BETTER = ["ptrace", "wake-up", "wait-killable"] as const satisfies readonly Door[];
export type BetterDoor = (typeof BETTER)[number];

interface Meaning {
  readonly what: string;
  readonly why: string;
}

export const MEANING: Readonly<Record<NeededDoor | BetterDoor, Meaning>> = {
  seccomp: {
    what: "this machine refuses seccomp user notification",
    why: "by it inpod sees system calls",
  },
  "addfd-send": {
    what: "this kernel cannot answer a call with a descriptor (SECCOMP_ADDFD_FLAG_SEND, Linux 5.14)",
    why: "by it inpod opens files and accepts connections in your program's place",
  },
  proc: {
    what: "/proc does not show what this user runs",
    why: "by it inpod knows which program calls",
  },
  pidfd_getfd: {
    what: "this machine refuses pidfd_getfd",
    why: "by it inpod takes sockets of your program over",
  },
  process_vm_readv: {
    what: "this machine refuses to read a child's memory (process_vm_readv)",
    why: "there are the arguments of your program's calls",
  },
  process_vm_writev: {
    what: "this machine refuses to write a child's memory (process_vm_writev)",
    why: "answers are put there",
  },
  openat2: {
    what: "this machine refuses openat2",
    why: "by it inpod finds the pod's files without leaving their root",
  },
  memfd_create: {
    what: "this machine refuses memfd_create",
    why: "your program gets its variables and files of the pod by it",
  },
  "so-cookie": {
    what: "this machine does not name sockets (getsockopt of SO_COOKIE)",
    why: "by it inpod knows a socket that is duplicated or passed on",
  },
  ptrace: {
    what: "this machine refuses to trace a child (ptrace)",
    why: "your program cannot work in the pod's directories or execute the pod's programs (EOPNOTSUPP); all else works",
  },
  "wake-up": {
    what: "this kernel has no seccomp wake-up on the same processor (Linux 6.6)",
    why: "each watched call may take some microseconds more; nothing else changes",
  },
  "wait-killable": {
    what: "this kernel lets a signal interrupt a call that inpod has in hand (no SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, Linux 5.19)",
    why: "a program with many signals can, very rarely, lose a datagram or send it twice, or find what it made itself (EISCONN, EEXIST)",
  },
};

export interface Surroundings {
  /** kernel.yama.ptrace_scope; undefined: no Yama. */
  readonly ptraceScope: number | undefined;
  /** Of this process's environment: it is a child of `inpod exec`. */
  readonly isInsideInpod: boolean;
}

/** What a person can do; most likely first. */
export function doorHints(door: NeededDoor, errno: string, around: Surroundings): string[] {
  const { ptraceScope, isInsideInpod } = around;
  if (door === "seccomp" && errno === "EBUSY")
    return isInsideInpod
      ? [
          "this is inside of inpod exec: run it in another terminal, where no inpod is above it",
          "or have both commands in one session: inpod exec … -- sh -c 'one & two'",
        ]
      : [
          "run inpod outside of what watches: a container engine's seccomp agent, another tool of this kind",
        ];
  if (door === "seccomp")
    return [
      "EINVAL or ENOSYS: the kernel lacks CONFIG_SECCOMP_FILTER, or a sandbox such as gVisor stands for it",
      "EPERM: a container's seccomp profile: --security-opt seccomp=unconfined",
    ];
  const isLooking = ["pidfd_getfd", "process_vm_readv", "process_vm_writev"].includes(door);
  if (isLooking && ptraceScope !== undefined && ptraceScope >= 2)
    return ptraceScope === 2
      ? [
          "kernel.yama.ptrace_scope is 2: sudo sysctl kernel.yama.ptrace_scope=1 (descendants only), or run inpod as root",
        ]
      : [
          `kernel.yama.ptrace_scope is ${ptraceScope}, which only a restart changes: set it to 1 in /etc/sysctl.d`,
        ];
  // A seccomp profile says EPERM; so does the kernel itself.
  if (isLooking && errno === "EACCES")
    return [
      "a security module refuses it: of SELinux sudo setsebool deny_ptrace off; of AppArmor a profile of inpod's parents (journalctl -k)",
    ];
  if (isLooking)
    return [
      "in a container it is the default seccomp profile: start it with --cap-add SYS_PTRACE",
      "in a pod: securityContext: {capabilities: {add: [SYS_PTRACE]}}",
    ];
  if (door === "proc") return ["mount /proc without hidepid, or with gid= of a group of yours"];
  if (errno === "EPERM" || errno === "EACCES")
    return ["in a container it is the seccomp profile: --security-opt seccomp=unconfined"];
  return [
    "run inpod on a newer kernel, VM or WSL2 (wsl --update), and not in a sandbox such as gVisor",
  ];
}

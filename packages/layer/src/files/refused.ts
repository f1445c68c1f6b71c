/** What cannot be done with the pod's files as in the pod, told once for each kind. */
import type { TapEvent } from "@inpod/tap";
import type { Notice } from "../config.ts";

type Refused = Extract<TapEvent, { kind: "refused" }>;

export function refusedNotice({ call, path, why }: Refused): Notice {
  return { key: `refused ${call} ${why}`, text: refusedText(call, path, why) };
}

function refusedText(call: Refused["call"], path: string, why: Refused["why"]): string {
  const what = call === "exec" ? "execute a program of the pod" : "work in a directory of the pod";
  switch (why) {
    case "traced":
      return `${path}: a program that a debugger or strace has hold of cannot ${what} (EOPNOTSUPP): attach later, or start it without`;
    case "ptrace":
      return `${path}: a program cannot ${what} where inpod may not trace it (EOPNOTSUPP): it is another user's, or kernel.yama.ptrace_scope is 2 or 3; 1 is enough`;
    case "32-bit":
      return `${path}: a 32-bit program cannot ${what} (EOPNOTSUPP): use a 64-bit build of it, or its files by their absolute paths`;
    case "size":
      return `${path}: a program of the pod is executed from a copy in memory, and this one is larger than 256 MiB (ENOMEM)`;
    case "inotify":
      return `${path}: the kernel here cannot watch the pod's files, so the program is told that there are no watches left (ENOSPC); most poll then`;
  }
}

/** Test programs for file systems that others have written, as `scripts/prepare.sh tests` installs them. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const suiteProgram = (name: "fsx" | "pjdfstest"): string =>
  fileURLToPath(new URL(`../../../.cache/file-suite/bin/${name}`, import.meta.url));

/** For `skip`. */
export const suiteMissing = (name: "fsx" | "pjdfstest"): string | false =>
  existsSync(suiteProgram(name)) ? false : `${name} is not installed (scripts/prepare.sh tests)`;

/** For `skip`. */
export function missing(program: string): string | false {
  try {
    execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
    return false;
  } catch {
    return `there is no ${program}`;
  }
}

export interface SuiteResult {
  readonly passed: ReadonlySet<string>;
  readonly failed: ReadonlySet<string>;
  readonly skipped: ReadonlySet<string>;
}

/** What pjdfstest printed: `CASE   ok|FAILED|skipped…`, one in a line. */
export function readSuiteResult(stdout: string): SuiteResult {
  const found = {
    passed: new Set<string>(),
    failed: new Set<string>(),
    skipped: new Set<string>(),
  };
  for (const line of stdout.split("\n")) {
    const [, name = "", result = ""] = /^(\S+::\S+)\s+(\S+)/.exec(line) ?? [];
    if (name === "") continue;
    if (result === "ok" || result === "success") found.passed.add(name);
    else if (/^skipped/.test(result)) found.skipped.add(name);
    else found.failed.add(name);
  }
  return found;
}

/** Cases that fail, and why that is as it should be. */
export const LEFT_OUT: readonly { readonly cases: RegExp; readonly why: string }[] = [
  { cases: /::(block|char)$/, why: "device files are not made in a pod" },
  {
    cases: /::socket$|::socket_error$/,
    why: "a unix socket is bound on this machine: what the pod's file system would hold is no socket of it",
  },
  {
    cases:
      /::(unchanged_ctime_fail(s|ed)|failed_chmod_unchanged_ctime|write_perm|nobody|utime_now_nobody)(::|$)/,
    why: "the case becomes another user of this machine, and the pod's files are the target's user's to change",
  },
  {
    cases: /::(uid_gid_eq_euid_egid|clear_isgid_bit|share_metadata)(::|$)/,
    why: "the case gives files away, for which the agent would need CAP_CHOWN",
  },
  { cases: /::etxtbsy$/, why: "a program of the pod runs from a copy" },
  {
    cases: /::efault_either$/,
    why: "a call with a name that cannot be read is the kernel's, which looks for the other name on this machine first",
  },
  { cases: /^rmdir::ebusy$/, why: "the case mounts something on a directory" },
];

/** Turns the words of unshare(1) into one sentence that names the setting to change. */
import { readFileSync } from "node:fs";

function setting(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}

/**
 * @param words what the failed start wrote to stderr
 * @param isRoot root fails for other reasons: only containers refuse namespaces to it
 */
export function explainRefusal(words: string, isRoot: boolean): string {
  const because = words.trim().split("\n").join("; ");
  if (!/operation not permitted|no space left|unshare failed|permission denied/i.test(words)) {
    return `the sandbox did not start: ${because}`;
  }
  if (isRoot) {
    return `the sandbox needs namespaces and this root may not make them, most likely because it is in a container: allow CAP_SYS_ADMIN and CAP_NET_ADMIN, or a wider seccomp profile (docker run --privileged) (${because})`;
  }
  const why = namedSetting();
  return `the sandbox needs root or unprivileged user namespaces, which this machine refuses: ${why} (${because})`;
}

function namedSetting(): string {
  if (setting("/proc/sys/user/max_user_namespaces") === "0") {
    return "the setting user.max_user_namespaces is 0, allow some with: sudo sysctl user.max_user_namespaces=10000";
  }
  if (setting("/proc/sys/kernel/unprivileged_userns_clone") === "0") {
    return "the setting kernel.unprivileged_userns_clone is 0, allow them with: sudo sysctl kernel.unprivileged_userns_clone=1";
  }
  if (setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") === "1") {
    return "the setting kernel.apparmor_restrict_unprivileged_userns is 1, allow them with: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0";
  }
  return "the settings user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns allow them, so it is probably a container's seccomp profile, as Docker's (docker run --security-opt seccomp=unconfined)";
}

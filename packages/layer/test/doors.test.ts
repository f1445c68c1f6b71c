import assert from "node:assert/strict";
import { test } from "node:test";
import { BETTER, doorHints, MEANING, NEEDED } from "../src/doors.ts";

const OUTSIDE = { ptraceScope: undefined, isInsideInpod: false };

test("each door has a meaning, and each that is needed something to do", () => {
  for (const door of [...NEEDED, ...BETTER])
    assert.ok(MEANING[door].what.length > 0 && MEANING[door].why.length > 0, door);
  for (const door of NEEDED)
    for (const errno of ["EPERM", "EACCES", "ENOSYS", "EINVAL"])
      assert.ok(doorHints(door, errno, OUTSIDE).length > 0, `${door} ${errno}`);
});

test("where Yama refuses to look into other processes its setting is named, not a container's", () => {
  for (const door of ["pidfd_getfd", "process_vm_readv", "process_vm_writev"] as const) {
    const hints = (ptraceScope: number): string =>
      doorHints(door, "EPERM", { ptraceScope, isInsideInpod: false }).join();
    assert.match(hints(2), /sudo sysctl kernel\.yama\.ptrace_scope=1/);
    assert.match(hints(3), /only a restart changes/);
    for (const scope of [0, 1]) assert.match(hints(scope), /--cap-add SYS_PTRACE/);
  }
  const seccomp = doorHints("seccomp", "EINVAL", { ptraceScope: 2, isInsideInpod: false });
  assert.doesNotMatch(seccomp.join(), /yama/);
});

test("a watcher above is inpod's own, or another tool's", () => {
  assert.match(
    doorHints("seccomp", "EBUSY", { ...OUTSIDE, isInsideInpod: true }).join(),
    /inside of inpod exec/,
  );
  assert.match(doorHints("seccomp", "EBUSY", OUTSIDE).join(), /seccomp agent/);
});

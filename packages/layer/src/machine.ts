/** Whether this machine lets a process be tapped; asked before anything is made in a cluster. */
import { readFileSync } from "node:fs";
import { UserError } from "@inpod/protocol";
import type { Door, Tap, TapError } from "@inpod/tap";
import { doorHints, MEANING, NEEDED, type NeededDoor, type Surroundings } from "./doors.ts";

const doorRefused = (door: NeededDoor, errno: string, around: Surroundings): UserError =>
  door === "seccomp" && errno === "EBUSY"
    ? new UserError(
        "TAP_BUSY",
        "the system calls of this process are watched already, and only one can do that",
        { cause: new Error(errno), hints: doorHints(door, errno, around) },
      )
    : new UserError(
        `MACHINE_${door.toUpperCase().replaceAll("-", "_")}_REFUSED`,
        `${MEANING[door].what}, and ${MEANING[door].why}`,
        { cause: new Error(errno), hints: doorHints(door, errno, around) },
      );

/** What the launcher met, although the doors were open a moment ago. */
export const tapRefused = ({ errno }: TapError): UserError =>
  doorRefused("seccomp", errno, surroundings());

export function surroundings(env: NodeJS.ProcessEnv = process.env): Surroundings {
  return { ptraceScope: ptraceScope(), isInsideInpod: env.INPOD_SESSION !== undefined };
}

function ptraceScope(): number | undefined {
  try {
    return Number(readFileSync("/proc/sys/kernel/yama/ptrace_scope", "latin1"));
  } catch {
    return undefined;
  }
}

/** Of the refused doors the first without which nothing works. */
export const neededDoor = (
  shut: ReadonlyMap<Door, string>,
): { readonly door: NeededDoor; readonly errno: string } | undefined => {
  for (const door of NEEDED) {
    const errno = shut.get(door);
    if (errno !== undefined) return { door, errno };
  }
  return undefined;
};

/** @throws UserError naming the setting */
export function checkTap(tap: Tap): void {
  const refused = neededDoor(tap.shutDoors());
  if (refused !== undefined) throw doorRefused(refused.door, refused.errno, surroundings());
}

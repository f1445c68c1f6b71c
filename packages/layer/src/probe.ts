/**
 * Tries the tap on a program of no consequence: what a sysctl or profile refuses shows in what happens, not
 * in what can be read about it. Its threads stay: for a process of its own that ends afterwards.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { launch, Tap, TapError } from "@inpod/tap";
import { BETTER, type BetterDoor, type NeededDoor } from "./doors.ts";
import { neededDoor } from "./machine.ts";

export type TapProbe =
  | {
      readonly kind: "works";
      /** Non-blocking connects can be left in progress until the agent's verdict. */
      readonly canConnectLater: boolean;
      /** What is refused or missing, and has another way. */
      readonly lacks: readonly { readonly door: BetterDoor; readonly errno: string }[];
    }
  /** The addon or a program beside it is not there, or is for another system. */
  | { readonly kind: "not-loaded"; readonly why: string }
  /** The trial ended in another way than by an answer: nothing is known. */
  | { readonly kind: "no-answer"; readonly why: string }
  | { readonly kind: "refused"; readonly door: NeededDoor; readonly errno: string };

/** A name that no machine has. */
const NAME = "inpod-probe";
const MARK = "INPOD_SESSION";

export async function probeTap(): Promise<TapProbe> {
  let tap: Tap;
  try {
    tap = new Tap(() => {});
  } catch (error) {
    return { kind: "not-loaded", why: error instanceof Error ? error.message : String(error) };
  }
  const shut = tap.shutDoors();
  const needed = neededDoor(shut);
  if (needed !== undefined) return { kind: "refused", ...needed };
  tap.setHostname(NAME);
  try {
    const { told, end } = await hostnameUnderTap(tap);
    if (end === "SIGTERM" || end === "SIGKILL")
      return { kind: "no-answer", why: `the program was ended by ${end}` };
    // Where uname(2) fails Node does not start at all.
    if (told !== NAME) return { kind: "refused", door: "process_vm_writev", errno: "EPERM" };
  } catch (error) {
    if (error instanceof TapError) return { kind: "refused", door: "seccomp", errno: error.errno };
    // The launcher or keeper is missing, or may not be executed.
    return { kind: "not-loaded", why: error instanceof Error ? error.message : String(error) };
  }
  const lacks = BETTER.flatMap((door) => {
    const errno = shut.get(door);
    return errno === undefined ? [] : [{ door, errno }];
  });
  return { kind: "works", canConnectLater: tap.canConnectLater, lacks };
}

/** What a program sees as the machine's name when the tap answers in the kernel's place. */
async function hostnameUnderTap(tap: Tap): Promise<{ told: string; end: number | string }> {
  // One for each trial: the keeper of one that ends stops what has its mark.
  const id = randomUUID();
  const { child } = await launch(tap, {
    command: [process.execPath, "-e", "process.stdout.write(require('os').hostname())"],
    environment: { [MARK]: id },
    groups: ["hostname"],
    mark: `${MARK}=${id}`,
    onDeath: "stop",
    stdio: "pipe",
  });
  let told = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    told += chunk.toString();
  });
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return { told, end: signal ?? code ?? "" };
}

/**
 * Tries the tap on a program of no consequence: what a sysctl or profile refuses shows in what happens, not
 * in what can be read about it. Its threads stay: for a process of its own that ends afterwards.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { getSystemErrorName } from "node:util";
import { launch, Tap, TapError } from "@inpod/tap";

export type TapProbe =
  /** `canConnectLater`: non-blocking connects can be left in progress until the agent's verdict. */
  | { readonly kind: "works"; readonly canConnectLater: boolean }
  /** The addon or a program beside it is not there, or is for another system. */
  | { readonly kind: "not-loaded"; readonly why: string }
  /** The trial ended in another way than by an answer: nothing is known. */
  | { readonly kind: "no-answer"; readonly why: string }
  | { readonly kind: "refused"; readonly door: TapDoor; readonly errno: string };

export type TapDoor =
  /** Sockets of the program are taken over by it. */
  | "pidfd_getfd"
  /** The filter, and the descriptor by which calls are answered. */
  | "seccomp"
  /** Answers are written into the program's memory by it. */
  | "process_vm_writev";

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
  const getFd = tap.native.probeGetFd();
  if (getFd < 0) return { kind: "refused", door: "pidfd_getfd", errno: getSystemErrorName(getFd) };
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
  return { kind: "works", canConnectLater: tap.canConnectLater };
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

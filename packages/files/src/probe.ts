/** Tries to mount, and lets go of it: which way is open shows in what happens. No server is started. */
import { closeSync } from "node:fs";
import { mount, NoMount } from "./mount/mount.ts";
import { loadNative } from "./native.ts";
import type { Via } from "./relay/frames.ts";

export type MountProbe =
  | { readonly kind: "mounted"; readonly via: Via }
  /** Each names a way and the setting that closes it. */
  | { readonly kind: "refused"; readonly refusals: readonly string[] };

export async function probeMount(): Promise<MountProbe> {
  try {
    const { via, device, notifying, root } = await mount(loadNative());
    // The device first: what is asked of the mount from now on fails at once.
    for (const fd of [device, notifying, root]) closeSync(fd);
    return { kind: "mounted", via };
  } catch (error) {
    const refusals = error instanceof NoMount ? error.refusals : [String(error)];
    return { kind: "refused", refusals };
  }
}

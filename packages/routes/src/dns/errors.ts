import { UserError } from "@inpod/protocol";

/** The way out of every DNS setup that cannot be split. */
export const notSplit = (why: string, cause?: unknown, hints: readonly string[] = []): UserError =>
  new UserError("DNS_NOT_SPLIT", `this machine cannot have the cluster's names: ${why}`, {
    cause,
    hints: [
      ...hints,
      "go on with addresses only: --no-dns",
      "or with names, and no change of this machine: inpod connect --mode proxy",
    ],
  });

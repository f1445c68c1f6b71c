import { UserError } from "@inpod/protocol";
import type { ResolvedConfig } from "../config/resolve.ts";
import type { Io } from "../io.ts";

export interface ExecOptions {
  readonly config: ResolvedConfig;
  /** As the user wrote it: argv of the program. */
  readonly command: readonly [string, ...string[]];
  /** Absolute path of the program. */
  readonly executable: string;
  readonly verbose: boolean;
  readonly io: Io;
}

export type ExecResult = { readonly code: number } | { readonly signal: NodeJS.Signals };

/** Runs the command in the place of its target and undoes everything when it has ended. */
export function runExec({ config }: ExecOptions): Promise<ExecResult> {
  throw new UserError("SESSION_NOT_YET", `no session with ${config.target} yet`);
}

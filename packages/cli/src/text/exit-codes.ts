/** How inpod itself ends. When the command ran, its own code or signal is what counts. */
import { UserError } from "@inpod/protocol";

/** The first that matches decides. */
const BY_CODE: readonly (readonly [codes: RegExp, exitCode: number, what: string])[] = [
  [/^COMMAND_NOT_FOUND$/, 127, "the command is not there"],
  [/^COMMAND_/, 126, "the command cannot be executed"],
  [/^LAUNCH_/, 125, "the command could not be started under the tap"],
  [/^(USAGE|CONFIG|TARGET_(INVALID|NOT_YET|MISSING)$)/, 2, "wrong usage or configuration"],
  [/^(TARGET|CONTAINER|POD_NOT|PROCESS|SERVICE)_/, 3, "the target is not there or not usable"],
  [/^(AGENT|IMAGE|NODE|PROTOCOL|TUNNEL|SESSION)_/, 5, "the agent did not start or was lost"],
  [/^(MACHINE_|ENGINE_|TAP_|NOT_LINUX|KERNEL_|PIDFD_)/, 6, "something is missing on this machine"],
  [
    /^(KUBECONFIG|CONTEXT|POLICY|LOGIN|API_SERVER|CLUSTER|NAMESPACE|POD_SECURITY|QUOTA|UNAUTHORIZED|FORBIDDEN|REFUSED)/,
    4,
    "the cluster",
  ],
];
const BUG = 70; // EX_SOFTWARE of sysexits.h
const OTHER = 1;

export const exitCodeOf = (error: unknown): number =>
  error instanceof UserError
    ? (BY_CODE.find(([codes]) => codes.test(error.code))?.[1] ?? OTHER)
    : BUG;

/** For --help. */
export const exitCodeHelp = (): string =>
  [...BY_CODE.map(([, code, what]) => [code, what] as const), [BUG, "a bug of inpod"] as const]
    .sort(([a], [b]) => a - b)
    .map(([code, what]) => `  ${String(code).padStart(3)}  ${what}`)
    .join("\n");

/** Stopping this process because its command is stopped. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { artifacts } from "./native.ts";

/**
 * Stops this process; resolves when it is continued, and the command with it, by whoever continues one of the two
 * (../native/jobs/jobs.c). The command is stopped already.
 */
export async function suspendWith(command: ChildProcess): Promise<void> {
  if (command.pid === undefined) return;
  const jobs = spawn(join(artifacts, "inpod-jobs"), [String(process.pid), String(command.pid)], {
    stdio: "ignore",
    env: {},
    cwd: "/",
  });
  await new Promise<void>((resolve) => {
    jobs.once("error", () => resolve()); // the command is stopped, and we are not
    jobs.once("exit", () => resolve());
  });
}

/** Programs of this machine that rows need: without one its rows are not measured. */
import { execFileSync } from "node:child_process";
import { realpathSync } from "node:fs";

/** Absolute path of what `command -v` finds, behind a version manager's script; undefined where there is none. */
export function findTool(name: string, how?: readonly string[]): string | undefined {
  try {
    const [program, argv] = how ? [name, how] : ["sh", ["-c", `command -v ${name}`]];
    const found = execFileSync(program, argv, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return realpathSync(found.trim());
  } catch {
    return undefined;
  }
}

export const findPython = (): string | undefined =>
  findTool("python3", ["-c", "import sys; print(sys.executable)"]);

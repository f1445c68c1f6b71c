import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const CHECKOUT = fileURLToPath(new URL("../../..", import.meta.url));
const SOAK = ["--import", "tsx", "bench/soak/main.ts", "--no-write", "--no-build"];
const WORK_SECONDS = 4;
/** Many times what it takes. */
const LIMIT_MS = 170_000;

/** The long one (npm run soak) looks at the memory, too. */
test("mixed programs and signals in two sessions: no call is lost, and at rest everything is as before", async () => {
  const argv = [...SOAK, "--seconds", String(WORK_SECONDS)];
  const { code, output } = await new Promise<{ code: unknown; output: string }>((resolve) => {
    execFile(
      process.execPath,
      argv,
      { cwd: CHECKOUT, timeout: LIMIT_MS },
      (error, stdout, stderr) =>
        resolve({ code: error ? error.code : 0, output: `${stdout}${stderr}` }),
    );
  });
  assert.equal(code, 0, output);
  assert.match(output, /held at its end, 0 answered by a deadline/);
});

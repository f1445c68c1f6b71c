import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const workspace = new URL("../../../", import.meta.url);
const loader = import.meta.resolve("tsx");

function inpod(...argv: string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--import", loader, main, ...argv],
    {
      encoding: "utf8",
      cwd: tmpdir(),
      env: { PATH: process.env.PATH, HOME: process.env.HOME },
      timeout: 120_000,
    },
  );
  return { status, stdout, stderr };
}

test("--version and --help are results: on stdout, with 0", () => {
  const { version } = JSON.parse(readFileSync(new URL("package.json", workspace), "utf8")) as {
    version: string;
  };
  assert.deepEqual(inpod("--version"), { status: 0, stdout: `${version}\n`, stderr: "" });
  const { status, stdout, stderr } = inpod("exec", "--help");
  assert.deepEqual([status, stderr], [0, ""]);
  assert.equal([...stdout.matchAll(/^ {4}inpod exec /gm)].length, 3, "three worked examples");
  assert.match(stdout, /127 {2}the command is not there/);
});

test("an error is on stderr, in three kinds of lines, with the exit code of its class", () => {
  assert.deepEqual(inpod("exec", "-t", "pod/a", "--", join("/", "no", "such")), {
    status: 127,
    stdout: "",
    stderr: 'error: no command "/no/such"\n  because: there is no such file\n',
  });
  assert.equal(inpod("exec", "-t", "pod/a", "--", "/").status, 126);
  assert.equal(inpod("exec", "--", "true").status, 2);
});

test("inpod ends by the signal that ended the command, whoever listens to it, and by its code where Node keeps the signal", () => {
  const module = new URL("../src/end-by-signal.ts", import.meta.url).href;
  const end = (signal: string) => {
    const script = `import { endBy } from "${module}"; process.on("${signal}", () => {}); endBy("${signal}");`;
    const argv = ["--import", loader, "--input-type=module", "--eval", script];
    const { status, signal: endedBy } = spawnSync(process.execPath, argv, { timeout: 120_000 });
    return [status, endedBy];
  };
  assert.deepEqual(end("SIGTERM"), [null, "SIGTERM"]);
  assert.deepEqual(end("SIGINT"), [null, "SIGINT"]);
  assert.deepEqual(end("SIGPIPE"), [128 + 13, null]);
  assert.deepEqual(end("SIGUSR1"), [128 + 10, null]);
});

test("a session that cannot begin ends inpod at once, whatever of it is still open", () => {
  // No process has this number: it is above the kernel's PID_MAX_LIMIT of 2^22.
  const { status, stderr } = inpod("exec", "-t", "process/4194305", "--", "true");
  assert.ok(status !== null && status > 1, stderr);
  assert.match(stderr, /^error: /m);
});

/** Each mode with the user's lists: what is written where, named from "/" and from a directory of the pod. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Run, runInpod, useSandbox } from "./exec-support.ts";

const { sandbox } = await useSandbox();

async function inPod(script: string): Promise<string> {
  const { stdout, stderr, code } = await new Run(sandbox.inPod(["sh", "-c", script])).ended;
  assert.equal(code, 0, stderr);
  return stdout;
}

const LISTS = {
  read_write: ["^/srv/inpod/rw(/|$)"],
  read_only: ["^/srv/inpod/ro(/|$)"],
  local: ["^/srv/inpod/own(/|$)"],
  not_found: ["/none$"],
};

/** Writes to each of `names`, and says how it went. Node's errnos are the kernel's. */
const WRITE = `
const fs = require("node:fs");
for (const name of process.argv.slice(1)) {
  try { fs.writeFileSync(name, "written\\n"); console.log(name, "ok"); }
  catch ({ code }) { console.log(name, code); }
}`;

const NAMES = ["rw/a", "ro/a", "own/a", "x/a", "x/run.sh", "x/none"];

/**
 * By the whole path, and from a directory of the pod (in localwithoverrides only `rw` is one). This machine has no such
 * directories: what is written here is ENOENT.
 */
for (const [mode, whole, fromDirectory, inThePod] of [
  [
    "localwithoverrides",
    ["ok", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT"],
    undefined,
    ["rw/a"],
  ],
  [
    "read",
    ["ok", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT"],
    ["ok", "EROFS", "ENOENT", "EROFS", "EROFS", "ENOENT"],
    ["rw/a"],
  ],
  [
    "write",
    ["ok", "ENOENT", "ENOENT", "ok", "ENOENT", "ENOENT"],
    ["ok", "EROFS", "ENOENT", "ok", "ok", "ENOENT"],
    ["rw/a", "x/a"],
  ],
] as const) {
  test(`mode ${mode}: what is written in the pod, and what is said of the rest`, async () => {
    await inPod("rm -rf /srv/inpod; cd /; for d in rw ro own x; do mkdir -p /srv/inpod/$d; done");
    const config = { feature: { fs: { mode, ...LISTS } } };
    const written = () => inPod("cd /srv/inpod; find . -type f | sort | cut -c3-");
    const run = async (directory: string, names: readonly string[]): Promise<string[]> => {
      const script = `cd ${directory} && exec node -e '${WRITE}' "$@"`;
      const ran = await runInpod(sandbox, ["sh", "-c", script, "sh", ...names], { config });
      assert.equal(ran.code, 0, ran.stderr);
      return ran.stdout.trim().split("\n");
    };
    const named = NAMES.map((name) => `/srv/inpod/${name}`);
    assert.deepEqual(
      await run("/", named),
      named.map((name, at) => `${name} ${whole[at]}`),
    );
    assert.equal(await written(), `${inThePod.join("\n")}\n`);
    if (fromDirectory === undefined) {
      assert.deepEqual(await run("/srv/inpod/rw", ["b"]), ["b ok"]);
      assert.equal(await written(), "rw/a\nrw/b\n");
      return;
    }
    assert.deepEqual(
      await run("/srv/inpod", NAMES),
      NAMES.map((name, at) => `${name} ${fromDirectory[at]}`),
    );
    assert.equal(await written(), mode === "write" ? "rw/a\nx/a\nx/run.sh\n" : "rw/a\n");
  });
}

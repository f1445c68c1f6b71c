/** bin/inpod in a small checkout of its own, whose build is one that counts how often it ran. */
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

const CLI = `
const fs = require("node:fs");
// The descriptor of the listing itself is closed by now.
const open = (fd) => { try { return fs.readlinkSync("/proc/self/fd/" + fd); } catch { return ""; } };
const fds = fs.readdirSync("/proc/self/fd").map(open);
console.log(JSON.stringify({ cwd: process.cwd(), args: process.argv.slice(2), fds }));
`;

const BUILD = `
const fs = require("node:fs");
const began = new Date();
if (fs.existsSync("broken")) { console.error("packages/p/src/a.ts: no such thing"); process.exit(1); }
fs.mkdirSync("dist", { recursive: true });
fs.appendFileSync("builds", "x");
fs.copyFileSync("scripts/cli.js", "dist/cli.js");
fs.writeFileSync("dist/.built", "");
fs.utimesSync("dist/.built", began, began);
`;

interface Checkout {
  readonly root: string;
  readonly builds: () => number;
  readonly write: (path: string, text: string) => void;
}

function makeCheckout(t: TestContext): Checkout {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "inpod bin-")));
  t.after(() => rmSync(root, { recursive: true }));
  for (const folder of ["bin", "scripts", "packages/p/src", "packages/p/test", "node_modules"])
    mkdirSync(join(root, folder), { recursive: true });
  for (const file of ["bin/inpod", "scripts/prepare.sh"])
    copyFileSync(join(repository, file), join(root, file));
  const write = (path: string, text: string): void => writeFileSync(join(root, path), text);
  write("package.json", JSON.stringify({ scripts: { build: "node scripts/build.ts" } }));
  write("package-lock.json", "{}");
  write("scripts/build.ts", BUILD);
  write("scripts/native.ts", "");
  write("scripts/cli.js", CLI);
  write("packages/p/src/a.ts", "");
  // Written last: to prepare.sh the installation is newer than the lock file.
  write("node_modules/.package-lock.json", "{}");
  const builds = (): number =>
    existsSync(join(root, "builds")) ? readFileSync(join(root, "builds"), "utf8").length : 0;
  return { root, builds, write };
}

const start = (program: string, args: string[] = [], cwd = "/") =>
  run(program, args, { cwd, timeout: 60_000 });

/** Gives a path a time after the last build, whatever the clock's resolution. */
function touchLater(path: string): void {
  const later = new Date(Date.now() + 5_000);
  utimesSync(path, later, later);
}

test("a first start builds, and runs the CLI with the caller's directory and arguments", async (t) => {
  const { root, builds } = makeCheckout(t);
  const { stdout, stderr } = await start(join(root, "bin/inpod"), ["exec", "a b", "", "--x=*"]);
  const seen = JSON.parse(stdout);
  assert.deepEqual(seen.args, ["exec", "a b", "", "--x=*"]);
  assert.equal(seen.cwd, "/");
  assert.equal(stderr, "");
  assert.equal(builds(), 1);
});

test("the lock is not inherited: the user's processes live longer than a build", async (t) => {
  const { root } = makeCheckout(t);
  const { stdout } = await start(join(root, "bin/inpod"));
  assert.deepEqual(
    JSON.parse(stdout).fds.filter((fd: string) => fd.startsWith(root)),
    [],
  );
});

test("it is found through symbolic links, relative and absolute", async (t) => {
  const { root } = makeCheckout(t);
  mkdirSync(join(root, "elsewhere"));
  symlinkSync(join(root, "bin/inpod"), join(root, "elsewhere/absolute"));
  symlinkSync("absolute", join(root, "elsewhere/relative"));
  const { stdout } = await start("./relative", ["x"], join(root, "elsewhere"));
  assert.deepEqual(JSON.parse(stdout).args, ["x"]);
});

test("it builds again when a source is newer or gone, and not when a test changed", async (t) => {
  const { root, builds, write } = makeCheckout(t);
  const inpod = join(root, "bin/inpod");
  await start(inpod);
  await start(inpod);
  assert.equal(builds(), 1);

  write("packages/p/test/a.test.ts", "");
  touchLater(join(root, "packages/p/test/a.test.ts"));
  await start(inpod);
  assert.equal(builds(), 1, "a test is not built");

  touchLater(join(root, "packages/p/src/a.ts"));
  await start(inpod);
  assert.equal(builds(), 2, "a newer source");

  rmSync(join(root, "packages/p/src/a.ts"));
  await start(inpod);
  assert.equal(builds(), 3, "a source that is gone");
});

test("two at once build once", async (t) => {
  const { root, builds } = makeCheckout(t);
  const inpod = join(root, "bin/inpod");
  await Promise.all([start(inpod), start(inpod), start(inpod)]);
  assert.equal(builds(), 1);
});

test("a build that fails shows its output on stderr and runs nothing", async (t) => {
  const { root, write } = makeCheckout(t);
  write("broken", "");
  await assert.rejects(
    start(join(root, "bin/inpod")),
    (error: Error & { code?: number; stdout?: string; stderr?: string }) => {
      assert.equal(error.code, 1);
      assert.equal(error.stdout, "");
      assert.match(String(error.stderr), /packages\/p\/src\/a\.ts: no such thing/);
      assert.match(String(error.stderr), /inpod: the build of .* failed/);
      return true;
    },
  );
});

test("prepare.sh says in one sentence which Node it needs", (t) => {
  const { root } = makeCheckout(t);
  mkdirSync(join(root, "old"));
  writeFileSync(
    join(root, "old/node"),
    '#!/bin/sh\n[ "$1" = --version ] && echo v18.19.0\nexit 1\n',
    { mode: 0o755 },
  );
  writeFileSync(join(root, "old/npm"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
  assert.throws(
    () =>
      execFileSync("sh", [join(root, "scripts/prepare.sh"), "packages"], {
        env: { PATH: `${join(root, "old")}:/usr/bin:/bin` },
        stdio: "pipe",
      }),
    (error: Error & { stderr?: Buffer }) =>
      /^prepare: inpod needs Node 20\.20 or newer, and .*old\/node is v18\.19\.0\n$/.test(
        String(error.stderr),
      ),
  );
});

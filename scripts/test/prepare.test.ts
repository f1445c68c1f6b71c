/**
 * scripts/prepare.sh in a small checkout, on a PATH that has only what a test puts there: which commands the
 * package manager is given, and what a user is told to type.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("../prepare.sh", import.meta.url));
/** What prepare.sh itself runs, and what it finds already installed. */
const HERE = "sh node npm find dirname mktemp rm cc as ld timeout touch unshare nsenter setpriv";
/** The list is the script's: whoever adds to it need not know this file. */
const TEST_PROGRAMS =
  /^missing_test_programs\(\) \{\n {2}for program in (.+); do/m
    .exec(readFileSync(script, "utf8"))?.[1]
    ?.split(" ") ?? [];

// prepare.sh looks in the folders for administrators too, which must not have everything.
const skip =
  realpathSync("/usr/sbin") === realpathSync("/usr/bin") && "needs a /usr/sbin beside /usr/bin";

interface Machine {
  /** Runs prepare.sh there. */
  prepare(...args: string[]): { readonly status: number | null; readonly said: string };
  /** What the package manager was asked to install. */
  installed(): string[];
}

function machine(
  t: TestContext,
  { uid, has, canInstall = true }: { uid: number; has: readonly string[]; canInstall?: boolean },
): Machine {
  const root = mkdtempSync(join(tmpdir(), "inpod-prepare-"));
  t.after(() => rmSync(root, { recursive: true }));
  const bin = join(root, "path");
  for (const folder of ["scripts", "node_modules", "path"]) mkdirSync(join(root, folder));
  copyFileSync(script, join(root, "scripts/prepare.sh"));
  writeFileSync(join(root, "package-lock.json"), "{}");
  writeFileSync(join(root, "node_modules/.package-lock.json"), "{}");
  const program = (name: string, text: string): void =>
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  for (const name of HERE.split(" ")) {
    const path = (process.env.PATH ?? "")
      .split(":")
      .map((folder) => join(folder, name))
      .find(existsSync);
    if (path !== undefined) symlinkSync(path, join(bin, name));
  }
  for (const name of ["nft", "ip", ...has]) program(name, "exit 0");
  // What comes from registries is there: the test has no way to them.
  const fromNpm = join(root, ".cache/node-programs/node_modules/.bin");
  mkdirSync(fromNpm, { recursive: true });
  writeFileSync(join(fromNpm, "nodemon"), "");
  program("id", `echo ${uid}`);
  const log = join(root, "installed");
  // Makes musl-gcc appear, as the package would.
  const install = canInstall ? `: >"${bin}/musl-gcc"; chmod 755 "${bin}/musl-gcc"` : "exit 100";
  symlinkSync("/bin/chmod", join(bin, "chmod"));
  program("apt-get", `[ "$1" = update ] && exit 0\necho "$*" >>"${log}"\n${install}`);
  return {
    prepare: (...args) => {
      const { status, stderr, stdout } = spawnSync(
        "/bin/sh",
        [join(root, "scripts/prepare.sh"), ...args],
        { env: { PATH: bin }, encoding: "utf8" },
      );
      return { status, said: stdout + stderr };
    },
    installed: () => (existsSync(log) ? readFileSync(log, "utf8").trimEnd().split("\n") : []),
  };
}

const all = TEST_PROGRAMS;
const allBut = (...names: string[]): string[] => all.filter((name) => !names.includes(name));

test("as root the programs that tests run are installed, those that are missing and no others", {
  skip,
}, (t) => {
  const { prepare, installed } = machine(t, { uid: 0, has: allBut("musl-gcc") });
  const { status, said } = prepare("tests");
  assert.equal(status, 0, said);
  assert.deepEqual(installed(), ["install -y --no-install-recommends musl-tools"]);
  assert.doesNotMatch(said, /skipped/);
});

test("an ordinary user is told one command, and that the tests are skipped without it", {
  skip,
}, (t) => {
  const { prepare, installed } = machine(t, { uid: 1000, has: allBut("musl-gcc", "curl") });
  const { status, said } = prepare("tests");
  assert.equal(status, 0, said);
  assert.equal(
    said,
    "prepare: tests that need these programs are skipped: musl-gcc curl; to run them too: " +
      "sudo apt-get install -y --no-install-recommends musl-tools curl\n",
  );
  assert.deepEqual(installed(), []);
});

test("without a test program the demo and the build are ready all the same, and say nothing of it", {
  skip,
}, (t) => {
  const { prepare, installed } = machine(t, { uid: 0, has: [] });
  assert.deepEqual(prepare(), { status: 0, said: "" });
  assert.deepEqual(installed(), []);
});

test("with all of them nothing is installed or said", { skip }, (t) => {
  const { prepare, installed } = machine(t, { uid: 0, has: all });
  assert.deepEqual(prepare("tests"), { status: 0, said: "" });
  assert.deepEqual(installed(), []);
});

test("where a test program cannot be installed its tests are skipped, and the others run", {
  skip,
}, (t) => {
  const { prepare } = machine(t, { uid: 0, has: allBut("go", "podman"), canInstall: false });
  const { status, said } = prepare("tests");
  assert.equal(status, 0, said);
  assert.match(said, /this failed: apt-get install \S+ \S+ golang-go podman /);
  assert.match(said, /tests that need these programs are skipped: go podman\n$/);
});

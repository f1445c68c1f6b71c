/** Programs that ask more of a file system than to read and write. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { begun, output } from "./support/mounted.ts";

const lacks = (program: string): string | false =>
  spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0 && `needs ${program}`;

test("git: a repository is made, committed to, packed, cloned and checked", async (t) => {
  const why = lacks("git");
  if (why) return t.skip(why);
  const pod = await begun(t);
  const script = `
set -e
export GIT_DIR=/proc/self/fd/3${pod.folder}/repo/.git GIT_WORK_TREE=/proc/self/fd/3${pod.folder}/repo
export HOME=/nonexistent GIT_CONFIG_GLOBAL=/dev/null GIT_CEILING_DIRECTORIES=/
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
mkdir repo; cd /
git init -q
for i in 1 2 3 4 5 6 7 8; do echo "file $i" >"$GIT_WORK_TREE/f$i"; done
git add -A; git commit -qm first
echo changed >"$GIT_WORK_TREE/f1"
test "$(git status --porcelain)" = " M f1"
git commit -qam second; git gc -q; git fsck --strict
git checkout -q HEAD~1 -- f1; grep -q "file 1" "$GIT_WORK_TREE/f1"
git log --format=%s
`;
  assert.equal(await output(pod, "sh", "-c", script), "second\nfirst\n");
  const checked = execFileSync("git", ["-C", join(pod.folder, "repo"), "fsck", "--strict"], {
    env: {
      ...process.env,
      GIT_CONFIG_COUNT: "1",
      GIT_CONFIG_KEY_0: "safe.directory",
      GIT_CONFIG_VALUE_0: "*",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  assert.equal(checked.toString(), "");
});

test("sqlite: a database is written with a journal and with a log ahead, and is whole", async (t) => {
  const pod = await begun(t);
  const script = `
import sqlite3
for mode in ("delete", "wal"):
    path = f"/proc/self/fd/3${pod.folder}/{mode}.db"
    db = sqlite3.connect(path, timeout=1)
    assert db.execute(f"pragma journal_mode={mode}").fetchone() == (mode,)
    db.execute("create table t (n integer primary key, text)")
    for part in range(5):
        with db: db.executemany("insert into t (text) values (?)", [("x" * 500,)] * 200)
    other = sqlite3.connect(path, timeout=1)
    assert other.execute("select count(*), sum(length(text)) from t").fetchone() == (1000, 500_000)
    try:
        with db: db.execute("delete from t"); raise KeyError
    except KeyError: pass
    assert other.execute("select count(*) from t").fetchone() == (1000,)
    other.close(); db.execute("vacuum")
    assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    db.close()
print("whole")
`;
  assert.equal(await output(pod, "python3", "-c", script), "whole\n");
  const head = readFileSync(join(pod.folder, "delete.db")).toString("latin1", 0, 15);
  assert.equal(head, "SQLite format 3");
});

test("a compiler and its program", async (t) => {
  const why = lacks("cc");
  if (why) return t.skip(why);
  const pod = await begun(t);
  const script = `
set -e
printf '#include <stdio.h>\\nint main(void) { puts("ran"); }\\n' >main.c
cd /; cc -o /proc/self/fd/3${pod.folder}/main /proc/self/fd/3${pod.folder}/main.c
/proc/self/fd/3${pod.folder}/main
`;
  assert.equal(await output(pod, "sh", "-c", script), "ran\n");
});

/** Programs that developers use, at work in a directory of the pod. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Outcome, runInpod, useSandbox } from "./exec-support.ts";
import { missing } from "./file-suite.ts";

const { sandbox, inventory, folder } = await useSandbox();

const config = { feature: { fs: { mode: "write", read_write: ["^/app/work(/|$)"] } } };

assert.equal(await inPod("mkdir -m 777 /app/work"), "");

async function inPod(script: string): Promise<string> {
  const child = sandbox.inPod(["sh", "-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  assert.equal(code, 0, script);
  return said;
}

/** A script in the place of the pod; what it printed. */
async function here(script: string): Promise<Outcome> {
  const ran = await runInpod(sandbox, ["sh", "-ec", script], { config, cwd: folder });
  assert.equal(ran.code, 0, `${ran.stdout}\n${ran.stderr}`);
  return ran;
}

const identity = "-c user.name=someone -c user.email=someone@example.org";

test("git: a repository of the pod, from init to a merge", { skip: missing("git") }, async () => {
  const { stdout } = await here(`
    mkdir /app/work/git; cd /app/work/git; pwd
    git init -q -b main .
    for n in $(seq 40); do echo "line $n" > file-$n; done
    mkdir deep; echo deeper > deep/er
    git add .; git ${identity} commit -qm first
    git checkout -q -b other; echo other > other; git add other; git ${identity} commit -qm other
    git checkout -q main; echo changed > file-1; git ${identity} commit -qam changed
    git ${identity} merge -q -m merged other
    git gc -q; git fsck --strict; git status --short; git log --oneline | wc -l`);
  assert.deepEqual(stdout.trim().split(/\s+/), ["/app/work/git", "4"]);
  assert.equal(
    await inPod("cat /app/work/git/file-1 /app/work/git/other /app/work/git/deep/er"),
    "changed\nother\ndeeper\n",
  );
  await inventory.assertAsBefore(folder);
});

test("tar: into the pod and out of it, the same", async () => {
  const tree = join(folder, "tree");
  mkdirSync(join(tree, "a", "b"), { recursive: true });
  for (let n = 0; n < 60; n++) writeFileSync(join(tree, "a", `file ${n}`), "x".repeat(n * 997));
  writeFileSync(join(tree, "a", "b", "run"), "#!/bin/sh\n", { mode: 0o755 });
  await here(`
    mkdir /app/work/tar
    ln -sf ../a/b/run ${tree}/a/link
    tar -C ${tree} -cf - . | tar -C /app/work/tar -xpf -
    tar -C /app/work/tar -cf ${folder}/back.tar .
    mkdir ${folder}/back; tar -C ${folder}/back -xpf ${folder}/back.tar
    diff -r ${tree} ${folder}/back
    diff -r ${tree} /app/work/tar
    [ "$(stat -c %a /app/work/tar/a/b/run)" = 755 ]
    rm -r /app/work/tar/a; [ -z "$(ls /app/work/tar)" ]`);
  await inventory.assertAsBefore(folder);
});

test("rsync: there, again with a change, and with deletion", {
  skip: missing("rsync"),
}, async () => {
  const { stdout } = await here(`
    mkdir ${folder}/sync /app/work/sync
    for n in $(seq 30); do head -c $((n * 1000)) /dev/zero > ${folder}/sync/f$n; done
    rsync -a ${folder}/sync/ /app/work/sync/
    echo more >> ${folder}/sync/f3; rm ${folder}/sync/f4
    rsync -ai --delete ${folder}/sync/ /app/work/sync/
    diff -r ${folder}/sync /app/work/sync
    rsync -a /app/work/sync/ ${folder}/sync-back/
    diff -r ${folder}/sync ${folder}/sync-back`);
  assert.match(stdout, /^\*deleting\s+f4$/m);
  assert.match(stdout, /^>f\S+ f3$/m);
  assert.doesNotMatch(stdout, /f5/);
  await inventory.assertAsBefore(folder);
});

test("sqlite: a database of the pod, read and written", { skip: missing("sqlite3") }, async () => {
  const { stdout } = await here(`
    db=/app/work/data.sqlite
    sqlite3 $db "create table t (n integer primary key, word text); with recursive c(n) as (select 1 union all select n + 1 from c where n < 2000) insert into t select n, 'word ' || n from c;"
    sqlite3 -readonly $db "select count(*), sum(n) from t; pragma integrity_check;"
    sqlite3 $db "delete from t where n % 2; vacuum; select count(*) from t;"`);
  assert.deepEqual(stdout.trim().split("\n"), ["2000|2001000", "ok", "1000"]);
  await inventory.assertAsBefore(folder);
});

test("vim: a file of the pod is edited, with its swap file and backup", {
  skip: missing("vim"),
}, async () => {
  await here(`
    printf 'one\\ntwo\\nthree\\n' > /app/work/text
    chmod 640 /app/work/text
    vim -u NONE -es -c 'set backup' -c '%s/two/2/' -c 'wq' /app/work/text </dev/null
    [ "$(stat -c %a /app/work/text)" = 640 ]`);
  assert.equal(
    await inPod("cat /app/work/text; ls -A /app/work | grep text"),
    "one\n2\nthree\ntext\ntext~\n",
  );
  await inventory.assertAsBefore(folder);
});

test("go test ./... in a module of the pod", { skip: missing("go") }, async () => {
  const { stdout } = await here(`
    mkdir -p /app/work/module/inner; cd /app/work/module
    printf 'module example.org/inner\\n\\ngo 1.21\\n' > go.mod
    printf 'package inner\\n\\nfunc Two() int { return 2 }\\n' > inner/two.go
    cat > inner/two_test.go <<'END'
package inner

import (
	"os"
	"testing"
)

func TestTwo(t *testing.T) {
	if _, err := os.ReadFile("two.go"); err != nil || Two() != 2 {
		t.Fatal(err)
	}
}
END
    go test ./...`);
  assert.match(stdout, /^ok\s+example\.org\/inner\/inner/m);
  await inventory.assertAsBefore(folder);
});

test("a shell, find, cp, mv, sed -i, mktemp, sort -o and tail -f", async () => {
  const { stdout } = await here(`
    mkdir /app/work/shell; cd /app/work/shell
    for n in 3 1 2; do echo $n >> list; done
    sort -n -o list list; cat list | tr '\\n' ' '
    cp -a list copy; mv copy moved; sed -i s/2/two/ moved; cat moved | tr '\\n' ' '
    t=$(mktemp /app/work/shell/tmp.XXXXXX); echo kept > $t; rm $t
    mkdir -p a/b/c; touch a/b/c/d; find . -type f | sort | tr '\\n' ' '
    ( cd a/b && pwd && cat ../../list | wc -l )
    (sleep 0.3; echo 4 >> list) & timeout 10 tail -n 0 -f list | head -n 1
    rm -r a; ls | tr '\\n' ' '`);
  assert.deepEqual(stdout.trim().split(/\s+/), [
    ...["1", "2", "3", "1", "two", "3"],
    ...["./a/b/c/d", "./list", "./moved", "/app/work/shell/a/b", "3", "4", "list", "moved"],
  ]);
  await inventory.assertAsBefore(folder);
});

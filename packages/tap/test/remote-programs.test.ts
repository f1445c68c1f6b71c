/** Real programs that work on the pod's files, and in its directories. */
import assert from "node:assert/strict";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { basename } from "node:path";
import { after, before, test } from "node:test";
import type { TapPathRule } from "../src/index.ts";
import { makeRemoteRoot } from "./remote-root.ts";
import { compile, folder, run, script, tap } from "./support.ts";

after(() => tap.unref()); // its threads would keep this process alive

const root = await makeRemoteRoot();
const remote: TapPathRule = { match: "tree", text: "/data", operations: 7, verdict: "remote" };
/** What C cannot serve would be asked of TypeScript. */
const never = (event: { kind: string }): void => {
  if (event.kind === "path") assert.fail(`asked: ${JSON.stringify(event)}`);
};
const sh = (text: string) => run(["bash", "--norc", "-ec", text], never);
const python = (name: string, source: string) => run(["python3", script(name, source)], never);

before(() => {
  mkdirSync(root.at("/data"));
  tap.setRemote(root);
  tap.setPathRules([remote]);
});

test("coreutils, find, tar, sed, install and python's shutil work on the pod's files", async () => {
  const ran = await sh(`
    mkdir -p /data/t/a/b/c; echo one >/data/t/a/1; echo two >>/data/t/a/1; cp -a /data/t/a /data/t/copy
    cp -r /etc/alternatives/README ${folder}/readme; cp ${folder}/readme /data/t/; mv /data/t/readme ${folder}/back; mv ${folder}/back /data/t/in
    sed -i s/one/1/ /data/t/copy/1; install -m 751 -D /data/t/copy/1 /data/t/inst/x/y; ln -s ../a/1 /data/t/inst/link; touch -d @1234 /data/t/inst/x/y
    tar -C /data/t -cf ${folder}/t.tar copy inst; mkdir /data/t/out; tar -xf ${folder}/t.tar -C /data/t/out; diff -r /data/t/copy /data/t/out/copy
    find /data/t -name '[y1]' -printf '%P %m %s %T@\\n' | sort | grep inst; cat /data/t/inst/link | wc -c; du -s /data/t >/dev/null; ls -lR /data/t | grep -c y
    chmod -R go-rwx /data/t/out; rm -r /data/t/out/inst; mktemp -p /data/t XXXX >/dev/null; ls /data/t/out; grep -rl two /data/t/copy; rm -rf /data/t/copy; test ! -e /data/t/copy; df /data/t >/dev/null
  `);
  assert.equal(
    ran.stdout.replaceAll("\r", ""),
    `inst/x/y 751 6 1234.0000000000
out/inst/x/y 751 6 1234.0000000000
8
${ran.stdout.split("\n")[3]}
copy
/data/t/copy/1
`,
    `${ran.stdout}\n${ran.stderr}`,
  );
  const shutil = await python(
    "tree.py",
    `import shutil, os, tempfile
shutil.copytree("/data/t/inst", "/data/t/py", symlinks=True); shutil.move("/data/t/py", "/data/t/py2"); print(sorted(os.listdir("/data/t/py2"))); shutil.rmtree("/data/t/py2"); print(os.path.exists("/data/t/py2"))
with tempfile.TemporaryDirectory(dir="/data/t") as d: open(d + "/x", "w").write("y"); print(sum(len(f) for _, _, f in os.walk(d)))
`,
  );
  assert.equal(shutil.stdout, "['link', 'x']\nFalse\n1\n", shutil.stderr);
  assert.equal(readFileSync(root.at("/data/t/a/1"), "utf8"), "one\ntwo\n");
  assert.equal(lstatSync(root.at("/data/t/inst/x/y")).mode & 0o777, 0o751);
});

test("a program works in a directory of the pod, and so do its children", async () => {
  mkdirSync(root.at("/data/work/deep/er"), { recursive: true });
  writeFileSync(root.at("/data/work/f"), "f\n");
  const ran = await sh(`
    cd /data/work; pwd; /bin/pwd -P; cat f; echo new >deep/new; cd deep; cat new | sed s/new/NEW/; cat ../f; cd er; /bin/pwd; cd ../..; (cd deep; ls); ls -la | tail -1 | sed 's/.* //'
    cd /usr; /bin/pwd; ls /data/work/deep | head -1; test ! -e deep; cd /data/work; cd ..; /bin/pwd; cd ..; /bin/pwd -P; ls | grep -c -x etc
    cd /data/none 2>&1 | sed 's/.*none: //'; cd /data/work; sh -c 'cd deep && exec /bin/pwd'; env -C /data/work/deep /bin/pwd; find . -name new -execdir cat {} +; make -s -f - <<<'all: ; @pwd'
  `);
  assert.deepEqual(
    ran.stdout.trim().split("\n"),
    [
      ...["/data/work", "/data/work", "f", "NEW", "f", "/data/work/deep/er", "er", "new", "f"],
      ...["/usr", "er", "/data", "/", "1"],
      ...["No such file or directory", "/data/work/deep", "/data/work/deep", "new", "/data/work"],
    ],
    ran.stderr,
  );
  assert.equal(ran.stderr, "");
  assert.equal(readFileSync(root.at("/data/work/deep/new"), "utf8"), "new\n");
});

test("python works there: chdir, getcwd, fchdir, dir_fd, subprocess and threads", async () => {
  const ran = await python(
    "cwd.py",
    `import os, subprocess, threading, glob, pathlib
os.chdir("/data/work"); print(os.getcwd(), os.path.realpath("."), sorted(os.listdir()))
print(subprocess.run(["cat", "f"], capture_output=True, text=True).stdout.strip(), subprocess.run(["/bin/pwd"], cwd="deep", capture_output=True, text=True).stdout.strip())
d = os.open("deep", os.O_RDONLY); os.fchdir(d); print(os.getcwd()); os.chdir(".."); print(os.getcwd())
os.rename("deep/new", "deep/renamed", src_dir_fd=None); print(glob.glob("**/ren*", recursive=True)); os.rename("renamed", "new", src_dir_fd=d, dst_dir_fd=d)
print(sorted(os.listdir("/proc/self/fd")) == sorted(os.listdir("/proc/self/fd")), pathlib.Path("f").resolve(), os.path.exists("/data/work/./deep/../f"))
def work(i):
  for _ in range(20):
    os.chdir(("/data/work", "/data/work/deep")[i % 2])
    assert os.getcwd() in ("/data/work", "/data/work/deep"), os.getcwd()
before = len(os.listdir("/proc/self/fd"))
threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(len(os.listdir("/proc/self/fd")) - before)
os.chdir("/data/work/deep/er"); os.rmdir("/data/work/deep/er")
try: os.getcwd()
except FileNotFoundError: print("gone")
os.chdir("/"); print(os.getcwd(), os.path.exists("etc/passwd"))
try: os.chdir("/data/work/f")
except NotADirectoryError: print("no directory")
`,
  );
  assert.deepEqual(
    ran.stdout.trim().split("\n"),
    [
      "/data/work /data/work ['deep', 'f']",
      "f /data/work/deep",
      "/data/work/deep",
      "/data/work",
      "['deep/renamed']",
      "True /data/work/f True",
      "0",
      "gone",
      "/ True",
      "no directory",
    ],
    ran.stderr,
  );
});

test("signals that arrive while a thread goes to a directory of the pod are delivered, each once", async () => {
  const source = `#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
static volatile int count;
static void handler(int s) { (void)s; count++; }
int main(void) {
  struct sigaction a = {.sa_handler = handler, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &a, 0);
  struct itimerval often = {{0, 500}, {0, 500}};
  setitimer(ITIMER_REAL, &often, 0);
  char where[200];
  int wrong = 0;
  for (int i = 0; i < 300; i++) {
    if (chdir(i % 2 ? "/data/work" : "/data/work/deep")) { wrong++; perror("chdir"); }
    if (!getcwd(where, sizeof where) || strcmp(where, i % 2 ? "/data/work" : "/data/work/deep")) { wrong++; puts(where); }
  }
  sigset_t now; sigprocmask(SIG_BLOCK, 0, &now);
  printf("%d %d %d\\n", wrong, count > 10, sigismember(&now, SIGALRM));
}`;
  const ran = await run([compile("signals", source)], never);
  assert.equal(ran.stdout, "0 1 0\n", ran.stderr);
});

test("a program of the pod is executed, with its own name, arguments and variables; so is a script", async () => {
  const source = `#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) { for (int i = 0; i < argc; i++) printf("%s|", argv[i]); puts(getenv("X") ? getenv("X") : "-"); return 7; }`;
  copyFileSync(compile("arguments", source), root.at("/data/program"));
  chmodSync(root.at("/data/program"), 0o755);
  writeFileSync(root.at("/data/script"), '#!/bin/sh -e\necho "$0 $* $X"\n', { mode: 0o755 });
  writeFileSync(root.at("/data/own"), "#! /data/program one two \n", { mode: 0o755 });
  writeFileSync(root.at("/data/plain"), "echo plain $1\n", { mode: 0o755 });
  writeFileSync(root.at("/data/not"), "#!/bin/sh\n", { mode: 0o644 });
  writeFileSync(root.at("/data/lost"), "#!/data/none\n", { mode: 0o755 });
  const ran = await sh(`
    export X=x; set +e
    /data/program a 'b c'; echo $?; (exec -a name /data/program d); /data/script 1 2; /data/own 3; /data/plain 4; cd /data; ./program e; ./script f; ./own g
    /data/not; echo $?; /data/lost; echo $?; PATH=/data:$PATH; program h; script i; env X=y program j; /data/program <&- | cat
    cd /usr; python3 -c 'import subprocess; print(subprocess.run(["/data/program", "k"]).returncode, subprocess.run(["/data/script", "l"], cwd="/data").returncode, subprocess.run(["./script", "m"], cwd="/data").returncode)'
  `);
  assert.deepEqual(
    ran.stdout.trim().split("\n"),
    [
      ...[
        "/data/program|a|b c|x",
        "7",
        "name|d|x",
        "/data/script 1 2 x",
        "/data/program|one two|/data/own|3|x",
        "plain 4",
      ],
      ...["./program|e|x", "./script f x", "/data/program|one two|./own|g|x", "126", "127"],
      ...["program|h|x", "/data/script i x", "program|j|y", "/data/program|x"],
      ...["/data/program|k|x", "/data/script l x", "./script m x", "7 0 0"],
    ],
    ran.stderr,
  );
});

test("a link and a file that may not be read are opened by O_PATH, too", async () => {
  const ran = await python(
    "o-path.py",
    `import os, stat
os.symlink("f", "/data/link")
fd = os.open("/data/link", os.O_PATH | os.O_NOFOLLOW)
print(stat.S_ISLNK(os.fstat(fd).st_mode), os.readlink("", dir_fd=fd), os.get_inheritable(fd))
`,
  );
  assert.equal(ran.stdout, "True f False\n", ran.stderr);
});

test("git, vim and a shell's tools work on a repository of the pod", {
  skip: !existsSync("/usr/bin/git"),
}, async () => {
  const ran = await sh(`
    export HOME=${folder} GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    mkdir /data/repo; cd /data/repo; git init -q -b main .; echo one >a; mkdir d; echo two >d/b; git add .; git commit -qm first; echo more >>a; git mv d/b d/c
    git commit -qam second; git log --format=%s; git checkout -q -b other HEAD~1; cat a; git checkout -q main; cat a d/c; git status --short; git gc -q; git fsck; git clone -q . ../clone; cat ../clone/d/c; git worktree add -q ../tree other; git -C ../tree branch --show-current; git stash -q 2>/dev/null; rm -rf ../clone ../tree
    git clone -q /data/repo ${folder}/clone; cat ${folder}/clone/a | wc -l
  `);
  const expected = ["second", "first", "one", "one", "more", "two", "two", "other", "2"];
  assert.deepEqual(ran.stdout.trim().split("\n"), expected, ran.stderr);
});

test("a skipped program that works in a directory of the pod has its files from there, and elsewhere none", {
  skip: !existsSync("/usr/bin/git"),
}, async () => {
  tap.setSkips(["git"]);
  const ran = await sh(`
    cd /data/repo; git log -1 --format=%s; cd d; git rev-parse --show-toplevel; git -C /data/repo/d rev-parse --show-prefix
    cd /usr; git -C /data/repo log 2>&1 | sed 's/.*: //'
  `);
  tap.setSkips([]);
  assert.deepEqual(
    ran.stdout.trim().split("\n"),
    ["second", "/data/repo", "d/", "No such file or directory"],
    ran.stderr,
  );
});

test("a program that is traced cannot go to the pod, and it is told why", {
  skip: !existsSync("/usr/bin/strace"),
}, async () => {
  const refused: unknown[] = [];
  const ran = await run(
    [
      ...(["strace", "-f", "-o", "/dev/null", "python3"] as const),
      script(
        "traced.py",
        `import os
for f in (lambda: os.chdir("/data/work"), lambda: os.execv("/data/program", ["p"]), lambda: print(os.stat("/data/work/f").st_size)):
  try: f()
  except OSError as e: print(e.strerror)
`,
      ),
    ],
    (event) => {
      never(event);
      if (event.kind === "refused") refused.push([event.call, event.path, event.why]);
    },
  );
  assert.equal(ran.stdout, "Operation not supported\nOperation not supported\n2\n", ran.stderr);
  assert.deepEqual(refused, [
    ["chdir", "/data/work", "traced"],
    ["exec", "/data/program", "traced"],
  ]);
});

test("tail and node poll what cannot be watched", async () => {
  writeFileSync(root.at("/data/log"), "one\n");
  const refused = new Set<string>();
  const ran = await run(
    [
      "bash",
      "--norc",
      "-c",
      "tail -s 0.05 -f /data/log | while read line; do echo $line; [ $line = two ] && break || echo two >>/data/log; done; kill %1 2>/dev/null; exit 0",
    ],
    (event) => {
      never(event);
      if (event.kind === "refused") refused.add(`${event.call} ${event.why}`);
    },
  );
  assert.equal(ran.stdout, "one\ntwo\n", ran.stderr);
  assert.deepEqual([...refused], ["inotify inotify"]);
  const watched = await run(
    [
      "node",
      "-e",
      `const fs = require("fs");
try { fs.watch("/data"); } catch (e) { console.log(e.code); }
fs.watchFile("/data/log", { interval: 20 }, (now, before) => { console.log("seen", now.size > before.size); process.exit(); });
setInterval(() => fs.appendFileSync("/data/log", "three\\n"), 50);`,
    ],
    never,
  );
  assert.equal(watched.stdout, "ENOSPC\nseen true\n", watched.stderr);
});

test("a program is told once it runs; what a fork has left of its parent in the moment before is told to who wants all", async () => {
  const programs = async (): Promise<readonly string[]> => {
    const found: string[] = [];
    const loop =
      "for n in 1 2; do cat /dev/null; done; read -r line </dev/null || /nonexistent || :";
    const ran = await run(["bash", "--norc", "-c", loop], (event) => {
      if (event.kind === "program") found.push(basename(event.executable)); // inpod-launch looks for it
    });
    assert.equal(ran.code, 0, ran.stderr);
    return found.filter((name) => name !== "inpod-launch");
  };
  assert.deepEqual(await programs(), ["bash", "cat", "cat", "bash"]); // the last one stays what it is: ENOENT
  tap.wantReports("all");
  after(() => tap.wantReports("nothing"));
  assert.deepEqual(await programs(), ["bash", "bash", "cat", "bash", "cat", "bash", "bash"]);
});

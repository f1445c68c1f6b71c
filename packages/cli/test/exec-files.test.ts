/** The pod's files in a program, by a mount or as snapshots, and what is left of either when processes are killed. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type Run, runInpod, startInpod, until, useSandbox } from "./exec-support.ts";
import { commandOf, descendants } from "./processes.ts";
import { MOUNTING, refusing } from "./refusing.ts";

const { sandbox, folder } = await useSandbox();

const inPod = (script: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = sandbox.inPod(["sh", "-c", script], { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout?.on("data", (chunk) => {
      text += String(chunk);
    });
    child.once("error", reject);
    child.once("close", () => resolve(text));
  });

const fileServers = (run: Run): number[] =>
  descendants(run.pid).filter((pid) => /\/files\.js /.test(commandOf(pid)));
const keepers = (run: Run): number[] =>
  descendants(run.pid).filter((pid) => /inpod-keeper/.test(commandOf(pid)));

const mountsOfInpod = (): string[] =>
  readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .filter((line) => /inpod/.test(line));
const snapshotFolders = (): string[] =>
  [process.env.XDG_RUNTIME_DIR, "/dev/shm", tmpdir()].flatMap((place) =>
    place === undefined
      ? []
      : readdirSync(place).filter((name) => /^inpod-(files\.|\w{6}$)/.test(name)),
  );
const mounts = mountsOfInpod();
const folders = snapshotFolders();

/** Of the session: its processes, mounts, and directories. */
async function assertNothingIsLeft(processes: readonly number[]): Promise<void> {
  let left: string[] = [];
  await until("nothing of the session is left", () => {
    left = [
      ...processes.map(commandOf),
      ...mountsOfInpod().filter((each) => !mounts.includes(each)),
      ...snapshotFolders().filter((each) => !folders.includes(each)),
    ].filter(Boolean);
    return left.length === 0;
  }).catch((error: Error) => {
    throw new Error(`${error.message}; there is: ${left.join("; ")}`);
  });
}

/** Says what a file is each time that it is asked, and holds one open. */
const HOLDER = `
const fs = require("fs");
const [path] = process.argv.slice(2);
const held = fs.openSync(path, "r");
const read = (of) => { try { return fs.readFileSync(of, "latin1").trim().slice(0, 10); } catch (error) { return error.code; } };
console.log("holding", read(path));
let number = 0;
setInterval(() => {
  let own = "held";
  try { fs.readSync(held, Buffer.alloc(1), 0, 1, 4096 * ++number); } catch (error) { own = error.code; }
  console.log(own, read(path));
}, 50);`;
function holder(): string {
  const file = join(folder, "holder.js");
  writeFileSync(file, HOLDER);
  return file;
}

const CONFIG = { feature: { fs: { mode: "read", read_only: ["^/tmp/inpod-life"] } } };

for (const [way, through] of [
  ["by a mount", []],
  ["as snapshots", [refusing(folder, ...MOUNTING)]],
] as const) {
  test(`${way}: directories are listed and entered, links followed, large files read, copies made`, async () => {
    const { files } = sandbox;
    await inPod(
      "mkdir -p /app/d/sub; echo one > /app/d/a; ln -sfn a /app/d/link; ln -sfn /app/d /app/dir",
    );
    const script = `
      ls /app/d; cat /app/d/link; cd /app/dir && cat a && ls sub && cat ../d/a && pwd -P; cd /
      stat -L -c '%F %s' /app/d/link /app/d ${files.large} | sort | head -1
      cp ${files.large} ${folder}/copy && stat -c %s ${folder}/copy
      find /app/d | sort; readlink /app/dir; cat /app/d/none; echo $?`;
    const ran = await runInpod(sandbox, ["sh", "-c", script], { through });
    const lines = ["a", "link", "sub", "one", "one", "one", "/app/d"];
    assert.deepEqual(
      ran.stdout.trim().split("\n"),
      [
        ...lines,
        ran.stdout.split("\n")[lines.length],
        String(5 * 1024 * 1024),
        ...["/app/d", "/app/d/a", "/app/d/link", "/app/d/sub"],
        ...["/app/d", "1"],
      ],
      ran.stderr,
    );
    assert.match(ran.stderr, /none.*No such file/);
    assert.equal(/snapshots here/.test(ran.stderr), through.length > 0, ran.stderr);
    await assertNothingIsLeft([]);
  });

  test(`${way}: what changes in the pod is seen by the next open`, async () => {
    await inPod("echo one > /tmp/inpod-life");
    const run = await startInpod(sandbox, ["node", holder(), "/tmp/inpod-life"], {
      through,
      config: CONFIG,
    });
    await run.said(/holding one/);
    await inPod("echo two > /tmp/inpod-next; mv /tmp/inpod-next /tmp/inpod-life");
    await run.said(/held two/);
  });

  test(`${way}: programs of the pod are executed, scripts too, also as the command's children`, async () => {
    await inPod(
      "mkdir -p /app/bin; cp /bin/echo /app/bin/say; printf '#!/bin/sh\\necho script $1\\n' > /app/bin/script; chmod 755 /app/bin/*",
    );
    const script = `for i in 1 2 3 4 5; do /app/bin/say said $i; /app/bin/script $i; done
      cd /app/bin; ./say here; ./script here; exec ./say last`;
    const ran = await runInpod(sandbox, ["sh", "-c", script], { through });
    const each = [1, 2, 3, 4, 5].flatMap((i) => [`said ${i}`, `script ${i}`]);
    const lines = [...each, "here", "script here", "last", ""];
    assert.equal(ran.stdout, lines.join("\n"), ran.stderr);
    assert.equal(ran.code, 0);
  });

  for (const victims of ["the CLI", "the CLI and the keeper"]) {
    test(`${way}: ${victims} killed, and nothing is left`, async () => {
      await inPod("echo one > /tmp/inpod-life");
      const run = await startInpod(sandbox, ["node", holder(), "/tmp/inpod-life"], {
        through,
        config: CONFIG,
      });
      await run.said(/held one/);
      const processes = [run.pid, ...descendants(run.pid)];
      if (way === "by a mount") assert.equal(fileServers(run).length, 1);
      else assert.ok(snapshotFolders().length > folders.length);
      const killed = victims === "the CLI" ? [] : keepers(run);
      // The keeper would be started again before its parent is killed.
      process.kill(run.pid, "SIGSTOP");
      for (const pid of killed) process.kill(pid, "SIGKILL");
      process.kill(run.pid, "SIGKILL");
      if (victims !== "the CLI") {
        // Nobody ends the program; its calls fail from now on.
        run.signalGroup("SIGKILL");
        await run.ended;
        if (way === "as snapshots") await runInpod(sandbox, ["true"], { through });
      }
      await assertNothingIsLeft(processes);
    });
  }
}

test("the file server killed: another one is started, what was open fails with ENOTCONN", async () => {
  await inPod(`head -c 1000000 /dev/zero | tr '\\0' x > /app/held; echo one > /tmp/inpod-life`);
  const run = await startInpod(sandbox, ["node", holder(), "/app/held"], { config: CONFIG });
  await run.said(/holding xxx/);
  const before = fileServers(run);
  assert.equal(before.length, 1);
  for (const pid of before) process.kill(pid, "SIGKILL");
  await run.said(/file server ended: another one is started/, "stderr");
  await run.said(/ENOTCONN xxx/);
  const after = fileServers(run);
  assert.equal(after.length, 1);
  assert.notDeepEqual(after, before);
  const processes = [run.pid, ...descendants(run.pid)];
  run.signalGroup("SIGINT");
  await run.ended;
  await assertNothingIsLeft(processes);
});

/** Connects to, and opens, what it reads from pages of a remote file that nobody has touched before. */
const MAPPED = `
import ctypes, mmap, os, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def mapped(path):
    fd = os.open(path, os.O_RDWR)
    return (ctypes.c_char * 4096).from_buffer(mmap.mmap(fd, 4096))
def attempt(name, call):
    began = time.monotonic()
    result = call()
    error = 0 if result >= 0 else ctypes.get_errno()
    print(name, "ok" if error == 0 else os.strerror(error), "in time" if time.monotonic() - began < 15 else "late", flush=True)
pages = [mapped("/app/address-%d" % n) for n in range(2)] + [mapped("/app/path-%d" % n) for n in range(2)]
print("mapped", flush=True)
for n in range(2):
    sys.stdin.readline()
    s = socket.socket()
    attempt("connect", lambda: libc.connect(s.fileno(), pages[n], 16))
    attempt("open", lambda: libc.open(pages[2 + n], os.O_RDONLY))
    print("here", len(os.listdir("/proc/self")) > 0, flush=True)
`;

test("an address and a path in mapped pages of remote files: read, or an errno in time where the agent is silent", async () => {
  const { greetings } = sandbox.network.services;
  const address = Buffer.from([
    2,
    0,
    0,
    80,
    ...greetings.split(".").map(Number),
    ...Array(8).fill(0),
  ]);
  const octal = [...address].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  for (const n of [0, 1]) {
    const zeros = "head -c 4080 /dev/zero";
    await inPod(
      `{ printf '${octal}'; ${zeros}; } > /app/address-${n}; chmod 666 /app/address-${n}`,
    );
    await inPod(
      `{ printf '/app/settings.json\\000'; ${zeros}; } > /app/path-${n}; chmod 666 /app/path-${n}`,
    );
  }
  const program = join(folder, "mapped.py");
  writeFileSync(program, MAPPED);
  const feature = { fs: { mode: "write", read_write: ["^/app/(address|path)"] } };
  const run = await startInpod(sandbox, ["python3", program], {
    config: { feature },
    stdin: "pipe",
  });
  await run.said("mapped");
  run.child.stdin?.write("\n");
  await run.said(/connect ok in time\nopen ok in time\nhere True/);
  const agents = descendants(run.pid).filter((pid) => /inpod-enter|agent\.js/.test(commandOf(pid)));
  assert.ok(agents.length > 0);
  try {
    for (const pid of agents) process.kill(pid, "SIGSTOP");
    run.child.stdin?.write("\n");
    await run.said(/here True\n(.|\n)*(connect|open) (?!ok)[^\n]+ in time\n(.|\n)*here True/);
  } finally {
    // Stopped they would stay whatever becomes of the session.
    for (const pid of agents) process.kill(pid, "SIGCONT");
  }
  const { code, stdout } = await run.ended;
  assert.equal(code, 0, stdout);
  assert.doesNotMatch(stdout, /late/);
});

test("a file server that is killed again and again: in the end calls fail with EIO, and it is said", async () => {
  await inPod("echo one > /tmp/inpod-life");
  const run = await startInpod(sandbox, ["node", holder(), "/tmp/inpod-life"], {
    config: CONFIG,
    flags: ["--verbose"],
  });
  await run.said(/held one/);
  // One that is killed before it is used is followed by the next without a word.
  const seen = new Set<number>();
  await until(
    "it is given up",
    () => {
      for (const pid of fileServers(run).filter((each) => !seen.has(each))) {
        seen.add(pid);
        process.kill(pid, "SIGKILL");
      }
      return /from now on/.test(run.stderr) || seen.size > 20;
    },
    30_000,
  ).catch((error: Error) =>
    assert.fail(`${error.message}; ${seen.size} were killed; ${run.stderr}`),
  );
  await run.said(/files of the pod fail with EIO from now on/, "stderr");
  await run.said(/EIO/);
});

test("what is written, appended, renamed, made and removed is in the pod", async () => {
  await inPod("mkdir -p /app/w; echo one > /app/w/log; rm -rf /app/w/new* /app/w/log.1 /app/w/dir");
  const script = `
    cd /app/w && echo two >> log && mv log log.1 && echo three > log && mkdir dir && ln -s log dir/link
    echo gone > new && rm new && cat log.1 log; pwd; touch -d @1000000000 log; chmod 600 log.1; ls; stat -c %a log.1`;
  const ran = await runInpod(sandbox, ["sh", "-c", script], { flags: ["--fs-mode", "write"] });
  assert.equal(ran.stdout, "one\ntwo\nthree\n/app/w\ndir\nlog\nlog.1\n600\n", ran.stderr);
  assert.equal(
    await inPod(
      "cd /app/w; cat log.1 log; ls; readlink dir/link; stat -c '%a %Y' log.1 log | tr '\n' ' '",
    ),
    `one\ntwo\nthree\ndir\nlog\nlog.1\nlog\n${await inPod("stat -c '%a %Y' /app/w/log.1 | tr -d '\n'")} 644 1000000000 `,
  );
});

test("as snapshots nothing is written to the pod: EROFS, and it is told once", async () => {
  await inPod("echo one > /app/written");
  const ran = await runInpod(
    sandbox,
    [
      "sh",
      "-c",
      "echo two > /app/written; echo two >> /app/written; test -w /app/written || echo no",
    ],
    {
      through: [refusing(folder, ...MOUNTING)],
      config: { feature: { fs: { mode: "read", read_write: ["^/app/"] } } },
    },
  );
  assert.equal(ran.stdout, "no\n", ran.stderr);
  assert.equal(ran.stderr.match(/Read-only file system/g)?.length, 2, ran.stderr);
  assert.equal(ran.stderr.match(/is not written to/g)?.length, 1, ran.stderr);
  assert.equal(await inPod("cat /app/written"), "one\n");
});

test("in mode local there is no file server, and names are the pod's all the same", async () => {
  const run = await startInpod(sandbox, ["sh", "-c", "cat /etc/hosts; echo end; cat"], {
    flags: ["--fs-mode", "local"],
    stdin: "pipe",
  });
  await run.said(/end/);
  assert.match(run.stdout, /198\.18\.200\.2/);
  assert.deepEqual(fileServers(run), []);
  assert.doesNotMatch(run.stderr, /snapshots here/);
  run.child.stdin?.end();
  await run.ended;
  await assertNothingIsLeft([]);
});

test("no descriptor of the mount is in the file server, and none is inherited by the program", async () => {
  await inPod("echo one > /tmp/inpod-life");
  const run = await startInpod(sandbox, ["node", holder(), "/tmp/inpod-life"], { config: CONFIG });
  await run.said(/held one/);
  const [server] = fileServers(run);
  assert.ok(server !== undefined);
  const of = (pid: number): string[] =>
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
      } catch {
        return [];
      }
    });
  // Of another mount namespace the kernel tells only the name: "/fuse".
  assert.ok(of(server).some((name) => name.endsWith("/fuse")));
  assert.ok(!of(server).includes("/"), of(server).join(" "));
  const programs = descendants(run.pid).filter((pid) => /holder\.js/.test(commandOf(pid)));
  for (const pid of programs) assert.ok(!of(pid).some((name) => /fuse|^\/$/.test(name)));
});

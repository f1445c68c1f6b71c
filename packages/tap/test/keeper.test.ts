import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { folder, script, tap } from "./support.ts";

after(() => tap.unref()); // its threads would keep this process alive

test("when we are killed the keeper ends the tree, and its calls never fail with ENOSYS", async () => {
  const holder = script(
    "holder.mts",
    `import { launch, Tap } from ${JSON.stringify(new URL("../src/index.ts", import.meta.url).href)};
const tap = new Tap((event) => { if ("token" in event && event.kind !== "relayed") tap.continue(event.token); });
const tree = await launch(tap, { command: ["python3", process.argv[2]!, String(process.pid)], environment: { PATH: process.env.PATH!, INPOD_SESSION: process.argv[3]! }, groups: ["network", "files"], mark: "INPOD_SESSION=" + process.argv[3], onDeath: process.argv[3] as "stop" });
console.log(tree.child.pid);
`,
  );
  const child = script(
    "child.py",
    `import os, sys, time, signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
end = time.time() + 10
parent = int(sys.argv[1])
open('${script("started", "")}', 'a').write('ok ')
while time.time() < end and os.getppid() == parent: time.sleep(0.01)
for i in range(100): os.stat('/etc/hosts')
open('${script("result", "")}', 'a').write('ok ')
time.sleep(30)
`,
  );
  const result = child.replace("child.py", "result");
  const started = child.replace("child.py", "started");
  let rounds = 0;
  const alive = (pid: number) => {
    try {
      return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
    } catch {
      return false;
    }
  };
  for (const mode of ["stop", "continue"] as const) {
    const us = spawn(process.execPath, ["--import", "tsx", holder, child, mode], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await once(us.stdout, "data");
    const pid = Number(String(line));
    assert.ok(alive(pid));
    // Before that it does not look for our end.
    rounds++;
    while (readFileSync(started, "latin1").length < "ok ".length * rounds) {
      await new Promise((r) => setTimeout(r, 10));
    }
    us.kill("SIGKILL");
    await once(us, "exit");
    const until = Date.now() + 60_000;
    const isDone = () =>
      mode === "stop" ? !alive(pid) : readFileSync(result, "latin1").includes("ok");
    while (!isDone() && Date.now() < until) await new Promise((r) => setTimeout(r, 20));
    assert.ok(isDone(), mode);
    if (mode === "continue") process.kill(pid, "SIGKILL");
  }
});

test("when we are killed a folder that is ours alone goes with us, and nothing that its links name", async () => {
  const left = join(folder, "left");
  const deep = join(left, ...Array.from({ length: 400 }, (_, i) => `d${i}`));
  mkdirSync(deep, { recursive: true });
  writeFileSync(join(deep, "file"), "", { mode: 0o400 });
  const other = script("other", "not ours");
  symlinkSync(other, join(left, "link"));
  symlinkSync(folder, join(left, "folder"));
  const holder = script(
    "folder-holder.mts",
    `import { launch, Tap } from ${JSON.stringify(new URL("../src/index.ts", import.meta.url).href)};
const tap = new Tap(() => {});
const mark = "INPOD_SESSION=folder-" + process.pid;
await launch(tap, { command: ["sleep", "30"], environment: { PATH: process.env.PATH!, INPOD_SESSION: "folder-" + process.pid }, groups: ["hostname"], mark, onDeath: "stop", folder: ${JSON.stringify(left)} });
console.log("launched");
`,
  );
  const us = spawn(process.execPath, ["--import", "tsx", holder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(us.stdout, "data");
  assert.ok(existsSync(join(left, "link")));
  us.kill("SIGKILL");
  await once(us, "exit");
  const until = Date.now() + 60_000;
  while (existsSync(left) && Date.now() < until) await new Promise((r) => setTimeout(r, 20));
  assert.ok(!existsSync(left));
  assert.equal(readFileSync(other, "latin1"), "not ours");
});

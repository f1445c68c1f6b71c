import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { runInpod, useSandbox } from "./exec-support.ts";

const { sandbox, folder } = await useSandbox();

await mkdir(join(folder, "own"));
await writeFile(join(folder, "own/a"), "of this machine\n");

const shell = (script: string, fs: object, flags: readonly string[] = []) =>
  runInpod(sandbox, ["sh", "-c", script], { config: { feature: { fs } }, flags });

test("a mapped path is the pod's or this machine's by the path that takes its place", async () => {
  const mapping = {
    "^/nowhere/conf/(?<name>\\w+)$": ["/config/$", "{name}"].join(""),
    "^/nowhere/own(/.*)?$": `${folder}/own$1`,
  };
  const { stdout, stderr, code } = await shell(
    `cat /nowhere/conf/greeting /nowhere/own/a; ls /nowhere/own
     echo written > /nowhere/own/b && mv /nowhere/own/b /nowhere/own/c && ls /nowhere/own
     mv /nowhere/own/a /nowhere/a 2>/dev/null || echo "not moved"
     test -e /nowhere/conf/none || echo none
     cd /nowhere/own && ls -d [ac] && cat a`,
    { mapping },
  );
  assert.equal(code, 0, stderr);
  assert.equal(
    stdout,
    "greetings from the pod's file\nof this machine\na\na\nc\nnot moved\nnone\na\nc\nof this machine\n",
    stderr,
  );
  assert.deepEqual((await readdir(join(folder, "own"))).sort(), ["a", "c"]);
  assert.equal(await readFile(join(folder, "own/c"), "utf8"), "written\n");
});

/** A file that the defaults give to the pod, and every Debian has. */
const OWN = "/var/lib/dpkg/status";

test("what the pod does not have by the new name is this machine's of the new name", {
  skip: existsSync(OWN) ? false : `there is no ${OWN}`,
}, async () => {
  const mapping = { "^/nowhere/x$": OWN, "^/nowhere/y$": "/etc/hostname" };
  const { stdout, stderr } = await shell("head -c 8 /nowhere/x; cat /nowhere/y", { mapping });
  assert.equal(stdout, `Package:${sandbox.network.pod.hostname}\n`, stderr);
});

test("--verbose says which rule decided about a file, once for each", async () => {
  const script = `cat /config/greeting /config/greeting ${sandbox.files.settings} >/dev/null
    cat /app/server.js /app/hidden /app/none 2>/dev/null
    cat /nowhere/x >/dev/null
    { : > /app/cache/x; } 2>/dev/null; true`;
  const fs = {
    read_only: ["^/config/.*ting$"],
    not_found: ["/hidden$"],
    mapping: { "^/nowhere/x$": "/config/greeting" },
  };
  const { stderr } = await shell(script, fs, ["--verbose"]);
  const decisions = stderr.split("\n").filter((line) => line.startsWith("decision open "));
  for (const expected of [
    "/config/greeting → remote  because feature.fs.read_only[0] (^/config/.*ting$)",
    `${sandbox.files.settings} → remote  because feature.fs.mode is "read": what nobody claims is read from the pod`,
    "/app/server.js → local  because default: code (*.js)",
    "/app/hidden → not-found  because feature.fs.not_found[0] (/hidden$)",
    "/app/none → local  because the pod has no such file",
    '/app/cache/x → local  because feature.fs.mode is "read"',
    '/config/greeting → remote  because feature.fs.read_only[0] (^/config/.*ting$); feature.fs.mapping["^/nowhere/x$"] takes /nowhere/x there',
  ]) {
    const found = decisions.filter((line) => line === `decision open ${expected}`);
    assert.equal(found.length, 1, `${expected}\n${stderr}`);
  }
  assert.doesNotMatch(stderr, /libc\.so|decision (open|stat) \/(usr|etc\/ld)/);
});

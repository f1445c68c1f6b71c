import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { LEASED_MS } from "../src/tree/policy.ts";
import { begun, hint, output } from "./support/mounted.ts";

// What costs is round trips: they are counted, not timed.

/** What was asked about the folder. Those above it are everybody's: what happens in them meanwhile is asked about again. */
const askedWithin = ({ folder, agent }: Awaited<ReturnType<typeof begun>>): string[] =>
  agent.asked.filter((request) =>
    [` ${folder}/`, `list ${folder}`, `tree ${folder}`].some((part) => request.includes(part)),
  );

test("a path seven levels deep is one request when it is announced", async (t) => {
  const path = "h/a/b/c/d/e/conf.yml";
  const pod = await begun(t, (root) => {
    mkdirSync(join(root, "h/a/b/c/d/e"), { recursive: true });
    writeFileSync(join(root, path), "port: 1\n");
  });
  await hint(pod, `${path}`);
  assert.equal(await output(pod, "cat", path), "port: 1\n");
  assert.deepEqual(pod.agent.asked, [`chain ${pod.folder}/${path}`]);
});

test("a path that is announced and not there is one request, too", async (t) => {
  const pod = await begun(t, (root) => {
    mkdirSync(join(root, "a/b"), { recursive: true });
  });
  await hint(pod, "a/b/c/none");
  assert.equal(await output(pod, "sh", "-c", "test -e a/b/c/none || echo none"), "none\n");
  await hint(pod, "a/b/c/none");
  assert.deepEqual(pod.agent.asked, [`chain ${pod.folder}/a/b/c/none`]);
});

test("ls -la of 200 files: at most 3 requests, and none again", async (t) => {
  const pod = await begun(t, (root) => {
    mkdirSync(join(root, "srv/d"), { recursive: true });
    for (let i = 0; i < 200; i++) writeFileSync(join(root, `srv/d/file-${i}`), "x".repeat(i));
  });
  await hint(pod, "srv/d");
  const listed = await output(pod, "ls", "-la", "srv/d");
  assert.equal(listed.split("\n").length, 204);
  const before = askedWithin(pod);
  assert.ok(before.length <= 3, before.join("\n"));
  assert.equal(await output(pod, "ls", "-la", "srv/d"), listed);
  assert.deepEqual(askedWithin(pod), before);
});

test("grep -r of 500 files in 10 directories: at most 3 requests", async (t) => {
  const pod = await begun(t, (root) => {
    for (let i = 0; i < 500; i++) {
      const directory = join(root, `srv/data/d${i % 10}`);
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, `file-${i}`), `line\nneedle ${i}\n`);
    }
  });
  await hint(pod, "srv/data");
  const found = await output(pod, "grep", "-r", "needle", "srv/data");
  assert.equal(found.split("\n").length, 501);
  const ofFiles = askedWithin(pod).filter((request) => !request.startsWith("statfs"));
  assert.ok(ofFiles.length <= 3, pod.agent.asked.join("\n"));
});

test("300 modules are required with at most 3 requests", async (t) => {
  const pod = await begun(t, (root) => {
    const app = join(root, "srv/app");
    let main = "let n = 0;\n";
    for (let i = 0; i < 300; i++) {
      const module = join(app, `node_modules/module-${i}`);
      mkdirSync(join(module, "lib"), { recursive: true });
      writeFileSync(join(module, "package.json"), `{"name":"module-${i}","main":"lib/index.js"}`);
      writeFileSync(join(module, "lib/index.js"), `module.exports = ${i};\n`);
      main += `n += require("module-${i}");\n`;
    }
    writeFileSync(join(app, "package.json"), '{"name":"app"}');
    writeFileSync(join(app, "main.js"), `${main}console.log(n);\n`);
  });
  const since = performance.now();
  await hint(pod, "srv/app/main.js");
  const node = [process.execPath, "--preserve-symlinks", "--preserve-symlinks-main"];
  const require = [...node, `/proc/self/fd/3${pod.folder}/srv/app/main.js`];
  assert.equal(await output(pod, "sh", "-c", 'cd / && exec "$@"', "sh", ...require), "44850\n");
  // What is known is asked about again after LEASED_MS, which a busy machine may well take for it.
  const rounds = Math.ceil((performance.now() - since) / LEASED_MS);
  assert.ok(askedWithin(pod).length <= 3 * rounds, pod.agent.asked.join("\n"));
});

test("files that are only looked at come without their content", async (t) => {
  const pod = await begun(t, (root) => {
    for (let i = 0; i < 20; i++) {
      mkdirSync(join(root, `srv/d${i}`), { recursive: true });
      writeFileSync(join(root, `srv/d${i}/file`), "secret".repeat(100));
    }
  });
  await output(pod, "find", "srv", "-size", "+1k");
  assert.ok(askedWithin(pod).length <= 3, pod.agent.asked.join("\n"));
});

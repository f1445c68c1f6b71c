/** What a pod can have a lot of does not make the server grow. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { FileAnswers, FileRequest } from "@inpod/protocol";
import { attributesOf, Backend, type Channel } from "./support/backend.ts";
import { begun, comes, folder, hint, output, run, serving, start } from "./support/mounted.ts";

const MANY = 1_000_000;
const MIB = 1024 * 1024;

/** /many has a million names, of one file. */
class Many extends Backend {
  protected override answer(channel: Channel, r: FileRequest): FileAnswers[FileRequest["op"]] {
    if (r.op !== "list" || r.path !== "/many") return super.answer(channel, r);
    const attributes = attributesOf(statSync(join(this.root, "one"), { bigint: true }));
    const directory = attributesOf(statSync(join(this.root, "many"), { bigint: true }));
    const first = Number(r.cookie);
    const count = Math.min(r.maxEntries, Math.floor(r.maxBytes / 120), MANY - first);
    const records = Array.from({ length: count }, (_, i) => {
      const path = `name-${first + i}`;
      return { kind: "entry", path, attributes, content: undefined } as const;
    });
    const next = first + count < MANY ? BigInt(first + count) : 0n;
    return { nextCookie: next, isLeased: false, attributes: directory, records };
  }
}

async function many(t: Parameters<typeof folder>[0]) {
  const root = folder(t);
  mkdirSync(join(root, "many"));
  writeFileSync(join(root, "one"), "");
  const backend = new Many(root);
  t.after(() => backend.close());
  const server = await serving(t, backend);
  return { pod: { server, folder: "/" }, server };
}

test("a directory of a million names is listed, in no more memory", async (t) => {
  const { pod, server } = await many(t);
  const names = await output(pod, "sh", "-c", "ls -U /proc/self/fd/3/many | sort -u | wc -l");
  assert.equal(names, `${MANY}\n`);
  const { residentBytes, nodes } = await server.figures();
  t.diagnostic(`${Math.round(residentBytes / MIB)} MiB, ${nodes} nodes`);
  assert.ok(residentBytes < 115 * MIB, String(residentBytes));
});

test("a file of any size is read and written in no more memory", async (t) => {
  const pod = await begun(t);
  const script = `
import os
part = b"x" * (1 << 20)
with open("large", "wb") as f:
    for i in range(200): f.write(part)
with open("large", "rb") as f:
    for i in range(200): assert f.read(1 << 20) == part
`;
  await output(pod, "python3", "-c", script);
  const { residentBytes } = await pod.server.figures();
  t.diagnostic(`${Math.round(residentBytes / MIB)} MiB`);
  // It begins with 80; on a busy machine garbage is collected late.
  assert.ok(residentBytes < 150 * MIB, String(residentBytes));
});

test("the kernel forgets what is too much, and finds it again", async (t) => {
  const root = folder(t);
  for (let d = 0; d < 30; d++) {
    mkdirSync(join(root, `d${d}`));
    for (let i = 0; i < 100; i++) writeFileSync(join(root, `d${d}/f${i}`), `${d} ${i}`);
  }
  const backend = new Backend(root);
  t.after(() => backend.close());
  const server = await serving(t, backend, { limits: { nodes: 500, contentBytes: 2000 } });
  const pod = { server, folder: "/" };
  const sum = "cd /proc/self/fd/3 && cat */* | wc -c && ls -lR . | grep -c '^-'";
  const expected = await output(pod, "sh", "-c", sum);
  assert.match(expected, /\n3000\n$/);
  assert.equal(await output(pod, "sh", "-c", sum), expected);
  const { nodes } = await comes(
    "fewer nodes",
    (async () => {
      for (;;) {
        const figures = await server.figures();
        if (figures.nodes < 1500) return figures;
        await output(pod, "sh", "-c", "ls -l /proc/self/fd/3/d0");
      }
    })(),
  );
  t.diagnostic(`${nodes} nodes`);
});

test("in place of a container that is started again come the new one's files", async (t) => {
  const [old, next] = [folder(t), folder(t)];
  writeFileSync(join(old, "file"), "o".repeat(20 * MIB));
  writeFileSync(join(next, "file"), "new");
  writeFileSync(join(next, "only-here"), "");
  const backend = new Backend(old);
  t.after(() => backend.close());
  const server = await serving(t, backend);
  const pod = { server, folder: "/" };
  const script = `
import errno, os, sys
f = os.open("/proc/self/fd/3/file", os.O_RDONLY); os.pread(f, 10, 0)
print("open", flush=True); sys.stdin.readline()
try: print(os.pread(f, 10, 19 << 20))
except OSError as e: print(errno.errorcode[e.errno])
print(open("/proc/self/fd/3/file").read(), os.listdir("/proc/self/fd/3"))
`;
  const reader = start(pod, ["python3", "-u", "-c", script]);
  await once(reader.child.stdout as NodeJS.ReadableStream, "data");
  backend.root = next;
  backend.lose("ESTALE");
  reader.child.stdin?.end("\n");
  const { stdout, stderr } = await reader.ended;
  assert.equal(stdout, "open\nESTALE\nnew ['file', 'only-here']\n", stderr);
});

test("a directory that is replaced by a file, and back, is what it is", async (t) => {
  const root = folder(t);
  mkdirSync(join(root, "x"));
  writeFileSync(join(root, "x/inner"), "inner");
  const backend = new Backend(root, { hasLeases: false });
  t.after(() => backend.close());
  const server = await serving(t, backend);
  const pod = { server, folder: "/" };
  const path = "/proc/self/fd/3/x";
  assert.equal(await output(pod, "cat", `${path}/inner`), "inner");
  renameSync(join(root, "x"), join(root, "y"));
  writeFileSync(join(root, "x"), "a file");
  const wait = `
import os, time
until = time.time() + 60
while not os.path.isfile("${path}"): assert time.time() < until; time.sleep(0.05)
assert open("${path}").read() == "a file"
`;
  await output(pod, "python3", "-c", wait);
  assert.match((await run(pod, "cat", `${path}/inner`)).stderr, /Not a directory/);
  rmSync(join(root, "x"));
  renameSync(join(root, "y"), join(root, "x"));
  await output(pod, "python3", "-c", wait.replace("isfile", "isdir").replace(/assert open.*/, ""));
  assert.equal(await output(pod, "cat", `${path}/inner`), "inner");
});

test("hints of any shape are answered", async (t) => {
  const root = folder(t);
  mkdirSync(join(root, "d"));
  const backend = new Backend(root);
  t.after(() => backend.close());
  const server = await serving(t, backend);
  const pod = { server, folder: "" };
  for (const path of ["d", "../../d/./..//d", "none/none", "d/", `${"x/".repeat(1500)}`]) {
    await hint(pod, path);
  }
});

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FileServerFailed, startFileServer } from "../src/index.ts";
import { LEASED_MS } from "../src/tree/policy.ts";
import { Backend } from "./support/backend.ts";
import { begun, comes, folder, hint, output, run, serving, start } from "./support/mounted.ts";

/** The server's process, a child of that one. */
function serverPid(parent = process.pid): number {
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").trim();
  for (const pid of children.split(" ").filter((text) => text !== "")) {
    if (readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("files.js")) return Number(pid);
  }
  throw new Error("there is no file server");
}

function closedGate(): { gate: Promise<void>; open: () => void } {
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { gate, open };
}

async function held(t: Parameters<typeof folder>[0]) {
  const root = folder(t);
  writeFileSync(join(root, "file"), "content");
  mkdirSync(join(root, "d"));
  const backend = new Backend(root);
  t.after(() => backend.close());
  const server = await serving(t, backend);
  const pod = { server, folder: "/" };
  assert.equal(await output(pod, "ls", "/proc/self/fd/3"), "d\nfile\n");
  const { gate, open } = closedGate();
  t.after(open);
  backend.gate = gate;
  backend.asked.length = 0;
  return { backend, pod, open };
}

async function asked(backend: Backend, op: string): Promise<void> {
  await comes(
    `a question ${op}`,
    (async () => {
      while (!backend.asked.some((request) => request.op === op)) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    })(),
  );
}

test("whoever waits for the server when it is killed gets an errno, and nothing is left", async (t) => {
  const { backend, pod } = await held(t);
  const waiting = ["d", "file"].map((name) => start(pod, ["cat", `/proc/self/fd/3/${name}/x`]));
  const listing = start(pod, ["ls", "/proc/self/fd/3/d"]);
  await asked(backend, "list");
  process.kill(serverPid(), "SIGKILL");
  for (const { ended } of [...waiting, listing]) {
    const { stderr } = await ended;
    assert.match(stderr, /(not connected|connection abort|Not a directory)/i);
  }
  assert.match(await pod.server.ended, /SIGKILL/);
  await pod.server.close();
  assert.equal(readFileSync("/proc/self/mounts", "utf8").includes("inpod"), false);
});

const isDead = (pid: number): boolean => /\) Z /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
/** Nothing else happens in this process meanwhile. */
const sleepAsOne = (ms: number): unknown =>
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

/** Through this descriptor the root is handed over. */
function handsOver(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/fd/4`);
  } catch {
    return undefined;
  }
}

test("one that is killed right behind its word that it is there has failed, or ends: another may be started", async (t) => {
  const backend = new Backend(folder(t));
  t.after(() => backend.close());
  // Whether the kernel has to ask the server of its root again is a matter of chance.
  for (let round = 0; round < 6; round++) {
    const starting = startFileServer({ link: backend, log: (text) => t.diagnostic(text) });
    const pid = serverPid();
    const socket = handsOver(pid);
    assert.ok(socket !== undefined, "its socket for descriptors");
    const isThere = async (): Promise<void> => {
      while (handsOver(pid) === socket) await new Promise((resolve) => setImmediate(resolve));
    };
    await comes("the root", isThere());
    // What it says is not read here before it is dead.
    sleepAsOne(50);
    process.kill(pid, "SIGKILL");
    for (let looks = 0; looks < 500 && !isDead(pid); looks++) sleepAsOne(10);
    const why = await starting.then(
      async (server) => {
        const ended = await server.ended;
        await server.close();
        return ended;
      },
      (error: unknown) =>
        error instanceof FileServerFailed ? error.message : assert.fail(String(error)),
    );
    assert.match(why, /SIGKILL|ENOTCONN|ECONNABORTED/);
  }
});

test("a reader that is killed ends at once, although nobody answers", async (t) => {
  const { backend, pod } = await held(t);
  const reader = start(pod, ["ls", "/proc/self/fd/3/d"]);
  await asked(backend, "list");
  reader.child.kill("SIGKILL");
  const { signal } = await reader.ended;
  assert.equal(signal, "SIGKILL");
});

test("a signal that does not kill interrupts nothing", async (t) => {
  const { backend, pod, open } = await held(t);
  const script = `
import os, signal
signal.signal(signal.SIGUSR1, lambda *_: None)
print(os.listdir("/proc/self/fd/3/d"), flush=True)
`;
  const reader = start(pod, ["python3", "-c", script]);
  await asked(backend, "list");
  reader.child.kill("SIGUSR1");
  setTimeout(open, 600);
  backend.gate = undefined;
  const { stdout, stderr } = await reader.ended;
  assert.equal(stdout, "[]\n", stderr);
});

test("who is not answered gets ETIMEDOUT", async (t) => {
  const { pod } = await held(t);
  const { stderr } = await run(pod, "ls", "/proc/self/fd/3/d");
  assert.match(stderr, /timed out/);
});

test("the server ends with the process that started it", async (t) => {
  const root = folder(t);
  const support = join(import.meta.dirname, "support");
  const script = `
    import { Backend } from ${JSON.stringify(join(support, "backend.ts"))};
    import { startFileServer } from ${JSON.stringify(join(support, "../../src/index.ts"))};
    const server = await startFileServer({ link: new Backend(${JSON.stringify(root)}) });
    console.log(server.via);
    setInterval(() => {}, 1000);`;
  const args = ["--import", "tsx", "--input-type=module", "-e", script];
  const { spawn } = await import("node:child_process");
  const cli = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  await once(cli.stdout, "data");
  const server = serverPid(cli.pid);
  cli.kill("SIGKILL");
  await once(cli, "exit");
  await comes(
    "the end of the server",
    (async () => {
      while (existsSync(`/proc/${server}`)) await new Promise((resolve) => setTimeout(resolve, 10));
    })(),
  );
});

test("a tunnel that is lost under way is not noticed by who reads", async (t) => {
  const pod = await begun(t, (root) => {
    writeFileSync(join(root, "large"), Buffer.alloc(8 * 1024 * 1024, "x"));
    writeFileSync(join(root, "other"), "y".repeat(100_000));
  });
  const script = `
import os, sys
f = os.open("large", os.O_RDONLY); g = os.open("other", os.O_RDONLY)
assert os.pread(f, 10, 0) == b"x" * 10
print("open", flush=True)
sys.stdin.readline()
assert len(os.pread(f, 1000, 7 * 1024 * 1024)) == 1000
assert os.pread(g, 10, 99_990) == b"y" * 10
assert os.stat("other").st_size == 100_000
print("read", flush=True)
`;
  const reader = start(pod, ["python3", "-u", "-c", script], undefined);
  await once(reader.child.stdout as NodeJS.ReadableStream, "data");
  pod.agent.lose();
  reader.child.stdin?.end("\n");
  const { code, stderr } = await reader.ended;
  assert.equal(code, 0, stderr);
});

test("a file that was replaced during a loss is ESTALE for who has it open", async (t) => {
  const pod = await begun(t, (root) => writeFileSync(join(root, "file"), "a".repeat(30_000_000)));
  const script = `
import errno, os, sys
f = os.open("file", os.O_RDONLY)
os.pread(f, 10, 0)
print("open", flush=True)
sys.stdin.readline()
try: print(os.pread(f, 10, 29_000_000))
except OSError as e: print(errno.errorcode[e.errno])
print(open("file").read(3))
`;
  const reader = start(pod, ["python3", "-u", "-c", script], undefined);
  await once(reader.child.stdout as NodeJS.ReadableStream, "data");
  pod.agent.lose();
  writeFileSync(join(pod.folder, "new"), "b".repeat(30_000_000));
  renameSync(join(pod.folder, "new"), join(pod.folder, "file"));
  reader.child.stdin?.end("\n");
  const { stdout } = await reader.ended;
  assert.equal(stdout, "open\nESTALE\nbbb\n");
});

test("without a tunnel a program gets an errno, and afterwards all is well", async (t) => {
  const pod = await begun(t, (root) => writeFileSync(join(root, "file"), "known"));
  assert.equal(await output(pod, "cat", "file"), "known");
  const { gate, open } = closedGate();
  t.after(open);
  pod.agent.unreachable = gate;
  pod.agent.lose();
  const path = `/proc/self/fd/3${pod.folder}/unknown`;
  const { stderr } = await run({ ...pod, folder: "/" }, "python3", "-c", `open("${path}")`);
  assert.match(stderr, /Errno 110/);
  open();
  assert.equal(await output(pod, "cat", "file"), "known");
});

test("a removed file can be read as long as it is open", async (t) => {
  const pod = await begun(t, (root) => {
    writeFileSync(join(root, "small"), "small");
    writeFileSync(join(root, "large"), "l".repeat(300_000));
  });
  // What is removed in the pod is told here, and believed to be there for LEASED_MS at most, on whatever machine.
  const script = `
import os, sys, time
f = os.open("small", os.O_RDONLY); g = os.open("large", os.O_RDONLY)
print("open", flush=True)
sys.stdin.readline()
assert os.pread(f, 10, 0) == b"small"
assert os.pread(g, 10, 299_995) == b"lllll"
assert os.fstat(g).st_size == 300_000
end = time.monotonic() + ${(4 * LEASED_MS) / 1000}
while os.path.exists("small") and time.monotonic() < end: time.sleep(0.01)
assert not os.path.exists("small"), "small"
print("ok")
`;
  const reader = start(pod, ["python3", "-u", "-c", script], undefined);
  await once(reader.child.stdout as NodeJS.ReadableStream, "data");
  for (const name of ["small", "large"]) unlinkSync(join(pod.folder, name));
  reader.child.stdin?.end("\n");
  const { stdout, stderr } = await reader.ended;
  assert.equal(stdout, "open\nok\n", stderr);
});

test("an answer that all leases were lost before is not believed, also about what was not known then", async (t) => {
  const { backend, pod, open } = await held(t);
  mkdirSync(join(backend.root, "new"));
  writeFileSync(join(backend.root, "new/file"), "before");
  [backend.gate, backend.delivery] = [undefined, backend.gate];
  const hinted = hint(pod, "/new/file");
  await asked(backend, "chain");
  backend.loseLeases();
  open();
  await hinted;
  assert.equal(await output(pod, "cat", "/proc/self/fd/3/new/file"), "before");
  writeFileSync(join(backend.root, "new/file"), "and after");
  await comes(
    "what has changed",
    (async () => {
      while ((await output(pod, "cat", "/proc/self/fd/3/new/file")) !== "and after");
    })(),
  );
});

test("10,000 files can be open at once", async (t) => {
  const pod = await begun(t, (root) => {
    mkdirSync(join(root, "d"));
    for (let i = 0; i < 10_000; i++) writeFileSync(join(root, `d/${i}`), `file ${i} `.repeat(1000));
  });
  const script = `
import os, resource
from concurrent.futures import ThreadPoolExecutor
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, max(20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
with ThreadPoolExecutor(32) as pool: fds = list(pool.map(lambda i: os.open(f"d/{i}", os.O_RDONLY), range(10_000)))
for i in range(0, 10_000, 7): assert os.pread(fds[i], 20, 0).startswith(b"file %d " % i), i
print("ok")
`;
  const [, hard] = execFileSync("sh", ["-c", "ulimit -Hn; ulimit -Hn"]).toString().split("\n");
  if (hard !== "unlimited" && Number(hard) < 20_000 && process.getuid?.() !== 0) {
    t.skip("needs a hard limit of 20,000 open files");
    return;
  }
  assert.equal(await output(pod, "python3", "-c", script), "ok\n");
});

test("what is changed in the pod is seen", async (t) => {
  const pod = await begun(t, (root) => {
    writeFileSync(join(root, "log"), "1\n");
    mkdirSync(join(root, "d"));
  });
  assert.equal(await output(pod, "cat", "log"), "1\n");
  assert.equal(await output(pod, "sh", "-c", "ls d; test -e d/new || echo none"), "none\n");
  appendFileSync(join(pod.folder, "log"), "2\n");
  writeFileSync(join(pod.folder, "d/new"), "new");
  // An event that meets an answer under way is as good as lost to the kernel, which believes that for LEASED_MS.
  const seen = `
import os, time
until = time.time() + ${(4 * LEASED_MS) / 1000}
def wait(what, wanted):
    while (seen := what()) != wanted:
        assert time.time() < until, f"{seen!r}, not {wanted!r}"
        time.sleep(0.01)
wait(lambda: open("log").read(), "1\\n2\\n")
wait(lambda: os.path.exists("d/new"), True)
wait(lambda: os.listdir("d"), ["new"])
print("seen")
`;
  assert.equal(await output(pod, "python3", "-c", seen), "seen\n");
  assert.ok(readdirSync(pod.folder).length > 0);
});

test("where something happened while an answer was under way, nothing of the directory is believed", async (t) => {
  const root = folder(t);
  mkdirSync(join(root, "d"));
  writeFileSync(join(root, "d/old"), "1");
  const backend = new Backend(root);
  t.after(() => backend.close());
  const pod = { server: await serving(t, backend), folder: "/d" };
  const look = ["sh", "-c", "ls; cat old; test -e new && echo new"];
  assert.equal((await run(pod, ...look)).stdout, "old\n1");
  backend.isMute = true;
  writeFileSync(join(root, "d/new"), "");
  writeFileSync(join(root, "d/old"), "2");
  assert.equal((await run(pod, ...look)).stdout, "old\n1", "nobody has been told");
  backend.tell({ kind: "invalidate", directory: "/d", name: "", what: "changed" });
  // It is a message to the server, and another one to the kernel.
  const seen = async (): Promise<string> => (await run(pod, ...look)).stdout;
  let last = "";
  const changed = async (): Promise<void> => {
    while (last !== "new\nold\n2new\n") last = await seen();
  };
  await comes("what is new", changed()).catch((error) => assert.fail(`${error}: ${last}`));
});

test("who stands in a directory stays there, whatever is told about its name", async (t) => {
  const pod = await begun(t, (root) => {
    mkdirSync(join(root, "d/e"), { recursive: true });
    writeFileSync(join(root, "d/e/file"), "content");
  });
  const script = `
import os, sys
os.chdir("d/e")
print(os.readlink("/proc/self/cwd"), open("file").read(), flush=True)
sys.stdin.readline()
for _ in range(100): os.stat("file"); os.stat("..")
print(os.readlink("/proc/self/cwd"), open("file").read(), os.listdir("."), flush=True)
`;
  const { child, ended } = start(pod, ["python3", "-u", "-c", script]);
  await once(child.stdout as NodeJS.ReadableStream, "data");
  // Each lease is lost, and each name told again.
  pod.agent.lose();
  assert.match(await output({ ...pod, folder: "/" }, "ls", `/proc/self/fd/3${pod.folder}/d`), /e/);
  child.stdin?.end("\n");
  const { stdout, stderr } = await ended;
  const where = `${pod.folder}/d/e content`;
  assert.equal(stdout, `${where}\n${where} ['file']\n`, stderr);
});

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { NETWORK } from "@inpod/sandbox";
import { Run, useSandbox } from "./exec-support.ts";

const { sandbox, inventory, folder } = await useSandbox();

const THREADS = 8;
/** Connects to where nobody answers, in as many threads; ends when all of them have got an answer all the same. */
const CONNECTS = `
import errno, os, signal, socket, threading
signal.alarm(60)
def work():
    s = socket.socket()
    # In one write(2): print() makes several, and threads come in between.
    os.write(1, f"connect {errno.errorcode.get(s.connect_ex(('${NETWORK.blackHole}', 80)))}\\n".encode())
threads = [threading.Thread(target=work) for _ in range(${THREADS})]
for t in threads: t.start()
for t in threads: t.join()
# The session is over, the program is not: these are the machine's own.
for i in range(100): os.stat("/etc/hosts")
s = socket.socket()
print("later", errno.errorcode.get(s.connect_ex(("${NETWORK.blackHole}", 80))), flush=True)
print("ends by itself", flush=True)
`;

test('with "continue" a killed session lets its program go on, with the calls that were held', async () => {
  const program = join(folder, "connects.py");
  await writeFile(program, CONNECTS);
  const python = execFileSync("sh", ["-c", "command -v python3"], { encoding: "utf8" }).trim();
  const held = fileURLToPath(new URL("continuing-session.ts", import.meta.url));
  const argv = [process.execPath, "--import", "tsx", held, String(sandbox.pid), python, program];
  const run = new Run(sandbox.inLaptop(argv, { stdio: ["ignore", "pipe", "pipe"] }));
  const connects = new RegExp(`(connect tcp ${NETWORK.blackHole}:80: remote[^]*){${THREADS}}`);
  await run.said(connects, "stderr");
  process.kill(run.pid, "SIGKILL");
  await run.said("ends by itself");
  const { stdout } = await run.ended;
  const answers = stdout.split("\n").filter((line) => line.startsWith("connect "));
  assert.equal(answers.length, THREADS, stdout);
  assert.doesNotMatch(stdout, /ENOSYS|None/);
  assert.match(stdout, /^later E(HOST|NET)UNREACH$/m);
  await inventory.assertAsBefore(folder);
});

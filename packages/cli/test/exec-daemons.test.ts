/** What outlives its command, and what becomes of it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { NETWORK } from "@inpod/sandbox";
import { leftRunning, untilTreeEnds } from "../src/exec/rest.ts";
import {
  isRunning,
  isThere,
  quoted,
  Run,
  runInpod,
  startInpod,
  until,
  useSandbox,
} from "./exec-support.ts";

const started: number[] = [];
// Before those of useSandbox(): a run has not ended as long as a daemon has its output.
afterEach(() => {
  for (const pid of started.splice(0)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // it has ended
    }
  }
});

const { sandbox, inventory } = await useSandbox();

const SCRIPT = fileURLToPath(new URL("trees/daemon.py", import.meta.url));
const { address: podAddress, httpPort, echoPort } = NETWORK.pod;
const daemon = (port: number, how: string): string =>
  quoted([
    "python3",
    SCRIPT,
    String(port),
    how,
    `${podAddress}:${echoPort}`,
    sandbox.files.greeting,
  ]);

/** What the daemon on that port of this machine tells. */
async function told(port: number): Promise<string> {
  const ask = `import socket; s = socket.create_connection(("127.0.0.1", ${port}), 20); s.settimeout(30); print(s.makefile().read(), end="")`;
  const { stdout, stderr } = await new Run(sandbox.inLaptop(["python3", "-c", ask])).ended;
  const [, pid] = /^(\d+) /.exec(stdout) ?? assert.fail(stdout + stderr);
  started.push(Number(pid));
  return stdout.replace(/^\d+ /, "");
}

test("daemons are named when the command ends, and go on with this machine's network and files", async () => {
  // Nobody can look into ssh-agent: it is not dumpable.
  const agent = isThere("ssh-agent") ? "ssh-agent >/dev/null; " : "";
  const command = `${agent}${daemon(httpPort, "plain")}; ${daemon(3001, "forgetful")}; exit 4`;
  const { code, stderr } = await runInpod(sandbox, ["sh", "-c", command], { flags: ["--steal"] });
  const [, names = ""] =
    /inpod: left running, as daemons of your command: (.*); they go on with this machine's/.exec(
      stderr,
    ) ?? assert.fail(stderr);
  assert.equal(names.replaceAll(/ \(\d+\)/g, ""), `${agent && "ssh-agent, "}python3, python3`);
  started.push(...[...names.matchAll(/\((\d+)\)/g)].map(([, pid]) => Number(pid)));
  const natively = "ENOENT, EHOSTUNREACH\n";
  assert.equal(await told(httpPort), `plain: ${natively}`);
  assert.equal(await told(3001), `forgetful: ${natively}`);
  assert.equal(code, 4, stderr);
  for (const pid of started) process.kill(pid, "SIGKILL");
  await inventory.assertAsBefore(SCRIPT);
});

test("a daemon that ends right behind its command is not worth a line", async (t) => {
  const sessionId = `test-${process.pid}`;
  const daemon = spawn("sleep", ["300"], {
    env: { ...process.env, INPOD_SESSION: sessionId },
    stdio: "ignore",
    detached: true,
  });
  t.after(() => daemon.kill("SIGKILL"));
  const said: string[] = [];
  const ended = once(daemon, "exit");
  const tree = {
    ended: ended.then(() => {}),
    leaveRest: () => assert.fail("it was left"),
  };
  await once(daemon, "spawn");
  const over = untilTreeEnds(
    tree,
    sessionId,
    { afterCommand: () => {} },
    { say: (text) => said.push(text) },
  );
  // It has looked once.
  for (let turns = 0; turns < 3; turns++) await turn();
  daemon.kill("SIGKILL");
  await over;
  assert.deepEqual(said, []);
});

test("when inpod is killed daemons end with the tree, also those that have overwritten their environment", async () => {
  const run = await startInpod(
    sandbox,
    [
      "sh",
      "-c",
      `${daemon(httpPort, "plain")}; ${daemon(3001, "forgetful")}; echo ready; sleep 60`,
    ],
    { flags: ["--steal"] },
  );
  await run.said("ready");
  const inPod = "greetings from the pod's file, connected\n";
  assert.equal(await told(httpPort), `plain: ${inPod}`);
  assert.equal(await told(3001), `forgetful: ${inPod}`);
  process.kill(run.pid, "SIGKILL");
  await run.ended;
  await inventory.assertAsBefore(SCRIPT);
  await until("the daemons have ended", () => started.every((pid) => !isRunning(pid)));
});

test("Ctrl-C ends what a command has left in the session, also what does not mind Ctrl-C", async () => {
  const run = await startInpod(sandbox, [
    "sh",
    "-c",
    `sleep 61 & nohup sleep 62 2>/dev/null & exit 3`,
  ]);
  await run.said(/what it started goes on in the session: .*\. Ctrl-C ends it/, "stderr");
  run.signalGroup("SIGINT");
  assert.equal((await run.ended).code, 3);
  await inventory.assertAsBefore("sleep 6");
});

const noTmux = isThere("tmux") ? false : "needs tmux";
test("a tmux server from before does its work outside, which is told once; one of the session's own is in the pod", {
  skip: noTmux,
}, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "inpod-tmux-"));
  const tmux = (name: string): string =>
    quoted(["tmux", "-S", join(folder, name), "-f", "/dev/null"]);
  const inLaptop = async (command: string): Promise<void> => {
    await new Run(sandbox.inLaptop(["sh", "-c", command])).ended;
  };
  t.after(async () => {
    for (const name of ["before", "within"]) await inLaptop(`${tmux(name)} kill-server`);
    await rm(folder, { recursive: true, force: true });
  });
  const look = (server: string, name: string): string =>
    `${tmux(server)} new-session -d ${quoted([`uname -n > ${folder}/${name}; ${tmux(server)} wait-for -S ${name}`])}; ${tmux(server)} wait-for ${name}`;
  const own = quoted(["sleep", "70"]);
  // Any program of that name: it is the name, and the word, by which it is known.
  // It writes its words until nobody reads them: what ends at once is not there any more when it is looked at.
  await copyFile("/usr/bin/yes", join(folder, "docker"));
  const said = (words: string): string => `${join(folder, "docker")} ${words} | sleep 0.5`;
  const docker = `${said("run x")}; ${said("compose up")}`;
  await inLaptop(`${tmux("before")} new-session -d ${own}`);
  const command = `${docker}; ${look("before", "one")}; ${look("before", "two")}; ${tmux("within")} new-session -d ${own}; ${look("within", "three")}`;
  const { stderr, code } = await runInpod(sandbox, ["sh", "-c", command]);
  assert.equal(code, 0, stderr);
  const { hostname } = sandbox.network.pod;
  assert.notEqual(await readFile(join(folder, "one"), "utf8"), `${hostname}\n`);
  assert.equal(await readFile(join(folder, "three"), "utf8"), `${hostname}\n`);
  assert.equal(
    stderr.match(/tmux's server runs already \(process \d+\).*outside of inpod/g)?.length,
    1,
    stderr,
  );
  assert.equal(
    stderr.match(/what docker starts is started by Docker's daemon: outside/g)?.length,
    1,
  );
  assert.match(stderr, /left running: tmux's server, .*tmux: server \(\d+\)/);
  await inLaptop(`${tmux("within")} kill-server`);
  await inventory.assertAsBefore(folder);
});

test("a build daemon that is left is told with what its tool does without one", () => {
  const lines = leftRunning(
    [
      { pid: 7, name: "java" },
      { pid: 8, name: "sleep" },
    ],
    (pid) =>
      pid === 7
        ? "/usr/bin/java -cp x org.gradle.launcher.daemon.bootstrap.GradleDaemon 8.5"
        : "sleep 9",
  );
  assert.match(
    lines[0] ?? "",
    /^left running: the Gradle daemon, java \(7\); it goes on.*gradle --no-daemon/,
  );
  assert.match(
    lines[1] ?? "",
    /^left running, as daemons of your command: sleep \(8\); .*kill 8\..*--skip-processes sleep$/,
  );
});

/** Job control: what a terminal, and the shell on it, do with a session and with a program in it. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import { CLI, isRunning, podAnswersNow, quoted, until, useSandbox } from "./exec-support.ts";
import { endTerminals, KEYS, Terminal } from "./terminal.ts";

const { sandbox, inventory, folder } = await useSandbox();

afterEach(endTerminals);

/**
 * A server with a child: both say each signal that they get, in a line of its own. By a descriptor: a handler of Python's runs
 * when its main thread does, and a signal right before that begins to read is one of which it learns at the next line.
 */
const COUNTING = `
import os, signal, socket, sys, threading
server = socket.create_server(("0.0.0.0", ${NETWORK.pod.httpPort}))
until, lives = os.pipe()
name = "child" if os.fork() == 0 else "parent"
os.close(lives if name == "child" else until)
def say(text): os.write(1, f"<{name} {text}>\\n".encode())
for each in "SIGINT SIGQUIT SIGWINCH SIGTERM SIGHUP SIGCONT".split():
    signal.signal(getattr(signal, each), lambda *_: None)
heard, told = os.pipe()
os.set_blocking(told, False)
signal.set_wakeup_fd(told)
def listen():
    while True:
        for number in os.read(heard, 64): say(signal.Signals(number).name)
threading.Thread(target=listen, daemon=True).start()
def serve():
    while True:
        connection = server.accept()[0]
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nconnection: close\\r\\ncontent-length: 5\\r\\n\\r\\nlocal")
        connection.close()
say("ready")
if name == "child":
    os.read(until, 1)
    os._exit(0)
threading.Thread(target=serve, daemon=True).start()
for line in sys.stdin: say("read " + line.strip())
say("at the end of input")
os._exit(5)
`;

const inpod = (command: readonly string[], flags: readonly string[] = []): string =>
  quoted([
    ...[process.execPath, CLI, "exec", "--target", `process/${sandbox.pid}`],
    ...[...flags, "--", ...command],
  ]);
/** The tests know its prompt; one of the environment's would be kept. */
const SHELL = ["env", "-u", "PS1", "bash", "--norc", "--noprofile", "-i"];

/** Says what it does on a terminal that nohup leaves to it. */
const SURVIVING = `
import os, socket
server = socket.create_server(("0.0.0.0", ${NETWORK.pod.httpPort}))
with open("/dev/tty", "w") as terminal: print("surviving", os.getpid(), file=terminal)
while True:
    connection = server.accept()[0]
    connection.recv(1000)
    os.path.exists("/config/greeting")
    os.path.exists("/config/" + str(connection.fileno()))
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nconnection: close\\r\\ncontent-length: 5\\r\\n\\r\\nlocal")
    connection.close()
`;
const counting = join(folder, "counting.py");
const surviving = join(folder, "surviving.py");
await writeFile(counting, COUNTING);
await writeFile(surviving, SURVIVING);

/** Of what both processes say of one signal. */
const said = (text: string, signal: string): string[] =>
  text.match(new RegExp(`<(parent|child) ${signal}>`, "g"))?.sort() ?? [];
const both = (signal: string): RegExp =>
  new RegExp(`<(parent|child) ${signal}>[\\s\\S]*<(parent|child) ${signal}>`);

async function counted(terminal: Terminal): Promise<void> {
  await terminal.shows("<parent ready>");
  await terminal.shows("<child ready>");
}

test("Ctrl-C, Ctrl-\\\\, the window's size and fg reach each process once; Ctrl-Z gives the pod its traffic until fg", async () => {
  const terminal = Terminal.open(sandbox, SHELL);
  terminal.type(`${inpod(["python3", counting], ["--steal"])}\n`);
  await counted(terminal);
  terminal.resize();
  await terminal.shows(both("SIGWINCH"));
  await terminal.answers(KEYS.interrupt, both("SIGINT"));
  await terminal.answers(KEYS.quit, both("SIGQUIT"));
  await terminal.answers(KEYS.suspend, /Stopped/);
  await until("the pod answers while the program is stopped", () => podAnswersNow(sandbox));
  terminal.type("fg\n");
  await until("the program answers again", async () => !(await podAnswersNow(sandbox)));
  await terminal.answers("hello\n", /<parent read hello>/);
  await terminal.answers(KEYS.endOfInput, /at the end of input/);
  await terminal.answers("echo code $?\n", /code 5/);
  terminal.type("exit\n");
  const { stdout } = await terminal.run.ended;
  for (const signal of ["SIGWINCH", "SIGINT", "SIGQUIT", "SIGCONT"]) {
    assert.deepEqual(said(stdout, signal), [`<child ${signal}>`, `<parent ${signal}>`], stdout);
  }
  await inventory.assertAsBefore(folder);
});

test("a closed terminal ends all, and nothing is left", async () => {
  for (const command of [
    inpod(["sh", "-c", "cat & echo rea''dy; cat; wait"], ["--steal"]),
    `exec ${inpod(["sh", "-c", "echo rea''dy; exec cat"])}`,
  ]) {
    const terminal = Terminal.open(sandbox, SHELL);
    // What is typed before is not shown by the terminal: the shell reads that itself.
    await terminal.answers(`${command}\n`, /\nready/);
    await terminal.answers("echoed\n", /echoed[\s\S]*echoed/);
    terminal.hangUp();
    await terminal.run.ended;
    await inventory.assertAsBefore(folder);
  }
});

test("a program that minds no SIGHUP stays in the pod's place when its terminal is closed, and inpod with it", async () => {
  const terminal = Terminal.open(sandbox, SHELL);
  terminal.type(`${inpod(["nohup", "python3", surviving], ["--steal", "--verbose"])} </dev/null\n`);
  await terminal.shows(/surviving \d+/);
  const pid = Number(/surviving (\d+)/.exec(terminal.run.stdout)?.[1]);
  terminal.hangUp();
  await terminal.run.ended;
  for (let i = 0; i < 3; i++) {
    // The first of them is told on the terminal that is no more.
    await until("the program answers", async () => !(await podAnswersNow(sandbox)));
  }
  assert.ok(isRunning(pid));
  process.kill(pid, "SIGKILL");
  await inventory.assertAsBefore(folder);
});

test("an interactive shell in a session has jobs of its own, and its suspend is inpod's", async () => {
  const terminal = Terminal.open(sandbox, SHELL);
  terminal.type(`${inpod(SHELL)}\n`);
  await terminal.answers("PS1='inner> '\n", /inner> $/);
  await terminal.answers("echo rea''dy; cat\n", /\nready/); // from then on readline leaves the keys alone
  await terminal.answers("one\n", /one[\s\S]*one/);
  await terminal.answers(KEYS.suspend, /Stopped[\s\S]*inner> $/);
  await terminal.answers("jobs\n", /Stopped +cat[\s\S]*inner> $/);
  await terminal.answers("echo rea''dy; fg\n", /\nready/);
  await terminal.answers("two\n", /two[\s\S]*two/);
  await terminal.answers(KEYS.interrupt, /inner> $/);
  await terminal.answers("cat /etc/hostname & wait\n", /Done[\s\S]*inner> $/);
  await terminal.answers("suspend\n", /Stopped/);
  await terminal.answers("echo outer $$\n", /outer \d/);
  await terminal.answers("fg\n", /exec/);
  await terminal.answers("echo back\n", /back[\s\S]*back[\s\S]*inner> $/);
  await terminal.answers("exit 3\n", /exit/);
  await terminal.answers("echo code $?\n", /code 3/);
  terminal.type("exit\n");
  await terminal.run.ended;
  await inventory.assertAsBefore(folder);
});

/** A shell tells of what was stopped before its next prompt. */
async function untilStopped(terminal: Terminal, times: number): Promise<void> {
  const said = (): string => terminal.run.stdout.replace(/(\s*bash\S*[#$] )+/g, " $ ");
  await until(`${times} jobs have been stopped`, async () => {
    const { length } = terminal.run.stdout;
    terminal.type("\n");
    await until("the next prompt", () => /bash\S*[#$] /.test(terminal.run.stdout.slice(length)));
    return terminal.run.stdout.match(/Stopped/g)?.length === times;
  }).catch((error: Error) => assert.fail(`${error.message}: ${said()}`));
}

test("in the background of a shell who reads the terminal is stopped, the pod has its traffic, and fg brings it back", async () => {
  const terminal = Terminal.open(sandbox, SHELL);
  terminal.type(`${inpod(["python3", counting], ["--steal"])} &\n`);
  await terminal.shows("<parent ready>");
  await until("the pod answers", () => podAnswersNow(sandbox));
  await untilStopped(terminal, 1);
  terminal.type("fg\n");
  await until("the program answers again", async () => !(await podAnswersNow(sandbox)));
  await terminal.answers("hello\n", /<parent read hello>/);
  await terminal.answers(KEYS.endOfInput, /at the end of input/);
  await terminal.answers("echo code $?\n", /code 5/);
  // Who sets the terminal from the background is stopped by another signal.
  terminal.type(`${inpod(["sh", "-c", "stty sane; echo thro''ugh"])} &\n`);
  await terminal.shows(/connecting[\s\S]*connecting/);
  await untilStopped(terminal, 2);
  await terminal.answers("fg\n", /through/);
  terminal.type("exit\n");
  await terminal.run.ended;
  await inventory.assertAsBefore(folder);
});

test("a program that takes no notice of Ctrl-Z goes on, and so does its session", async () => {
  // Nor once it has done so: its handler is away when inpod looks whether it stops.
  const ignoring = `
import os, signal, sys, time
def on_stop(*_):
    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    time.sleep(0.3)
    os.write(1, b"not now")
signal.signal(signal.SIGTSTP, on_stop)
print("ready", flush=True)
for line in sys.stdin: print("read", line, flush=True)`;
  const path = join(folder, "ignoring.py");
  await writeFile(path, ignoring);
  const terminal = Terminal.open(sandbox, SHELL);
  terminal.type(`${inpod(["python3", path])}\n`);
  await terminal.shows(/^ready/m);
  await terminal.answers(KEYS.suspend, /not now/);
  await terminal.answers("hello\n", /read hello/);
  await terminal.answers(KEYS.endOfInput, /# $|\$ $/);
  terminal.type("exit\n");
  assert.doesNotMatch((await terminal.run.ended).stdout, /Stopped/);
  await inventory.assertAsBefore(folder);
});

/** At the word, somebody outside of it stops its group again and again, as keys or a shell may. */
const STORM = `
import os, signal, sys, time
print("ready", flush=True)
for line in sys.stdin:
    print("read " + line, end="", flush=True)
    if line != "storm\\n": continue
    group = os.getpgrp()
    if os.fork() > 0: continue
    os.setsid()
    until = time.monotonic() + 0.5
    while time.monotonic() < until: os.killpg(group, signal.SIGTSTP)
    print("calm", flush=True)
    os._exit(0)
`;

test("a group that is stopped again and again is stopped with inpod, which forks nothing for it", async () => {
  const path = join(folder, "storm.py");
  await writeFile(path, STORM);
  const terminal = Terminal.open(sandbox, SHELL);
  terminal.type(`${inpod(["python3", path])}\n`);
  await terminal.shows(/^ready/m);
  await terminal.answers("storm\n", /Stopped/);
  await terminal.shows(/calm/);
  terminal.type("fg\n");
  await terminal.answers("hello\n", /read hello/);
  await terminal.answers(KEYS.endOfInput, /bash\S*[#$] $/);
  terminal.type("exit\n");
  await terminal.run.ended;
  await inventory.assertAsBefore(folder);
});

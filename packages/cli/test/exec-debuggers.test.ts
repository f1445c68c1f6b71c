/**
 * All debuggers in one session, at the same time: each holds a program of its own in the answer to a client of the pod,
 * while the others and the pod go on.
 */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { NETWORK, type Sandbox, startSandbox } from "@inpod/sandbox";
import { endRuns, Inventory, quoted, Run, startInpod } from "./exec-support.ts";

const has = (program: string): boolean => spawnSync(program, ["--version"]).error === undefined;
const WITHOUT_GDB = has("gdb") ? false : "gdb is not installed";
const WITHOUT_JDK = has("jdb") && has("javac") ? false : "a JDK is not installed";
const WITHOUT_STRACE = has("strace") ? false : "strace is not installed";

const { httpPort, echoPort } = NETWORK.pod;
/** Each program has its own; a second one is that of its child, which nobody holds. */
const STARTED_BY_GDB = [httpPort, 4201] as const;
const ATTACHED_BY_GDB = [4202, 4203] as const;
const END_TIMEOUT_MS = 150_000;
const ANSWER_TIMEOUT_MS = 30_000;

const C_SERVER = `#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
void answer(int fd) {
  char request[512];
  (void)!read(fd, request, sizeof request);
  (void)!write(fd, "local C\\n", 8);
  close(fd);
}
int main(int argc, char **argv) {
  int port = atoi(argv[1]), one = 1;
  if (argc > 2 && fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    port = atoi(argv[2]);
  }
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 16)) return 1;
  printf("pid %d port %d\\n", getpid(), port);
  fflush(stdout);
  for (;;) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    int client = accept(fd, (struct sockaddr *)&peer, &length);
    if (client >= 0) answer(client);
  }
}
`;

const NODE_SERVER = `const http = require("node:http");
const answer = () => {
  return "local node\\n";
};
const [, , port] = process.argv;
http.createServer((_, response) => response.end(answer())).listen(port, () => {
  console.log("pid " + process.pid + " port " + port);
});
`;
const NODE_BREAK = "setBreakpoint('server.cjs', 3)";

const JAVA_SERVER = `import java.net.*;
public class Served {
  static String answer() {
    return "local Java\\n";
  }
  public static void main(String[] args) throws Exception {
    ServerSocket server = new ServerSocket(Integer.parseInt(args[0]));
    System.out.println("pid " + ProcessHandle.current().pid() + " port " + args[0]);
    for (;;) {
      try (Socket client = server.accept()) {
        client.getInputStream().read(new byte[512]);
        client.getOutputStream().write(answer().getBytes());
      }
    }
  }
}
`;
/** To start quickly. */
const JVM = ["-Xshare:auto", "-XX:TieredStopAtLevel=1"];
const JDB = ["jdb", ...JVM.map((option) => `-J${option}`)];

interface Inspected {
  readonly name: string;
  readonly flags: readonly string[];
  readonly port: number;
  readonly inspector: number;
  /** Node's own debugger sends SIGUSR1 and attaches. */
  readonly byPid?: boolean;
  /** It stands still before its first line. */
  readonly waits?: boolean;
}
/** The session has it in its environment, as a developer's shell may: inpod's own Node reads it, too. */
const NODE_OPTIONS = "--inspect=0.0.0.0:9231";
const INSPECTED: readonly Inspected[] = [
  { name: "--inspect", flags: ["--inspect=127.0.0.1:9230"], port: 4204, inspector: 9230 },
  { name: `NODE_OPTIONS=${NODE_OPTIONS}`, flags: [], port: 4205, inspector: 9231 },
  {
    name: "--inspect-brk",
    flags: ["--inspect-brk=9232"],
    port: 4206,
    inspector: 9232,
    waits: true,
  },
  { name: "SIGUSR1", flags: [], port: 4207, inspector: 9229, byPid: true },
];

interface Jdwp {
  readonly options: string;
  readonly port: number;
  readonly jdwp: number;
  /** The debugger waits for the program, which stands still until it is told to run. */
  readonly isAwaited: boolean;
}
const JDWP: readonly Jdwp[] = [
  { options: "server=y,suspend=n,address=*:5005", port: 4208, jdwp: 5005, isAwaited: false },
  { options: "server=n,suspend=y,address=localhost:5007", port: 4209, jdwp: 5007, isAwaited: true },
];

/** An executable of the pod. */
const TOOL = "/config/tool";
const READS =
  "cat /config/greeting; node -e 'fetch(\"http://greetings/\").then((r) => r.text()).then(console.log)'";
const SEEN = /greetings from the pod's file\n[\s\S]*greetings to 198\.18\.200\.2/;

let sandbox: Sandbox;
let inventory: Inventory;
let folder: string;
let run: Run;
/** jdb, which must be there before the program. */
let awaiting: Run | undefined;
const tools: Run[] = [];

before(async () => {
  sandbox = await startSandbox();
  inventory = await Inventory.of(sandbox);
  folder = await mkdtemp(join(tmpdir(), "inpod-debuggers-"));
  await prepare();
  const tool = await sandbox.copyIntoPod("/bin/true");
  assert.equal((await new Run(sandbox.inPod(["cp", tool, TOOL])).ended).code, 0);
  const awaited = JDWP.find(({ isAwaited }) => isAwaited);
  if (!WITHOUT_JDK && awaited) {
    awaiting = debug([...JDB, "-listen", String(awaited.jdwp)]);
    await awaiting.said("Listening at address");
  }
  run = await startInpod(sandbox, ["sh", "-c", script()], {
    flags: ["--steal"],
    stdin: "pipe",
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS },
    endTimeoutMs: END_TIMEOUT_MS,
  });
});
after(async () => {
  for (const tool of tools) tool.signalGroup("SIGKILL");
  await endRuns();
  await sandbox?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function prepare(): Promise<void> {
  const sources = { "server.c": C_SERVER, "server.cjs": NODE_SERVER, "Served.java": JAVA_SERVER };
  for (const [name, source] of Object.entries(sources)) await writeFile(join(folder, name), source);
  const compile = (program: string, ...argv: readonly string[]): Promise<unknown> =>
    promisify(execFile)(program, argv, { cwd: folder });
  await Promise.all([
    WITHOUT_GDB || compile("cc", "-g", "-O0", "-o", "server", "server.c"),
    WITHOUT_JDK || compile("javac", ...JVM.map((option) => `-J${option}`), "-g", "Served.java"),
  ]);
}

const GDB = ["gdb", "-q", "-nx", "-ex", "set confirm off", "-ex", "set pagination off"];

/** All programs of the session. In the foreground gdb with one more, whose exit code is the session's. */
function script(): string {
  const clean = ["env", "-u", "NODE_OPTIONS"];
  const others: (readonly string[])[] = [];
  const server = [...clean, "./server"];
  if (!WITHOUT_GDB) others.push([...server, ...ATTACHED_BY_GDB.map(String)]);
  for (const { flags, port, inspector } of INSPECTED) {
    const environment = NODE_OPTIONS.endsWith(`:${inspector}`) ? [] : clean;
    others.push([...environment, "node", ...flags, "server.cjs", String(port)]);
  }
  for (const { options, port } of WITHOUT_JDK ? [] : JDWP) {
    const agent = `-agentlib:jdwp=transport=dt_socket,${options}`;
    others.push([...clean, "java", agent, ...JVM, "-cp", ".", "Served", String(port)]);
  }
  if (!WITHOUT_STRACE) {
    const traced = `${READS}; cd /config || echo refused; ${TOOL} || echo not executed: $?`;
    others.push([...clean, "strace", "-f", "-o", "trace", "sh", "-c", traced]);
  }
  const foreground = WITHOUT_GDB
    ? ["cat"]
    : [...clean, ...GDB, "--args", "./server", ...STARTED_BY_GDB.map(String)];
  return [
    // Ctrl-C is the debugger's.
    "trap : INT",
    ...others.map((argv) => `${quoted(argv)} & all="$all $!"`),
    `${quoted(foreground)}; code=$?`,
    "kill $all 2>/dev/null; wait; exit $code",
  ].join("\n");
}

/** A debugger on the developer's machine, outside the session. */
function debug(argv: readonly string[]): Run {
  const child = sandbox.inLaptop(argv, {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: "" },
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  const tool = new Run(child, END_TIMEOUT_MS);
  tools.push(tool);
  return tool;
}
const type = (to: Run, line: string): void => void to.child.stdin?.write(`${line}\n`);

const taken = (port: number): Promise<void> =>
  run.said(`connections to port ${port} of the target now arrive at your process`, "stderr");
const isNotTaken = (port: number): void =>
  assert.doesNotMatch(run.stderr, new RegExp(`port ${port} of the target`));

async function pidAt(port: number): Promise<string> {
  const said = new RegExp(`pid (\\d+) port ${port}\n`);
  await run.said(said);
  return said.exec(run.stdout)?.[1] ?? "";
}

/** What a client gets from the pod's port; the connection is made by whoever calls. */
async function ask(port: number): Promise<string> {
  const connection = await sandbox.connect({ port, timeoutMs: ANSWER_TIMEOUT_MS });
  await connection.send("GET / HTTP/1.0\r\n\r\n");
  let got = "";
  while (!got.endsWith("\n") || !got.includes("local")) got += await connection.receive(1);
  await connection.close();
  return got;
}

/** The program is held at a breakpoint in the answer to a client: nobody else is. */
async function whileHeld(resume: () => void, answer: Promise<string>): Promise<void> {
  const echo = await sandbox.connect({ port: echoPort });
  await echo.send("the pod goes on");
  assert.equal(await echo.receive(15), "the pod goes on");
  await echo.close();
  resume();
  assert.match(await answer, /local/);
}

describe("debuggers in one session, at the same time", { concurrency: 16 }, () => {
  test("gdb starts a program in the pod's place, and holds it in the answer to a client", {
    skip: WITHOUT_GDB,
  }, async () => {
    const [port, other] = STARTED_BY_GDB;
    type(run, "break answer");
    type(run, "run");
    await Promise.all([taken(port), taken(other)]);
    const answer = ask(port);
    await run.said("Breakpoint 1, answer");
    assert.match(await ask(other), /local C/, "a process that is not held");
    await whileHeld(() => type(run, "continue"), answer);
    const again = ask(port);
    await run.said(/Breakpoint 1, answer[\s\S]*Breakpoint 1, answer/);
    type(run, "delete");
    type(run, "continue");
    assert.match(await again, /local C/);
  });

  test("gdb attaches to a process of a session that is in the middle of a call, holds it, and lets it go", {
    skip: WITHOUT_GDB,
  }, async () => {
    const [port, other] = ATTACHED_BY_GDB;
    const pid = await pidAt(port);
    await Promise.all([taken(port), taken(other)]);
    for (let time = 0; time < 2; time++) {
      const gdb = debug([...GDB, "-p", pid]);
      type(gdb, "break answer");
      await gdb.said("Breakpoint 1 at");
      type(gdb, "continue");
      await gdb.said("Continuing");
      const answer = ask(port);
      await gdb.said("Breakpoint 1, answer");
      assert.match(await ask(other), /local C/, "a process that is not held");
      await whileHeld(() => type(gdb, "detach"), answer);
      assert.match(await ask(port), /local C/, "after the debugger has gone");
      type(gdb, "quit");
      await gdb.ended;
    }
  });

  for (const { name, port, inspector, byPid, waits } of INSPECTED) {
    test(`node, ${name}: its inspector stays here, the server's port is the pod's`, async () => {
      if (!byPid) await run.said(new RegExp(`Debugger listening on .*:${inspector}/`), "stderr");
      const at = byPid ? ["-p", await pidAt(port)] : [`127.0.0.1:${inspector}`];
      if (!waits) await pidAt(port);
      const inspect = debug([process.execPath, "inspect", ...at]);
      // Told after the first prompt: until then it does not go on.
      await inspect.said(waits ? /Break on start[\s\S]*debug> / : "debug> ");
      type(inspect, NODE_BREAK);
      const isSet = waits ? /Break on start[\s\S]*debug> [\s\S]*debug> / : /debug> [\s\S]*debug> /;
      await inspect.said(isSet);
      if (waits) type(inspect, "cont");
      await taken(port);
      const answer = ask(port);
      await inspect.said(/break in .*server\.cjs:3/);
      await whileHeld(() => type(inspect, "cont"), answer);
      isNotTaken(inspector);
      type(inspect, ".exit");
      await inspect.ended;
    });
  }

  for (const { options, port, jdwp, isAwaited } of JDWP) {
    test(`jdb, -agentlib:jdwp=…${options}: its port stays here, the server's port is the pod's`, {
      skip: WITHOUT_JDK,
    }, async () => {
      if (!isAwaited) await run.said(`Listening for transport dt_socket at address: ${jdwp}`);
      const jdb = (isAwaited && awaiting) || debug([...JDB, "-attach", `127.0.0.1:${jdwp}`]);
      await jdb.said(isAwaited ? "main[1]" : "Initializing jdb");
      type(jdb, "stop in Served.answer");
      await jdb.said(/[Ss]et(ting)? (deferred )?breakpoint|Deferring breakpoint/);
      if (isAwaited) type(jdb, "run");
      await taken(port);
      const answer = ask(port);
      // Its prompt: a "cont" before that finds jdb busy with the event, and both stand still now and then.
      await jdb.said(/Breakpoint hit[\s\S]*main\[1\] /);
      await whileHeld(() => type(jdb, "cont"), answer);
      isNotTaken(jdwp);
      type(jdb, "exit");
      await jdb.ended;
      assert.match(await ask(port), /local Java/, "after the debugger has gone");
    });
  }

  test("a tree that strace -f traces sees the pod; what takes hold of a traced program says so", {
    skip: WITHOUT_STRACE,
  }, async () => {
    await run.said(SEEN);
    await run.said("refused");
    await run.said("not executed: 126");
    await run.said(/has hold of cannot work in a directory of the pod \(EOPNOTSUPP\)/, "stderr");
    await run.said(/has hold of cannot execute a program of the pod \(EOPNOTSUPP\)/, "stderr");
  });

  test("inpod itself runs under strace -f, with all of its tree", {
    skip: WITHOUT_STRACE,
  }, async () => {
    const trace = join(folder, "trace-over");
    const traced = await startInpod(sandbox, ["sh", "-c", READS], {
      through: ["strace", "-f", "-e", "trace=execve", "-o", trace],
      endTimeoutMs: END_TIMEOUT_MS,
    });
    const { code, stdout, stderr } = await traced.ended;
    assert.match(stdout, SEEN, stderr);
    assert.equal(code, 0);
  });
});

test("Ctrl-C stops the program under gdb and not the session, which ends with gdb; nothing is left", async () => {
  if (!WITHOUT_GDB) {
    run.signalGroup("SIGINT");
    await run.said("SIGINT");
    type(run, "kill");
    type(run, "quit");
  } else {
    run.child.stdin?.end();
  }
  const { code, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  await inventory.assertAsBefore(folder);
});

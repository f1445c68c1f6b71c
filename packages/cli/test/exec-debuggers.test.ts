import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { NETWORK, type Sandbox, startSandbox } from "@inpod/sandbox";
import { endRuns, Inventory, Run, type RunOptions, startInpod } from "./exec-support.ts";

let sandbox: Sandbox;
let inventory: Inventory;
let folder: string;
before(async () => {
  sandbox = await startSandbox();
  inventory = await Inventory.of(sandbox);
  folder = await mkdtemp(join(tmpdir(), "inpod-debuggers-"));
});
after(async () => {
  await sandbox?.stop();
  await rm(folder, { recursive: true, force: true });
});
afterEach(async () => {
  for (const tool of tools.splice(0)) tool.signalGroup("SIGKILL");
  await endRuns();
});

const { httpPort, echoPort } = NETWORK.pod;
/** Of a second process of the tree. */
const OTHER_PORT = 4202;
const taken = (port: number): string =>
  `connections to port ${port} of the target now arrive at your process`;

const tools: Run[] = [];
/** A debugger on the developer's machine, outside the session. */
function debug(argv: readonly string[]): Run {
  const child = sandbox.inLaptop(argv, {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: "" },
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  const tool = new Run(child);
  tools.push(tool);
  return tool;
}
const type = (run: Run, line: string): void => void run.child.stdin?.write(`${line}\n`);

const has = (program: string): boolean => spawnSync(program, ["--version"]).error === undefined;

async function file(name: string, source: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, source);
  return path;
}

/** What a client gets from the pod's port; the connection is made by whoever calls. */
async function ask(port: number): Promise<string> {
  const connection = await sandbox.connect({ port, timeoutMs: 20_000 });
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

async function cServer(): Promise<string> {
  const source = await file("server.c", C_SERVER);
  const program = join(folder, "server");
  execFileSync("cc", ["-g", "-O0", "-o", program, source]);
  return program;
}

const GDB = ["gdb", "-q", "-nx", "-ex", "set confirm off", "-ex", "set pagination off"];
const WITHOUT_GDB = has("gdb") ? false : "gdb is not installed";

test("gdb starts a program in the pod's place, and holds it in the answer to a client", {
  skip: WITHOUT_GDB,
}, async () => {
  const program = await cServer();
  const argv = [...GDB, "--args", program, String(httpPort), String(OTHER_PORT)];
  const run = await startInpod(sandbox, argv, { flags: ["--steal"], stdin: "pipe" });
  type(run, "break answer");
  type(run, "run");
  await run.said(taken(httpPort), "stderr");
  await run.said(taken(OTHER_PORT), "stderr");
  const answer = ask(httpPort);
  await run.said("Breakpoint 1, answer");
  assert.match(await ask(OTHER_PORT), /local C/, "a process that is not held");
  await whileHeld(() => type(run, "continue"), answer);
  const again = ask(httpPort);
  await run.said(/Breakpoint 1, answer[\s\S]*Breakpoint 1, answer/);
  type(run, "delete");
  type(run, "continue");
  assert.match(await again, /local C/);
  run.signalGroup("SIGINT");
  await run.said("SIGINT");
  type(run, "kill");
  type(run, "quit");
  assert.equal((await run.ended).code, 0);
  await inventory.assertAsBefore(folder);
});

test("gdb attaches to a process of a session that is in the middle of a call, holds it, and lets it go", {
  skip: WITHOUT_GDB,
}, async () => {
  const program = await cServer();
  const run = await startInpod(sandbox, [program, String(httpPort), String(OTHER_PORT)], {
    flags: ["--steal"],
  });
  await run.said(`port ${httpPort}`);
  await run.said(taken(httpPort), "stderr");
  await run.said(taken(OTHER_PORT), "stderr");
  const [, pid = ""] = new RegExp(`pid (\\d+) port ${httpPort}`).exec(run.stdout) ?? [];
  for (let time = 0; time < 2; time++) {
    const gdb = debug([...GDB, "-p", pid]);
    type(gdb, "break answer");
    await gdb.said("Breakpoint 1 at");
    type(gdb, "continue");
    await gdb.said("Continuing");
    const answer = ask(httpPort);
    await gdb.said("Breakpoint 1, answer");
    assert.match(await ask(OTHER_PORT), /local C/, "a process that is not held");
    await whileHeld(() => type(gdb, "detach"), answer);
    assert.match(await ask(httpPort), /local C/, "after the debugger has gone");
    type(gdb, "quit");
    await gdb.ended;
  }
  run.signalGroup("SIGINT");
  await run.ended;
  await inventory.assertAsBefore(folder);
});

const NODE_SERVER = `const http = require("node:http");
const answer = () => {
  return "local node\\n";
};
http.createServer((_, response) => response.end(answer())).listen(${httpPort}, () => {
  console.log("pid " + process.pid);
});
`;
const BREAK = "setBreakpoint('server.cjs', 3)";

interface Inspected {
  readonly name: string;
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly port: number;
  /** Node's own debugger sends SIGUSR1 and attaches. */
  readonly byPid?: boolean;
  /** It stands still before its first line. */
  readonly waits?: boolean;
}
const INSPECTED: readonly Inspected[] = [
  { name: "--inspect=127.0.0.1:9230", argv: ["node", "--inspect=127.0.0.1:9230"], port: 9230 },
  { name: "--inspect-brk", argv: ["node", "--inspect-brk"], port: 9229, waits: true },
  {
    name: "NODE_OPTIONS=--inspect=0.0.0.0:9231",
    argv: ["node"],
    env: { NODE_OPTIONS: "--inspect=0.0.0.0:9231" },
    port: 9231,
  },
  { name: "SIGUSR1", argv: ["node"], port: 9229, byPid: true },
];
for (const { name, argv, env, port, byPid, waits } of INSPECTED) {
  test(`node, ${name}: its inspector stays here, the server's port is the pod's`, async () => {
    const path = await file("server.cjs", NODE_SERVER);
    const options: RunOptions = { flags: ["--steal"], env: { ...process.env, ...env } };
    const run = await startInpod(sandbox, [...argv, path], options);
    if (waits || !byPid) await run.said("Debugger listening on", "stderr");
    if (!waits) await run.said("pid ");
    const [, pid = ""] = /pid (\d+)/.exec(run.stdout) ?? [];
    const at = byPid ? ["-p", pid] : [`127.0.0.1:${port}`];
    const inspect = debug([process.execPath, "inspect", ...at]);
    await inspect.said("debug>");
    type(inspect, BREAK);
    await inspect.said(waits ? "debug> " : /3 {2}return|> 3|debug> [\s\S]*debug>/);
    if (waits) type(inspect, "cont");
    await run.said(taken(httpPort), "stderr");
    const answer = ask(httpPort);
    await inspect.said(/break in .*server\.cjs:3/);
    await whileHeld(() => type(inspect, "cont"), answer);
    assert.doesNotMatch(run.stderr, new RegExp(`port ${port} of the target`));
    type(inspect, ".exit");
    run.signalGroup("SIGINT");
    await run.ended;
    await inventory.assertAsBefore(folder);
  });
}

const JAVA_SERVER = `import java.net.*;
public class Served {
  static String answer() {
    return "local Java\\n";
  }
  public static void main(String[] args) throws Exception {
    ServerSocket server = new ServerSocket(${httpPort});
    System.out.println("listening");
    for (;;) {
      try (Socket client = server.accept()) {
        client.getInputStream().read(new byte[512]);
        client.getOutputStream().write(answer().getBytes());
      }
    }
  }
}
`;
const WITHOUT_JDB = has("jdb") && has("javac") ? false : "a JDK is not installed";
for (const { options, attach } of [
  { options: "server=y,suspend=n,address=*:5005", attach: ["-attach", "127.0.0.1:5005"] },
  { options: "server=n,suspend=y,address=localhost:5007", attach: ["-listen", "5007"] },
]) {
  test(`jdb, -agentlib:jdwp=…${options}: its port stays here, the server's port is the pod's`, {
    skip: WITHOUT_JDB,
  }, async () => {
    const source = await file("Served.java", JAVA_SERVER);
    execFileSync("javac", ["-g", "-d", folder, source]);
    const isServer = options.startsWith("server=y");
    const flags = ["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", folder];
    const agent = `-agentlib:jdwp=transport=dt_socket,${options}`;
    const start = (): Promise<Run> =>
      startInpod(sandbox, ["java", agent, ...flags, "Served"], { flags: ["--steal"] });
    const jdb = isServer ? undefined : debug(["jdb", ...attach]);
    await jdb?.said("Listening at address");
    const run = await start();
    if (isServer) await run.said("Listening for transport");
    const tool = jdb ?? debug(["jdb", ...attach]);
    await tool.said(options.includes("suspend=y") ? "main[1]" : "Initializing jdb");
    type(tool, "stop in Served.answer");
    await tool.said(/[Ss]et(ting)? (deferred )?breakpoint|Deferring breakpoint/);
    if (options.includes("suspend=y")) type(tool, "run");
    await run.said(taken(httpPort), "stderr");
    const answer = ask(httpPort);
    await tool.said("Breakpoint hit");
    await whileHeld(() => type(tool, "cont"), answer);
    assert.doesNotMatch(run.stderr, /port 500\d of the target/);
    type(tool, "exit");
    run.signalGroup("SIGINT");
    await run.ended;
    await inventory.assertAsBefore(folder);
  });
}

const WITHOUT_STRACE = has("strace") ? false : "strace is not installed";
const READS =
  "cat /config/greeting; node -e 'fetch(\"http://greetings/\").then((r) => r.text()).then(console.log)'";
const SEEN = /greetings from the pod's file\n[\s\S]*greetings to 198\.18\.200\.2/;

test("a tree that strace -f traces sees the pod; what takes hold of a traced program says so", {
  skip: WITHOUT_STRACE,
}, async () => {
  const trace = join(folder, "trace");
  const command = [
    "strace",
    "-f",
    "-o",
    trace,
    "sh",
    "-c",
    `${READS}; cd /config || echo refused $?`,
  ];
  const run = await startInpod(sandbox, command);
  const { code, stdout, stderr } = await run.ended;
  assert.match(stdout, SEEN, stderr);
  assert.equal(code, 0);
  assert.match(stdout, /refused/);
  assert.match(stderr, /EOPNOTSUPP/);
  await inventory.assertAsBefore(folder);
});

test("inpod itself runs under strace -f, with all of its tree", {
  skip: WITHOUT_STRACE,
}, async () => {
  const trace = join(folder, "trace-over");
  const run = await startInpod(sandbox, ["sh", "-c", READS], {
    through: ["strace", "-f", "-e", "trace=execve", "-o", trace],
  });
  const { code, stdout, stderr } = await run.ended;
  assert.match(stdout, SEEN, stderr);
  assert.equal(code, 0);
  await inventory.assertAsBefore(folder);
});

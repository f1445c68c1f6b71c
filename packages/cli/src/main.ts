/** The command line's edge: together with end-by-signal.ts all that ends the process. */
import { statSync } from "node:fs";
import { type Arguments, parseArguments, visibleCommands } from "./arguments.ts";
import { endBy } from "./end-by-signal.ts";
import { hasColor, type Io } from "./io.ts";
import type { CommandResult } from "./result.ts";
import { renderError } from "./text/errors.ts";
import { exitCodeOf } from "./text/exit-codes.ts";

const io: Io = {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  directory: process.cwd(),
};

// Nobody listens any more: the terminal was closed, who read the pipe has ended. That ends no session.
process.stderr.on("error", () => {});

/** What a command needs beyond its words is loaded by import() when it starts. */
async function run(parsed: Arguments, io: Io, argv: readonly string[]): Promise<CommandResult> {
  switch (parsed.kind) {
    case "print":
      io.stdout.write(parsed.text);
      return { code: 0 };
    case "exec":
      return (await import("./exec/start.ts")).startExec(parsed, io);
    case "env":
      return (await import("./env/run.ts")).runEnv(parsed, io, argv);
    case "connect":
      return (await import("./connect/run.ts")).runConnect(parsed, io);
    case "forward":
      return (await import("./forward/run.ts")).runForward(parsed, io);
    case "exchange":
      return (await import("./exchange/run.ts")).runExchange(parsed, io);
    case "mesh":
      return (await import("./mesh/run.ts")).runMesh(parsed, io);
    case "mirror":
      return (await import("./mirror/run.ts")).runMirror(parsed, io);
    case "dump":
      return (await import("./dump/run.ts")).runDump(parsed, io);
    case "explain":
      return (await import("./explain/run.ts")).runExplain(parsed, io);
    case "trace":
      return (await import("./trace/run.ts")).runTrace(parsed, io);
    case "ls":
      return (await import("./ls/run.ts")).runLs(parsed, io);
    case "completion":
      return (await import("./completion/run.ts")).runCompletion(parsed, io);
    case "complete":
      return (await import("./completion/run.ts")).runComplete(parsed, visibleCommands(), io);
    case "preview":
      return (await import("./preview/run.ts")).runPreview(parsed, io);
    case "recover":
      return (await import("./recover/run.ts")).runRecover(parsed, io);
    case "clean":
      return (await import("./clean/run.ts")).runClean(parsed, io);
    case "leave":
      return (await import("./leave/run.ts")).runLeave(parsed, io);
    case "up":
      return (await import("./up/run.ts")).runUp(parsed, io);
    case "up-part":
      return (await import("./up/part.ts")).runPart(parsed, io, run);
    case "status":
      return (await import("./status/run.ts")).runStatus(parsed, io);
    case "verify":
      return (await import("./verify/run.ts")).runVerify(parsed, io);
    case "init": {
      const [{ runInit }, { offerTargets }, { terminalDialogue }] = await Promise.all([
        import("./init/run.ts"),
        import("./init/offer.ts"),
        import("./init/dialogue.ts"),
      ]);
      const dialogue = terminalDialogue(process.stdin, process.stderr);
      return runInit(parsed, io, dialogue, offerTargets(io));
    }
    case "verify-config":
      return (await import("./verify-config/run.ts")).runVerifyConfig(parsed, io);
    case "doctor": {
      const { startDoctor } = await import("./doctor/start.ts");
      return startDoctor(parsed, io, process.argv[1] ?? "");
    }
  }
}

/** NODE_OPTIONS is for the program: the port that it names must be free when the program wants it. */
async function closeOwnInspector(): Promise<void> {
  const isAsked = /--inspect(?!-port)/.test(process.env.NODE_OPTIONS ?? "");
  if (isAsked && !process.execArgv.some((arg) => arg.startsWith("--inspect")))
    (await import("node:inspector")).close();
}

function fail(error: unknown): void {
  io.stderr.write(renderError(error, hasColor(process.stderr, process.env)));
  process.exit(exitCodeOf(error));
}

// A bug outside of any wait of ours; what the cluster still has ends itself (agent.idle_timeout).
process.on("uncaughtException", (error) => {
  fail(error);
  process.exit();
});

const argv = process.argv.slice(2);
const tell = (line: string): unknown => io.stderr.write(`inpod: ${line}\n`);
const isFile = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
try {
  await closeOwnInspector();
  const result = await run(parseArguments(argv, { tell, isFile }), io, argv);
  if ("signal" in result) endBy(result.signal);
  // The tap's threads would keep the event loop alive. Pipes, files and terminals are written at once.
  else process.exit(result.code);
} catch (error) {
  fail(error);
}

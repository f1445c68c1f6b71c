/**
 * Programs under a debugger, or that one attaches to: held at a breakpoint in the answer to a client of the pod, and asked
 * again when the debugger has gone. The row is red, too, where the debugger's port is to be had from outside.
 */
import { copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ClientError, NETWORK, type Recipe } from "@inpod/sandbox";
import { Run } from "../../packages/cli/test/exec-support.ts";
import type { Answer } from "../contract.ts";
import { Adapter } from "../dap.ts";
import { fromGo, type Tool } from "../install.ts";
import {
  compiledBy,
  type Group,
  NO_RESOLVER,
  type Played,
  program,
  quoted,
  type Row,
  row,
} from "../row.ts";
import type { Place } from "../session.ts";
import { pythonModule } from "./web.ts";

const TIMEOUT_MS = 60_000;

interface Debugger {
  /** Resolves when the program is held. */
  hit(): Promise<void>;
  resume(): void | Promise<void>;
  /** It leaves, the program goes on. */
  leave(): Promise<void>;
  /** Whatever happened. */
  end(): void;
}

/** Of the debugger: beside those of the programs. */
const debuggerPort = ({ port }: Place): number => port + 10_000;
/** All addresses, which would have it in the pod if it were not known for a debugger's. */
const everywhere = (place: Place): string => `0.0.0.0:${debuggerPort(place)}`;

async function askHeld(place: Place, attached: Debugger): Promise<readonly Answer[]> {
  const { sandbox, said, askServer } = place;
  try {
    await place.listens();
    const answer = askServer({ atOnce: 1 });
    // It fails later, where nobody waits for it yet.
    answer.catch(() => {});
    await attached.hit();
    const echo = await sandbox.connect({ port: NETWORK.pod.echoPort });
    await echo.send("the pod goes on");
    await echo.receive(15);
    await echo.close();
    const port = debuggerPort(place);
    const outside = await sandbox.connect({ port }).catch((error: unknown) => error);
    if (!(outside instanceof ClientError)) throw new Error("the cluster reaches the debugger");
    if (said().includes(`port ${port} of the target`)) throw new Error("its port was stolen");
    await attached.resume();
    const whileAttached = await answer;
    await attached.leave();
    return [...whileAttached, ...(await askServer())];
  } finally {
    attached.end();
  }
}

/** @param attach resolves with a breakpoint where the program answers, and the program running */
const debugged = (attach: (place: Place) => Promise<Debugger>, played: Played): Played => ({
  ...played,
  ask: async (place) => askHeld(place, await attach(place)),
});

/** Outside the session, as the developer starts it. */
const inLaptop = ({ sandbox, folder }: Place, argv: readonly string[]): Run =>
  new Run(
    sandbox.inLaptop(argv, { cwd: folder, stdio: ["pipe", "pipe", "pipe"], detached: true }),
    TIMEOUT_MS,
  );
const type = (to: Run, line: string): void => void to.child.stdin?.write(`${line}\n`);
/** A program that says its process id first. */
const withPid = (argv: readonly string[]): string =>
  quoted(["sh", "-c", 'echo "pid $$"; exec "$@"', "sh", ...argv]);
async function pidOf(place: Place): Promise<string> {
  return /^pid (\d+)\n/.exec(await place.writes("pid "))?.[1] ?? "";
}

// As dlv debug compiles, so that it finds all in Go's cache.
const debuggable: Recipe = {
  sources: [program("facts.go")],
  compile: ([path = ""]) => ["go", "build", "-gcflags=all=-N -l", "-o", "program", path],
  run: (built) => [`${built}/program`],
};
const facts = async (): Promise<string> => {
  const built = await compiledBy(["go", "version"], debuggable);
  if (built.kind === "missing") throw new Error(built.why);
  return built.argv[0] ?? "";
};
async function dlv(): Promise<Tool> {
  const go = await compiledBy(["go", "version"], debuggable);
  if (go.kind === "missing") return go;
  return fromGo("github.com/go-delve/delve/cmd/dlv", "v1.27.2", ["version"]);
}

/** Its terminal, wherever the debugger itself runs. */
async function inDlv(dlv: Run, goodbye: readonly (readonly [RegExp, string])[]): Promise<Debugger> {
  await dlv.said("(dlv)");
  type(dlv, "break main.serve");
  await dlv.said("Breakpoint 1 set");
  type(dlv, "continue");
  return {
    hit: () => dlv.said(/> (\[Breakpoint 1\] )?main\.serve/),
    resume: () => {
      type(dlv, "clear 1");
      type(dlv, "continue");
    },
    leave: async () => {
      dlv.signalGroup("SIGINT");
      for (const [prompt, word] of goodbye) {
        await dlv.said(prompt);
        type(dlv, word);
      }
      await dlv.ended;
    },
    end: () => dlv.signalGroup("SIGKILL"),
  };
}

const ON_PIPES = "--allow-non-terminal-interactive=true";
/** At Ctrl-C it stops the program, and asks when it leaves. */
const STOPPED = [
  [/main\.serve[\s\S]*\(dlv\) [\s\S]*\(dlv\) $/, "quit"],
  [/\[Y\/n\]/, "n"],
] as const;

const headless = (place: Place): readonly string[] => [
  "--headless",
  `--listen=${everywhere(place)}`,
  "--accept-multiclient",
];
async function connectDlv(argv: readonly string[], place: Place): Promise<Debugger> {
  await place.writes("API server listening at");
  const words = ["connect", ON_PIPES, `127.0.0.1:${debuggerPort(place)}`];
  return inDlv(inLaptop(place, [...argv, ...words]), [[/\[p\/q\]/, "q"]]);
}

const goRows: readonly Row[] = [
  row({
    name: "Go under dlv exec",
    tool: dlv,
    program: (argv) =>
      debugged((place) => connectDlv(argv, place), {
        start: async (place) =>
          quoted([...argv, "exec", ...headless(place), await facts(), "--", String(place.port)]),
        listensWhenAsked: true,
      }),
  }),
  row({
    name: "Go under dlv debug",
    tool: dlv,
    program: (argv) =>
      debugged((place) => connectDlv(argv, place), {
        start: async (place) => {
          await copyFile(program("facts.go"), join(place.folder, "facts.go"));
          const words = ["debug", ...headless(place), "facts.go", "--", String(place.port)];
          return quoted(["env", "CGO_ENABLED=0", ...argv, ...words]);
        },
        listensWhenAsked: true,
      }),
  }),
  row({
    name: "Go with dlv attach",
    tool: dlv,
    program: (argv) =>
      debugged(
        async (place) =>
          inDlv(inLaptop(place, [...argv, "attach", ON_PIPES, await pidOf(place)]), STOPPED),
        { start: async ({ port }) => withPid([await facts(), String(port)]) },
      ),
  }),
];

const SERVER = program("python-threads.py");
const SOURCE = program("facts.py");
const LINE = "host, port, unreachable, variable, file = asked(path)";
const debugpy = (): Promise<Tool> => pythonModule("debugpy");
/** The environment and the interpreter, without the module. */
const interpreter = (argv: readonly string[]): readonly string[] => argv.slice(0, -2);

async function connectDebugpy(place: Place): Promise<Debugger> {
  const adapter = new Adapter(place.sandbox, debuggerPort(place));
  const lines = (await readFile(SOURCE, "utf8")).split("\n");
  const line = lines.findIndex((each) => each.includes(LINE)) + 1;
  const breakAt = (breakpoints: readonly object[]): Promise<unknown> =>
    adapter.request("setBreakpoints", { source: { path: SOURCE }, breakpoints });
  await adapter.request("initialize", { adapterID: "python", linesStartAt1: true });
  // Answered when the configuration is done.
  adapter.send("attach", { justMyCode: false });
  await adapter.event("initialized");
  await breakAt([{ line }]);
  await adapter.request("configurationDone");
  return {
    hit: async () => void (await adapter.event("stopped")),
    resume: async () => {
      const { body } = await adapter.event("stopped");
      await breakAt([]);
      await adapter.request("continue", { threadId: body?.threadId });
    },
    leave: async () => void (await adapter.request("disconnect", { terminateDebuggee: false })),
    end: () => adapter.close(),
  };
}

const pythonRows: readonly Row[] = [
  row({
    name: "Python under debugpy",
    without: NO_RESOLVER,
    tool: debugpy,
    program: (argv) =>
      debugged(connectDebugpy, {
        start: (place) =>
          quoted([...argv, "--listen", everywhere(place), SERVER, String(place.port)]),
      }),
  }),
  row({
    name: "Python with debugpy by its process id",
    without: NO_RESOLVER,
    tool: debugpy,
    program: (argv) =>
      debugged(
        async (place) => {
          const words = ["--listen", everywhere(place), "--pid", await pidOf(place)];
          const { code, stdout, stderr } = await inLaptop(place, [...argv, ...words]).ended;
          if (code !== 0) throw new Error(`debugpy does not attach: ${stdout}${stderr}`);
          return connectDebugpy(place);
        },
        { start: ({ port }) => withPid([...interpreter(argv), SERVER, String(port)]) },
      ),
  }),
];

export const debuggedGroups: readonly Group[] = [{ rows: goRows }, { rows: pythonRows }];

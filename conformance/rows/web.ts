/** Web servers of Python, Ruby and PHP that fork, and one that starts its program again. */
import { appendFile, copyFile } from "node:fs/promises";
import { join } from "node:path";
import { type Answer, readFacts } from "../contract.ts";
import { fromPyPI, fromSystem, installed, type Tool } from "../install.ts";
import { type Group, type Prepared, program, quoted, type Row } from "../row.ts";
import type { Place } from "../session.ts";

const NO_RESOLVER = { "own resolver": "names are libc's business" };

interface Server {
  readonly name: string;
  readonly without?: Row["without"];
  tool(): Promise<Tool>;
  start(argv: readonly string[], place: Place): string | Promise<string>;
  ask?(place: Place): Promise<readonly Answer[]>;
  readonly workers?: number;
}

const row = ({ name, without = {}, tool, start, ask, workers = 1 }: Server): Row => ({
  name,
  without,
  prepare: async (): Promise<Prepared> => {
    const found = await tool();
    if (found.kind === "missing") return found;
    return {
      kind: "ready",
      program: {
        version: found.version,
        start: (place) => start(found.argv, place),
        ask: ask ?? ((place) => place.askServer({ workers })),
      },
    };
  },
});

/** A module of PyPI that is run with -m. */
async function pythonModule(module: string): Promise<Tool> {
  const python = await installed(["python3"]);
  if (python.kind === "missing") return python;
  const packages = await fromPyPI("python3", [module]);
  if (packages.kind === "missing") return packages;
  const argv = ["env", `PYTHONPATH=${packages.folder}`, "python3", "-m", module];
  return installed(argv);
}

/** Each of its programs is another process than the one before. */
async function askReloaded(place: Place): Promise<readonly Answer[]> {
  const before = await place.askServer();
  const pids = new Set(before.map(({ text }) => readFacts(text).get("by")?.[0]));
  await appendFile(join(place.folder, "asgi.py"), "# changed\n");
  // While it starts again there may be nobody who answers.
  for (let round = 0; round < 100; round++) {
    const after = await place.askServer().catch(() => []);
    const [first] = after;
    if (first && !pids.has(readFacts(first.text).get("by")?.[0])) return [...before, ...after];
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("it does not start again when its program has changed");
}

export const pythonWeb: Group = {
  rows: [
    row({
      name: "Python, gunicorn with two workers",
      without: NO_RESOLVER,
      tool: () => pythonModule("gunicorn"),
      start: (argv, { port }) =>
        quoted([
          ...argv,
          ...["--chdir", join(program("wsgi.py"), ".."), "--workers", "2"],
          ...["--no-control-socket", "--bind", `0.0.0.0:${port}`, "wsgi:application"],
        ]),
      workers: 2,
    }),
    row({
      name: "Python, uvicorn --reload",
      without: NO_RESOLVER,
      tool: () => pythonModule("uvicorn"),
      start: async (argv, { port, folder }) => {
        for (const file of ["asgi.py", "facts.py"]) {
          await copyFile(program(file), join(folder, file));
        }
        const flags = ["--reload", "--host", "0.0.0.0", "--port", String(port)];
        return quoted([...argv, ...flags, "asgi:application"]);
      },
      ask: askReloaded,
    }),
  ],
};

const puma = (): Promise<Tool> => fromSystem(["ruby", "puma"], ["puma"]);
const pumaWith = (name: string, workers: number): Row =>
  row({
    name,
    tool: puma,
    start: (argv, { port }) =>
      quoted([
        ...[...argv, "--workers", String(workers === 1 ? 0 : workers), "--threads", "2:2"],
        ...["--bind", `tcp://0.0.0.0:${port}`, program("config.ru")],
      ]),
    workers,
  });

export const ruby: Group = {
  rows: [pumaWith("Ruby, puma", 1), pumaWith("Ruby, puma with two workers", 2)],
};

const php = (): Promise<Tool> => fromSystem(["php-cli"], ["php"]);
export const phpGroup: Group = {
  rows: [
    row({
      name: "PHP, its own server",
      tool: php,
      start: (argv, { port }) => quoted([...argv, "-S", `0.0.0.0:${port}`, program("facts.php")]),
    }),
  ],
};

/** Web servers of Python, Ruby and PHP that fork, and one that starts its program again. */
import { appendFile, copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NETWORK } from "@inpod/sandbox";
import { type Answer, readFacts } from "../contract.ts";
import { beside, fromPyPI, fromSystem, installed, type Tool } from "../install.ts";
import { type Group, NO_RESOLVER, program, quoted, type Row, row } from "../row.ts";
import type { Place } from "../session.ts";
import { TEMPORARY } from "./nginx.ts";

const RELOAD_TIMEOUT_MS = 60_000;

/** A module of PyPI that is run with -m. */
export async function pythonModule(module: string): Promise<Tool> {
  const python = await installed(["python3"]);
  if (python.kind === "missing") return python;
  const packages = await fromPyPI("python3", [module]);
  if (packages.kind === "missing") return packages;
  const argv = ["env", `PYTHONPATH=${packages.folder}`, "python3", "-m", module];
  return installed(argv);
}

/** Each of its programs is another process than the one before. `change`: what is appended to the file. */
export async function askReloaded(
  place: Place,
  file: string,
  change: string,
): Promise<readonly Answer[]> {
  const before = await place.askServer();
  const pids = new Set(before.map(({ text }) => readFacts(text).get("by")?.[0]));
  await appendFile(join(place.folder, file), change);
  // While it starts again there may be nobody who answers.
  const deadline = performance.now() + RELOAD_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const after = await place.askServer().catch(() => []);
    const [first] = after;
    if (first && !pids.has(readFacts(first.text).get("by")?.[0])) return [...before, ...after];
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("it does not start again when its program has changed");
}

async function uvloop(): Promise<Tool> {
  const python = await installed(["python3"]);
  if (python.kind === "missing") return python;
  const packages = await fromPyPI("python3", ["uvloop"]);
  if (packages.kind === "missing") return packages;
  const argv = ["env", `PYTHONPATH=${packages.folder}`, "python3"];
  return installed(argv, [...argv, "-c", "import uvloop; print(uvloop.__version__)"]);
}

export const pythonWeb: Group = {
  rows: [
    row({
      name: "Python, asyncio with uvloop",
      without: NO_RESOLVER,
      tool: uvloop,
      program: (argv) => ({
        start: ({ port }) =>
          quoted([...argv, program("python-asyncio.py"), String(port), "uvloop"]),
      }),
    }),
    row({
      name: "Python, gunicorn with two workers",
      without: NO_RESOLVER,
      tool: () => pythonModule("gunicorn"),
      program: (argv) => ({
        start: ({ port }) =>
          quoted([
            ...argv,
            ...["--chdir", join(program("wsgi.py"), ".."), "--workers", "2"],
            ...["--no-control-socket", "--bind", `0.0.0.0:${port}`, "wsgi:application"],
          ]),
        ask: ({ askServer }) => askServer({ workers: 2 }),
      }),
    }),
    row({
      name: "Python, uvicorn --reload",
      without: NO_RESOLVER,
      tool: () => pythonModule("uvicorn"),
      program: (argv) => ({
        start: async ({ port, folder }) => {
          for (const file of ["asgi.py", "facts.py"]) {
            await copyFile(program(file), join(folder, file));
          }
          const flags = ["--reload", "--host", "0.0.0.0", "--port", String(port)];
          return quoted([...argv, ...flags, "asgi:application"]);
        },
        ask: (place) => askReloaded(place, "asgi.py", "# changed\n"),
      }),
    }),
  ],
};

const puma = (): Promise<Tool> => fromSystem(["ruby", "puma"], ["puma"]);
const pumaWith = (name: string, workers: number): Row =>
  row({
    name,
    tool: puma,
    program: (argv) => ({
      start: ({ port }) =>
        quoted([
          ...[...argv, "--workers", String(workers === 1 ? 0 : workers), "--threads", "2:2"],
          ...["--bind", `tcp://0.0.0.0:${port}`, program("config.ru")],
        ]),
      ask: ({ askServer }) => askServer({ workers }),
    }),
  });

export const ruby: Group = {
  rows: [pumaWith("Ruby, puma", 1), pumaWith("Ruby, puma with two workers", 2)],
};

const php = (): Promise<Tool> => fromSystem(["php-cli"], ["php"]);
// Debian has its version in its name. It begins a session of its own, also in the foreground: nobody else ends it.
const FPM = `found=$(ls /usr/sbin/php-fpm* 2>/dev/null | tail -n 1); [ -n "$found" ] || exit 127
"$found" "$@" & trap "kill $!" TERM; wait $!`;
const fpm = (): Promise<Tool> =>
  beside(
    fromSystem(["php-fpm"], ["sh", "-c", FPM, "php-fpm"]),
    fromSystem(["nginx-light"], ["nginx"], ["nginx", "-v"]),
  );

/** Who connects to php-fpm is asked by itself: it answers nobody but the client's address. */
const fpmConfiguration = (port: number): string => `
[global]
error_log = /proc/self/fd/2
daemonize = no
[www]
${process.getuid?.() === 0 ? "user = nobody\ngroup = nogroup" : ""}
listen = 0.0.0.0:${port}
listen.allowed_clients = ${NETWORK.client.address}
pm = static
pm.max_children = 2
; otherwise its workers have an empty environment
clear_env = no
`;

const fastCgi = (place: Place): string => `
# It is root there, if only in a user namespace.
user root;
daemon off;
pid nginx.pid;
error_log stderr notice;
events {}
http {
  access_log off;
  ${TEMPORARY}
  server {
    listen ${place.port};
    location / {
      fastcgi_pass ${NETWORK.pod.address}:${place.port};
      fastcgi_param SCRIPT_FILENAME ${program("facts.php")};
      fastcgi_param REQUEST_METHOD GET;
      fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param REMOTE_ADDR $remote_addr;
      fastcgi_param REMOTE_PORT $remote_port;
    }
  }
}
`;

/** nginx in the client's place speaks FastCGI to the pod's port. */
async function askFpm(place: Place): Promise<readonly Answer[]> {
  const { folder, startBeside, askServer } = place;
  await writeFile(join(folder, "nginx.conf"), fastCgi(place));
  // It has its port before its first line.
  const nginx = quoted(["nginx", "-p", folder, "-c", "nginx.conf", "-e", "stderr"]);
  const line = await startBeside(["sh", "-c", `exec ${nginx} 2>&1`]);
  if (line.includes("[emerg]")) throw new Error(line);
  return askServer({ workers: 2, host: NETWORK.client.address });
}

export const phpGroup: Group = {
  rows: [
    row({
      name: "PHP, its own server",
      tool: php,
      program: (argv) => ({
        start: ({ port }) => quoted([...argv, "-S", `0.0.0.0:${port}`, program("facts.php")]),
      }),
    }),
    row({
      name: "PHP, php-fpm behind nginx",
      tool: fpm,
      program: (argv) => ({
        start: async ({ port, folder }) => {
          await writeFile(join(folder, "fpm.conf"), fpmConfiguration(port));
          return quoted([...argv, "-n", "-F", "-y", join(folder, "fpm.conf")]);
        },
        ask: askFpm,
      }),
    }),
  ],
};

/**
 * A program starts through inpod as it starts without, wherever its project is, and whatever the pod lacks: not one
 * file of its runtime is there, or another one in its place. The programs are in runtimes/; each says what it found.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cp, mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { CLI, isRoot, quoted, Run, useSandbox } from "./exec-support.ts";
import { POD_KINDS, type PodKind, startOtherPod } from "./other-pods.ts";
import { inPrivateRoot } from "./private-root.ts";

const { sandbox, folder } = await useSandbox();

const PROGRAMS = fileURLToPath(new URL("./runtimes", import.meta.url));
const CHECKOUT = fileURLToPath(new URL("../../..", import.meta.url));

/** In the folder of the runtime's name. The first word of each is what must be there. */
const RUNTIMES: Readonly<Record<string, readonly string[]>> = {
  node: ["node main.js", "npm start --silent"],
  python: ["python3 main.py", "python3 -m venv --without-pip v && v/bin/python main.py; rm -r v"],
  go: ["go run .", "go build -o app . && ./app; rm app"],
  rust: ["cargo run -q --offline"],
  java: ["javac -d out Main.java && cp word.txt out && java -cp out Main; rm -r out"],
  ruby: ["ruby main.rb"],
  shell: ["sh run.sh"],
};

const has = (program: string): boolean => {
  try {
    execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
};

/** Where each of them says that it is installed. */
const PREFIXES: Readonly<Record<string, readonly string[]>> = {
  python: ["python3", "-c", "import sys; print(sys.base_prefix)"],
  go: ["go", "env", "GOROOT"],
  java: ["sh", "-c", 'dirname "$(dirname "$(readlink -f "$(command -v javac)")")"'],
};

/** Below "/", each as /PLACE/dev/orders. */
const PLACES = ["home", "workspaces", "root", "srv", "data"];
const ownFolder = (pod: PodKind): string =>
  join(homedir(), `.inpod-runtimes-${process.pid}-${pod}`);

/** Between what the program says through inpod and what it says without. */
const MARK = "==== as without inpod:";

const project = join(folder, "orders");
const pods = new Map<PodKind, number>();
await cp(PROGRAMS, project, { recursive: true });
await mkdir(join(project, "node/node_modules"));
await symlink("../words", join(project, "node/node_modules/words"));
if (has("git")) execFileSync("git", ["init", "-q"], { cwd: project });
const files = (await readdir(PROGRAMS, { recursive: true, withFileTypes: true }))
  .filter((entry) => entry.isFile())
  .map((entry) => relative(PROGRAMS, join(entry.parentPath, entry.name)));
const twins = [...PLACES.map((place) => `/${place}/dev/orders`), ownFolder("twin")].flatMap(
  (place) => files.map((name) => `${place}/${name}`),
);
for (const kind of POD_KINDS) {
  pods.set(kind, await startOtherPod(sandbox, kind, folder, twins));
}
// What the pod lacks is not there, and what is written is the pod's, unless a rule says that it is this machine's.
await writeFile(
  join(folder, "strict.json"),
  '{ "feature": { "fs": { "mode": "write", "fallback": false } } }',
);

interface Place {
  /** What stands before a command. */
  readonly prefix: readonly string[];
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

async function compare(
  pod: PodKind,
  runtimes: Readonly<Record<string, readonly string[]>>,
  place: Place,
): Promise<void> {
  const lines = Object.entries(runtimes)
    .filter(([, commands]) => has(commands[0]?.split(" ")[0] ?? ""))
    .flatMap(([name, commands]) =>
      commands.map((line) => `(cd ${name}; ${line}) 2>&1; echo "ended: $?"`),
    );
  assert.ok(lines.length > 0);
  const inpod = [process.execPath, CLI, "exec", "-t", `process/${pods.get(pod)}`];
  if (pod === "distroless") inpod.push("-f", join(folder, "strict.json"));
  inpod.push("--");
  const program = ["sh", "-c", lines.join("\n")];
  const both = `${quoted([...inpod, ...program])}; echo "${MARK}"; ${quoted(program)}`;
  const run = new Run(
    sandbox.inLaptop([...place.prefix, "sh", "-c", both], {
      cwd: place.cwd,
      env: { ...process.env, ...place.env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    }),
  );
  const { stdout, stderr } = await run.ended;
  const [through, without = ""] = stdout.split(`${MARK}\n`);
  assert.deepEqual(
    without.match(/^ended: .*$/gm),
    lines.map(() => "ended: 0"),
    `it does not even work without inpod: ${without}`,
  );
  assert.equal(through, without, stderr);
}

const chosen = (names: readonly string[]): Readonly<Record<string, readonly string[]>> =>
  Object.fromEntries(names.map((name) => [name, RUNTIMES[name] ?? []]));

/** Each place twice, one of them beside its twin. */
const PAIRS: readonly (readonly [place: string, pod: PodKind, ...runtimes: string[]])[] = [
  ["home", "empty", "node", "python", "java"],
  ["home", "twin", "go", "ruby", "shell"],
  ["workspaces", "distroless", "rust", "python", "node"],
  ["workspaces", "twin", "go", "java", "shell"],
  ["root", "empty", "node", "python", "rust"],
  ["root", "twin", "java", "python", "shell"],
  ["srv", "distroless", "rust", "python", "ruby"],
  ["srv", "twin", "node", "java", "go"],
  ["data", "distroless", "java", "go", "shell"],
  ["data", "twin", "node", "rust", "ruby"],
];

for (const [place, pod, ...runtimes] of PAIRS) {
  const skip = isRoot ? false : "a private mount namespace needs root";
  const title = `in /${place}, beside a pod that is ${pod}: ${runtimes.join(", ")}`;
  test(title, { skip }, async () => {
    const scratch = join(folder, `${place}-${pod}`);
    await mkdir(scratch);
    const prefix = inPrivateRoot({ place, project, scratch, checkout: CHECKOUT });
    await compare(pod, chosen(runtimes), { prefix, cwd: folder });
  });
}

test("runtimes that are installed where the defaults see the pod's files", {
  skip: isRoot ? false : "mounts need root",
}, async () => {
  const scratch = join(folder, "tools");
  await mkdir(scratch);
  const names = Object.keys(PREFIXES).filter((name) => has(PREFIXES[name]?.[0] ?? ""));
  const mounts = names.map((name) => {
    const [program = "", ...argv] = PREFIXES[name] ?? [];
    const prefix = execFileSync(program, argv, { encoding: "utf8" }).trim();
    return `mkdir -p /data/tools/${name}; mount --bind '${prefix}' /data/tools/${name}`;
  });
  const node = "/data/tools/node/bin/node";
  mounts.push(
    `mkdir -p ${dirname(node)}; touch ${node}; mount --bind '${process.execPath}' ${node}`,
  );
  const path = [...names, "node"].map((name) => `/data/tools/${name}/bin`).join(":");
  const moved = `set -e; ${mounts.join("; ")}; export PATH="${path}:$PATH"; exec "$@"`;
  await compare(
    "distroless",
    { ...chosen(["python", "go", "java"]), node: ["node main.js", `${node} main.js`] },
    {
      prefix: [
        ...inPrivateRoot({ place: "data", project, scratch, checkout: CHECKOUT }),
        ...["sh", "-c", moved, "moved"],
      ],
      cwd: folder,
    },
  );
});

for (const [index, pod] of POD_KINDS.entries()) {
  const runtimes = Object.keys(RUNTIMES).filter((_, at) => at % POD_KINDS.length === index);
  test(`in a folder of one's own, beside a pod that is ${pod}: ${runtimes.join(", ")}`, async () => {
    const own = ownFolder(pod);
    await cp(project, own, { recursive: true, verbatimSymlinks: true });
    try {
      await compare(pod, chosen(runtimes), { prefix: [], cwd: own });
    } finally {
      await rm(own, { recursive: true, force: true });
    }
  });
}

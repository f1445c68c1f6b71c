/** The built `inpod env` beside a sandbox's pod. */
import assert from "node:assert/strict";
import { execFileSync, type SpawnOptions } from "node:child_process";
import { cpSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { POD_ENVIRONMENT } from "@inpod/sandbox";
import { CLI, Inventory, type Outcome, Run, until, useSandbox } from "./exec-support.ts";

const { sandbox, folder } = await useSandbox();

/** A value that must be nowhere but on stdout, and only when it is asked for. */
const CANARY = "c4n4ry-value";

// What its shell began with is not what it has now; some of it is no text.
const script = `export CHANGED=after SECRET="$SECRET-2" MULTI="two
lines"; BYTES=$(printf 'caf\\351'); export BYTES; exec env 'hostile $(touch ${folder}/x)=1' sleep 62`;
const began = {
  ...{ PATH: POD_ENVIRONMENT.PATH, HOME: "/pod", CHANGED: "before", SECRET: CANARY },
  ...{
    AWS_REGION: "pod-region",
    QUOTED: 'it\'s $HOME `id` \\ "q"',
    LD_PRELOAD: "/x.so",
    UID: "7",
  },
};
const pod = new Run(sandbox.inPod(["sh", "-c", script], { env: began }));
let pid = 0;
await until("the process", async () => {
  const found = (await sandbox.processes()).find(({ command }) => command === "sleep 62");
  pid = found?.pid ?? 0;
  return found !== undefined;
});
const inventory = await Inventory.of(sandbox);
after(() => {
  pod.signalGroup("SIGKILL");
});

const OWN = {
  ...{ PATH: process.env.PATH ?? "", HOME: folder, MINE: "mine", CHANGED: "mine" },
  ...{ AWS_PROFILE: CANARY, KUBECONFIG: CANARY, DROPPED: CANARY },
};
const ENV_FILE = join(folder, "more.env");
writeFileSync(ENV_FILE, `FROM_FILE=${CANARY}\n`);
const FEATURE = {
  env: {
    env_file: ENV_FILE,
    mapping: { "^MAPPED$": "mapped" },
    override: { OVERRIDDEN: "$(exit 9)", MAPPED: CANARY },
    unset: "DROPPED,QUOTED_NOT_THERE",
  },
};

function start(args: readonly string[], config?: object, cli = CLI): Run {
  const file = join(folder, "inpod.json");
  if (config) writeFileSync(file, JSON.stringify(config));
  const argv = [
    process.execPath,
    cli,
    "env",
    "-t",
    `process/${pid}`,
    ...(config ? ["-f", file] : []),
  ];
  return new Run(
    sandbox.inLaptop([...argv, ...args], {
      ...{ cwd: folder, env: OWN, stdio: ["ignore", "pipe", "pipe"], detached: true },
    }),
  );
}
const run = (...args: Parameters<typeof start>): Promise<Outcome> => start(...args).ended;

test("names and where they come from, in lines that nobody evaluates; no value, and nothing is left", async () => {
  const { code, stdout, stderr } = await run([], { feature: FEATURE });
  assert.equal(code, 0, stderr);
  const rows = stdout
    .trim()
    .split("\n")
    .map((line) => line.split(/ {2,}/));
  assert.ok(
    rows.every(([name = ""]) => name.startsWith("# ")),
    stdout,
  );
  assert.deepEqual(
    rows.map(([name = "", from]) => [name.slice(2), from]),
    [
      ...[
        ["NAME", "FROM"],
        ["AWS_REGION", "pod"],
        ["BYTES", "pod"],
        ["CHANGED", "pod"],
      ],
      ...[
        ["FROM_FILE", "env_file"],
        ["MAPPED", "override"],
        ["MULTI", "pod"],
      ],
      ...[
        ["OVERRIDDEN", "override"],
        ["QUOTED", "pod"],
        ["SECRET", "pod"],
        ["UID", "pod"],
      ],
      [`hostile $(touch ${folder}/x)`, "pod"],
    ],
  );
  assert.match(stderr, /values are not shown \(--show-values\)/);
  assert.doesNotMatch(stdout + stderr, new RegExp(CANARY));
  await inventory.assertAsBefore(`process/${pid}`);
});

test("what would be evaluated is refused without values, before anything is made, and says what to type", async () => {
  for (const [format, hint] of [
    ["shell", 'eval "$(inpod env --format shell --show-values)"'],
    ["fish", "inpod env --format fish --show-values | source"],
    ["dotenv", "inpod env --format dotenv --show-values"],
    ["docker", "inpod env --format docker --show-values"],
  ] as const) {
    const { code, stdout, stderr } = await run(["--format", format]);
    assert.deepEqual([code, stdout], [2, ""], stderr);
    assert.ok(stderr.includes(hint), stderr);
    assert.doesNotMatch(stderr, /agent/);
  }
});

test("sh evaluates it: the process's values of now over your own, PATH and HOME yours, credentials and unset gone", async () => {
  const { code, stdout, stderr } = await run(["--format", "shell", "--show-values"], {
    feature: FEATURE,
  });
  assert.equal(code, 0, stderr);
  const environ = execFileSync("sh", ["-euc", 'eval "$OUTPUT"; unset OUTPUT PWD; env -0'], {
    // Bytes that are not text would not survive a variable of Node's.
    env: { ...OWN, OUTPUT: stdout.replace(/^export BYTES=.*\n/m, "") },
  }).toString();
  const seen = Object.fromEntries(
    environ.split("\0").flatMap((entry) => {
      const at = entry.indexOf("=");
      return at > 0 ? [[entry.slice(0, at), entry.slice(at + 1)]] : [];
    }),
  );
  delete seen._;
  delete seen.SHLVL;
  assert.deepEqual(seen, {
    ...{ PATH: OWN.PATH, HOME: OWN.HOME, MINE: "mine", CHANGED: "after", MULTI: "two\nlines" },
    ...{ AWS_REGION: "pod-region", QUOTED: 'it\'s $HOME `id` \\ "q"', SECRET: `${CANARY}-2` },
    ...{ FROM_FILE: CANARY, MAPPED: CANARY, OVERRIDDEN: "$(exit 9)" },
  });
  assert.match(stdout, /^export BYTES='caf\xe9'$/m);
  assert.match(stderr, /left out of --format shell: UID \(it is the shell's own\), hostile/);
  assert.doesNotMatch(stdout, /hostile|UID/);
  assert.deepEqual(readdirSync(folder).includes("x"), false);
});

interface Written {
  readonly target: string;
  readonly values: string;
  readonly variables: readonly {
    readonly name: string;
    readonly from: string;
    readonly value?: string;
    readonly valueBase64?: string;
  }[];
  readonly removed: readonly { readonly name: string; readonly why: string }[];
}

test("JSON has no value unless asked, --all has your own too, and --explain says the rest on stderr", async () => {
  const hidden = await run(["--format", "json"], { feature: FEATURE });
  const { values, variables } = JSON.parse(hidden.stdout) as Written;
  assert.equal(values, "hidden");
  assert.ok(variables.every((each) => !("value" in each) && !("valueBase64" in each)));
  const all = await run(["--format", "json", "--show-values", "--all", "--explain"], {
    feature: FEATURE,
  });
  const shown = JSON.parse(all.stdout) as Written;
  const of = (name: string) => shown.variables.find((each) => each.name === name);
  assert.deepEqual(of("MINE"), { name: "MINE", from: "local", value: "mine" });
  assert.deepEqual(of("BYTES"), { name: "BYTES", from: "pod", valueBase64: "Y2Fm6Q==" });
  assert.equal(shown.target, `process/${pid}`);
  assert.deepEqual(shown.removed, [
    { name: "AWS_PROFILE", why: "it says who you are" },
    { name: "KUBECONFIG", why: "it says who you are" },
    { name: "DROPPED", why: "feature.env.unset" },
  ]);
  for (const row of [
    /^CHANGED +pod +in the place of your own$/m,
    /^HOME +local +not the pod's: excluded by default$/m,
    /^LD_PRELOAD +– +not the pod's: excluded by default$/m,
    /^AWS_PROFILE +– +not your own: it says who you are$/m,
  ])
    assert.match(all.stderr, row);
  assert.doesNotMatch(all.stderr, new RegExp(CANARY));
});

test("it needs no native addon: with every .node file removed env works, and exec does not", async () => {
  const copy = join(folder, "dist");
  cpSync(dirname(CLI), copy, {
    recursive: true,
    filter: (path) => !/\.node$|\.lock$/.test(path),
  });
  assert.ok(!readdirSync(copy, { recursive: true }).some((name) => String(name).endsWith(".node")));
  const cli = join(copy, "cli.js");
  const { code, stdout, stderr } = await run([], undefined, cli);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /CHANGED +pod/);
  const exec = sandbox.inLaptop([
    process.execPath,
    cli,
    "exec",
    "-t",
    `process/${pid}`,
    "--",
    "true",
  ]);
  assert.notEqual((await new Run(exec).ended).code, 0);
  rmSync(copy, { recursive: true });
});

test("it needs no Linux: where the platform is another one env works, and exec says what to do", async () => {
  const other = `data:text/javascript,Object.defineProperty(process, "platform", { value: "darwin" })`;
  const on = (...args: string[]): Promise<Outcome> =>
    new Run(
      sandbox.inLaptop([process.execPath, "--import", other, CLI, ...args], {
        ...{ cwd: folder, env: OWN, stdio: ["ignore", "pipe", "pipe"], detached: true },
      }),
    ).ended;
  const { code, stdout, stderr } = await on("env", "-t", `process/${pid}`);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /CHANGED +pod/);
  assert.equal((await on("exec", "-t", `process/${pid}`, "--", "true")).code, 6);
});

test("no value is in anything that is said: --verbose, --explain, and every way to go wrong", async () => {
  const verbose = await run(["--verbose", "--explain"], { feature: FEATURE });
  assert.equal(verbose.code, 0, verbose.stderr);
  assert.match(verbose.stderr, /decision env AWS_PROFILE → hidden/);
  assert.doesNotMatch(verbose.stdout + verbose.stderr, new RegExp(CANARY));
  const bad = join(folder, "bad.env");
  for (const [content, env] of [
    [`${CANARY}\n`, { env_file: bad }],
    [`A="${CANARY}\n`, { env_file: bad }],
    [`A='x' ${CANARY}\n`, { env_file: bad }],
    ["", { override: { A: `${CANARY}\0` } }],
    ["", { override: { A: [CANARY] } }],
    ["", { mapping: { A: `${CANARY}\0` } }],
    ["", { mapping: { "(a+)+": CANARY } }],
    ["", { overide: { A: CANARY } }],
  ] as const) {
    writeFileSync(bad, content);
    const { code, stdout, stderr } = await run(["--verbose", "--show-values"], {
      feature: { env },
    });
    assert.equal(code, 2, stderr);
    assert.equal(stdout, "");
    assert.doesNotMatch(stderr, /starting an agent/, "before anything is made");
    assert.doesNotMatch(stderr, new RegExp(CANARY), JSON.stringify(env));
  }
  writeFileSync(bad, CANARY);
  const early = new Run(
    sandbox.inLaptop(
      [process.execPath, CLI, "exec", "--env-file", bad, "-t", `process/${pid}`, "--", "true"],
      { cwd: folder, env: OWN, stdio: ["ignore", "pipe", "pipe"], detached: true },
    ),
  );
  const told = await early.ended;
  assert.equal(told.code, 2, told.stderr);
  assert.doesNotMatch(told.stderr, new RegExp(`${CANARY}|starting an agent`));
  writeFileSync(join(folder, "inpod.json"), JSON.stringify({ feature: FEATURE }));
  const exec = new Run(
    sandbox.inLaptop(
      [
        process.execPath,
        CLI,
        "exec",
        "-v",
        "-f",
        "inpod.json",
        "-t",
        `process/${pid}`,
        "--",
        "true",
      ],
      { cwd: folder, env: OWN, stdio: ["ignore", "pipe", "pipe"], detached: true },
    ),
  );
  const { stderr } = await exec.ended;
  assert.match(stderr, /decision/);
  assert.doesNotMatch(stderr, new RegExp(CANARY));
});

test("Ctrl-C while it looks ends it by that signal, and nothing is left", async () => {
  const running = start([]);
  await running.said(/starting an agent/, "stderr");
  running.signalGroup("SIGINT");
  const { signal, stdout } = await running.ended;
  assert.deepEqual([signal, stdout], ["SIGINT", ""]);
  await inventory.assertAsBefore(`process/${pid}`);
});

test("no target, and one that is not there", async () => {
  const argv = [process.execPath, CLI, "env"];
  const options: SpawnOptions = {
    cwd: folder,
    env: OWN,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  };
  const without = await new Run(sandbox.inLaptop(argv, options)).ended;
  assert.deepEqual([without.code, without.stdout], [2, ""]);
  assert.match(without.stderr, /no target: whose environment is wanted\?/);
  const gone = await new Run(sandbox.inLaptop([...argv, "-t", "process/4194305"], options)).ended;
  assert.deepEqual([gone.code, gone.stdout], [3, ""], gone.stderr);
});

/** The built CLI, as a person meets it: what goes to stdout, what to stderr, and the exit code. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const cli = process.env.INPOD_TEST_CLI ?? join(root, "dist/cli.js");
let folder: string;

before(() => {
  if (process.env.INPOD_TEST_CLI === undefined) {
    execFileSync("npm", ["run", "--silent", "build"], { cwd: root, stdio: "ignore" });
  }
  folder = mkdtempSync(join(tmpdir(), "inpod-words-"));
  for (const name of [".inpod", ".mirrord"]) mkdirSync(join(folder, name));
});
after(() => rmSync(folder, { recursive: true, force: true }));

interface Run {
  readonly files?: Record<string, string>;
  readonly env?: Record<string, string>;
}

function inpod(args: readonly string[], { files = {}, env = {} }: Run = {}) {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  try {
    const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], {
      cwd: folder,
      encoding: "utf8",
      timeout: 120_000,
      env: { PATH: process.env.PATH ?? "", HOME: folder, ...env },
    });
    return { status, stdout, stderr };
  } finally {
    for (const name of Object.keys(files)) rmSync(join(folder, name));
  }
}

/** A command that is not there: everything before it was accepted, and nothing was created. */
const nothing = ["--", "no-such-program-of-inpod"];

/** Fails with `code`; stderr begins with error: and says each of `words`; stdout stays empty. */
function refused(run: ReturnType<typeof inpod>, code: number, ...words: RegExp[]): void {
  assert.equal(run.status, code, run.stderr);
  assert.match(run.stderr, /^(inpod: .*\n)*error: /);
  assert.doesNotMatch(run.stderr, /\n\s+at /);
  for (const word of words) assert.match(run.stderr, word);
  assert.equal(run.stdout, "");
}

const config = (text: string): Run => ({ files: { ".inpod/inpod.json": text } });
const run = (text: string) => inpod(["exec", "-t", "pod/x", ...nothing], config(text));

test("--help teaches on stdout, --version says one", () => {
  const help = inpod(["exec", "--help"]);
  assert.equal(help.status, 0);
  assert.equal(help.stderr, "");
  assert.match(help.stdout, /inpod exec (-t|--target) pod\//);
  assert.match(inpod(["--version"]).stdout, /\d+\.\d+\.\d+/);
});

test("wrong words are usage errors with the nearest right ones", () => {
  refused(inpod(["exce"]), 2, /exec/);
  refused(inpod(["exec", "-t", "pod/x", "--stael", ...nothing]), 2, /--steal/);
  refused(inpod(["exec", "-t", "pod/x"]), 2, /command/);
  refused(inpod(["exec", "--", "true"]), 2, /target/);
  refused(inpod(["exec", "-t", "pod/x", "--fs-mode", "raed", ...nothing]), 2, /read/);
  refused(inpod(["exec", "-t", "pod/x", "--agent-startup-timeout", "soon", ...nothing]), 2);
});

test("what is no target is refused with what it should be", () => {
  for (const path of [
    "depoyment/x",
    "x",
    "pod/",
    "pod/x/contianer/c",
    "process/0x10",
    "pod/../y",
  ]) {
    refused(inpod(["exec", "-t", path, ...nothing]), 2, /pod\//);
  }
});

test("without -- the first word begins the command, and its flags are its own", () => {
  refused(inpod(["exec", "-t", "pod/x", "no-such-program-of-inpod", "--steal", "-t"]), 127);
});

test("a command that cannot run is told before anything is created", () => {
  const script = (name: string, text: string, mode = 0o755) => {
    writeFileSync(join(folder, name), text);
    chmodSync(join(folder, name), mode);
  };
  script("plain", "not a program\n", 0o644);
  script("orphan", "#!/no/such/interpreter\n");
  mkdirSync(join(folder, "folder"));
  const at = (word: string) => inpod(["exec", "-t", "pod/x", "--", word]);
  refused(at("nod"), 127, /node/);
  refused(at("./missing"), 127);
  refused(at("./plain"), 126, /permission|execut/i);
  refused(at("./orphan"), 126, /\/no\/such\/interpreter/);
  refused(at("./folder"), 126, /directory/);
});

test("the file of inpod is read before that of mirrord, comments and trailing commas allowed", () => {
  const files = {
    ".inpod/inpod.json": '{ // a comment\n "target": "ours/x", }',
    ".mirrord/mirrord.json": '{"target": "theirs/x"}',
  };
  refused(inpod(["exec", ...nothing], { files }), 2, /ours/);
  const { ".mirrord/mirrord.json": only } = files;
  refused(inpod(["exec", ...nothing], { files: { ".mirrord/mirrord.json": only } }), 2, /theirs/);
  refused(
    inpod(["exec", ...nothing], {
      files: { ".mirrord/mirrord.toml": 'target = "theirs/x"' },
    }),
    2,
    /theirs/,
  );
});

test("environment goes over flag, flag over file", () => {
  const files = { ".inpod/inpod.yaml": "target: file/x\n" };
  const flag = ["exec", "-t", "flag/x", ...nothing];
  refused(inpod(flag, { files }), 2, /flag/);
  refused(inpod(flag, { files, env: { MIRRORD_IMPERSONATED_TARGET: "env/x" } }), 2, /env\/x/);
});

test("a syntax error has file, line and column in each language", () => {
  refused(run('{\n  "target": }'), 2, /inpod\.json:2:\d+/);
  const files = (name: string, text: string) => ({ files: { [name]: text } });
  refused(
    inpod(["exec", ...nothing], files(".inpod/inpod.yaml", "a: [1\nb: 2\n")),
    2,
    /yaml:\d+:\d+/,
  );
  refused(inpod(["exec", ...nothing], files(".inpod/inpod.toml", 'a = "\n')), 2, /toml:1:\d+/);
});

test("all wrong keys and values of a file are told at once, by path and nearest spelling", () => {
  const text = JSON.stringify({
    feature: { netwrok: {}, fs: "raed", network: { outgoing: { ignore_localhots: true } } },
    agent: { startup_timeout: "60" },
    skip_build_tools: "yes",
  });
  refused(
    run(text),
    2,
    /feature\.netwrok.*network/,
    /feature\.fs.*read/,
    /feature\.network\.outgoing\.ignore_localhots.*ignore_localhost/,
    /agent\.startup_timeout/,
    /skip_build_tools.*true/,
  );
});

test("a documented key of a later version is refused by its path", () => {
  const text = JSON.stringify({
    feature: { magic: { turbo: true }, copy_target: true },
    agent: { nftables: false },
  });
  refused(
    run(text),
    2,
    /feature\.magic\.turbo.*not (supported )?yet/,
    /copy_target/,
    /agent\.nftables/,
  );
});

test("what inpod has no part of is accepted and ignored", () => {
  const text = JSON.stringify({
    telemetry: false,
    sip_binaries: ["bash"],
    internal_proxy: { idle_timeout: 5 },
    experimental: { anything: { at: "all" } },
  });
  refused(run(text), 127);
});

test("the configuration of a metadata service is accepted unchanged", () => {
  const text = JSON.stringify({
    target: { path: "pod/test/container/dummy", namespace: "test" },
    feature: {
      env: true,
      network: { outgoing: { tcp: true, udp: true, filter: { remote: ["169.254.169.254"] } } },
    },
  });
  refused(inpod(["exec", ...nothing], config(text)), 127);
});

test("short and long forms are all accepted", () => {
  for (const feature of [
    { env: { include: "A;B*" }, fs: true, network: true, hostname: false },
    { env: false, fs: false, network: false },
    { env: { exclude: ["A"], override: { A: "b" }, unset: ["C"] }, fs: "localwithoverrides" },
    { network: { incoming: "steal", outgoing: false, dns: false } },
    { network: { incoming: { mode: "steal", port_mapping: [[80, 8080]], ports: [8080] } } },
    {
      network: {
        incoming: false,
        outgoing: { filter: { local: [":53", "10.0.0.0/8"] } },
        dns: { enabled: true },
      },
    },
    {
      fs: {
        mode: "local",
        read_only: ["^/x"],
        not_found: ["y$"],
        mapping: { "^/a": "/b" },
        fallback: false,
      },
    },
  ]) {
    refused(run(JSON.stringify({ feature })), 127);
  }
});

test("a variable's value is never shown", () => {
  const wrong = run('{"feature": {"env": {"override": {"PASSWORD": 12345678}}}}');
  refused(wrong, 2, /feature\.env\.override/);
  assert.doesNotMatch(wrong.stderr, /12345678/);
  const syntax = run('{"feature": {"env": {"override": {"PASSWORD": "hunter-two" "B": 1}}}}');
  refused(syntax, 2);
  assert.doesNotMatch(syntax.stderr, /hunter-two/);
});

test("-f names another file, and one that is missing is an error", () => {
  refused(inpod(["exec", "-f", "none.json", "-t", "pod/x", ...nothing]), 2, /none\.json/);
  const files = { "other.json": '{"target": "other/x"}' };
  refused(inpod(["exec", "-f", "other.json", ...nothing], { files }), 2, /other/);
});

test("no escape sequence of a name reaches the terminal", () => {
  const { stderr } = inpod(["exec", "-t", "pod/\x1b[31mred", ...nothing]);
  assert.ok(!stderr.includes("\x1b[31m"), JSON.stringify(stderr));
});

/** `inpod init`: what it asks, what it writes, and what it leaves alone. */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { UserError } from "@inpod/protocol";
import { parseArguments } from "../src/arguments.ts";
import { loadConfig } from "../src/config/load.ts";
import type { Answer, Dialogue } from "../src/init/dialogue.ts";
import { type OfferTargets, runInit } from "../src/init/run.ts";
import { runVerifyConfig } from "../src/verify-config/run.ts";
import { directoryWith } from "./config-support.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const FILE = ".inpod/inpod.json";

interface More {
  readonly offer?: OfferTargets;
  readonly files?: Record<string, string>;
  readonly whenAsked?: (directory: string) => void;
}

/** Runs the command in a folder of its own, with these answers; what is not answered is the end of the input. */
async function init(
  t: TestContext,
  argv: readonly string[],
  answers?: readonly (string | Answer)[],
  { offer = async () => [], files = {}, whenAsked = () => {} }: More = {},
) {
  const directory = directoryWith(t, { x: "", ...files });
  const args = parseArguments(["init", ...argv]);
  assert.equal(args.kind, "init");
  if (args.kind !== "init") throw new Error("not init");
  let said = "";
  let printed = "";
  const io = {
    stdout: { write: (text: string) => (printed += text) },
    stderr: { write: (text: string) => (said += text) },
    env: {},
    directory,
  };
  const left = [...(answers ?? [])];
  const dialogue: Dialogue = {
    ask: async (question) => {
      said += question;
      whenAsked(directory);
      const answer = left.shift() ?? { kind: "end" };
      return typeof answer === "string" ? { kind: "line", text: answer } : answer;
    },
    close: () => {},
  };
  let error: unknown;
  const result = await runInit(args, io, answers && dialogue, offer).catch((thrown: unknown) => {
    error = thrown;
  });
  return { directory, result, error, said, printed };
}

/** Fails with what the message of a UserError must be like; nothing is written. */
function refused(run: Awaited<ReturnType<typeof init>>, words: RegExp): void {
  assert.ok(run.error instanceof UserError, String(run.error));
  assert.match([run.error.code, run.error.message, ...run.error.hints].join(" | "), words);
  assert.equal(run.printed, "");
}

const resolved = (directory: string) => {
  const config = loadConfig({ flags: {}, env: {}, directory });
  return [config.target, config.namespace, config.layer.incoming.mode];
};

test("by flags it asks nothing, says what it has written, and what it writes is good", async (t) => {
  const run = await init(t, "--target deployment/orders -n shop --steal".split(" "));
  assert.deepEqual(run.result, { code: 0 }, String(run.error));
  assert.equal(run.printed, `${FILE}\n`);
  assert.match(run.said, /from now on: inpod exec -- COMMAND/);
  assert.deepEqual(resolved(run.directory), ["deployment/orders", "shop", "steal"]);
  const verify = parseArguments(["verify-config"]);
  assert.ok(verify.kind === "verify-config");
  let report = "";
  const stdout = { write: (text: string) => (report += text) };
  const io = { stdout, stderr: stdout, env: {}, directory: run.directory };
  assert.deepEqual(runVerifyConfig(verify, io), { code: 0 });
  assert.equal(report, `${FILE} is good\n`);
});

test("what is not said by flags is left to the context, and to the pod", async (t) => {
  const { directory } = await init(t, ["--target", "pod/a"]);
  assert.deepEqual(resolved(directory), ["pod/a", undefined, "mirror"]);
});

test("it asks for namespace, target and what comes in", async (t) => {
  const run = await init(t, [], ["shop", "pod/a", "y"]);
  assert.deepEqual(run.result, { code: 0 }, String(run.error));
  assert.match(run.said, /Namespace .*: Whose place .*: Answer the .* \[y\/N\] inpod: written/);
  assert.deepEqual(resolved(run.directory), ["pod/a", "shop", "steal"]);
  const plain = await init(t, [], ["", " pod/a/container/c ", ""]);
  assert.deepEqual(resolved(plain.directory), ["pod/a/container/c", undefined, "mirror"]);
});

test("what a flag says is not asked for", async (t) => {
  const run = await init(t, ["-n", "shop", "--steal"], ["pod/a"]);
  assert.deepEqual(resolved(run.directory), ["pod/a", "shop", "steal"]);
});

test("an answer that cannot be is explained and asked for again", async (t) => {
  const run = await init(t, [], ["No Name", "shop", "pods/a", "7", "pod/a", "maybe", "N"]);
  assert.deepEqual(run.result, { code: 0 }, String(run.error));
  assert.match(run.said, /"No Name" is no namespace\n {2}a name of up to 63/);
  assert.match(run.said, /"pods\/a" is no target\n {2}did you mean pod/);
  assert.match(run.said, /please say y or n/);
  assert.deepEqual(resolved(run.directory), ["pod/a", "shop", "mirror"]);
});

test("the cluster's targets are offered by number, from the namespace that was said", async (t) => {
  let asked: unknown;
  const offer: OfferTargets = async (place) => {
    asked = [place.namespace, place.context];
    return ["deployment/a", "pod/b"];
  };
  const run = await init(t, ["--context", "c"], ["shop", "3", "2", ""], { offer });
  assert.deepEqual(asked, ["shop", "c"]);
  assert.match(run.said, / {2}1 {2}deployment\/a\n {2}2 {2}pod\/b\n/);
  assert.match(run.said, /the list has the numbers 1 to 2/);
  assert.deepEqual(resolved(run.directory), ["pod/b", "shop", "mirror"]);
});

test("a cluster that cannot be asked keeps nobody from writing a target down", async (t) => {
  const offer: OfferTargets = async () => {
    throw new Error("no route\u001b[2J");
  };
  const run = await init(t, [], ["", "pod/a", ""], { offer });
  assert.match(run.said, /cannot be listed: no route\ufffd\[2J/);
  assert.deepEqual(resolved(run.directory), ["pod/a", undefined, "mirror"]);
});

test("a long list is cut, and says so", async (t) => {
  const offer: OfferTargets = async () => Array.from({ length: 30 }, (_, index) => `pod/p${index}`);
  const { said } = await init(t, [], ["", "1", ""], { offer });
  assert.match(said, /30 targets, of which the first are/);
  assert.doesNotMatch(said, /pod\/p20/);
});

test("the end of the input, and nonsense without end, leave nothing behind", async (t) => {
  for (const answers of [[], [""], Array.from({ length: 9 }, () => "No Name")]) {
    const run = await init(t, [], answers);
    refused(run, /nothing is written|is no namespace/);
    assert.equal(existsSync(join(run.directory, FILE)), false);
  }
});

test("Ctrl-C ends it as a signal does, and nothing is written", async (t) => {
  const run = await init(t, [], ["shop", { kind: "interrupt" }]);
  assert.deepEqual(run.result, { signal: "SIGINT" });
  assert.equal(existsSync(join(run.directory, FILE)), false);
});

test("without a terminal it needs a target, and a good one", async (t) => {
  refused(await init(t, []), /no target, and no terminal to ask for one/);
  refused(await init(t, ["--target", "pods/a"]), /TARGET_INVALID/);
  refused(await init(t, ["--target", "pod/a", "-n", "A B"]), /"A B" is no namespace/);
});

test("a file that is there is never written over, unless that is what was asked for", async (t) => {
  const files = { [FILE]: "mine" };
  const run = await init(t, ["--target", "pod/a"], undefined, { files });
  refused(run, /CONFIG_EXISTS \| \.inpod\/inpod\.json is there already \| write over it: --force/);
  assert.equal(readFileSync(join(run.directory, FILE), "utf8"), "mine");
  const forced = await init(t, ["--target", "pod/a", "--force"], undefined, { files });
  assert.deepEqual(resolved(forced.directory), ["pod/a", undefined, "mirror"]);
});

test("a file that appears while it asks is not written over either", async (t) => {
  const run = await init(t, [], ["", "pod/a", ""], {
    files: { ".inpod/x": "" },
    whenAsked: (directory) => writeFileSync(join(directory, FILE), "theirs"),
  });
  refused(run, /CONFIG_EXISTS/);
  assert.equal(readFileSync(join(run.directory, FILE), "utf8"), "theirs");
});

test("another file, in a folder that is not there yet; only as JSON", async (t) => {
  const run = await init(t, ["--target", "pod/a", "-o", "deep/er/x.json"]);
  assert.equal(run.printed, "deep/er/x.json\n");
  assert.ok(existsSync(join(run.directory, "deep/er/x.json")));
  refused(await init(t, ["--target", "pod/a", "-o", "x.yaml"]), /does not end in \.json/);
});

/** The built program on a terminal of its own: each answer is typed when its question has appeared. */
async function onTerminal(
  t: TestContext,
  dialogue: readonly (readonly [question: RegExp, typed: string])[],
) {
  execFileSync("npm", ["run", "--silent", "build"], { cwd: root, stdio: "ignore" });
  const directory = directoryWith(t, { x: "" });
  const command = `${process.execPath} ${join(root, "dist/cli.js")} init`;
  const child = spawn("script", ["-qfec", command, "/dev/null"], {
    cwd: directory,
    env: { PATH: process.env.PATH, HOME: directory, TERM: "dumb", SHELL: "/bin/sh" },
    timeout: 120_000,
  });
  let seen = "";
  const left = [...dialogue];
  child.stdout.on("data", (bytes: Buffer) => {
    seen += bytes.toString();
    const [next] = left;
    if (next === undefined || !next[0].test(seen)) return;
    left.shift();
    seen = "";
    child.stdin.write(next[1]);
  });
  const [code] = (await once(child, "close")) as [number | null];
  assert.deepEqual(left, [], seen);
  return { directory, code };
}

const noScript =
  spawnSync("script", ["--version"]).status === 0 ? false : "needs script(1) of util-linux";

test("on a real terminal it is a dialogue", { skip: noScript }, async (t) => {
  const { directory, code } = await onTerminal(t, [
    [/Namespace .*: /, "shop\r"],
    // There is no kubeconfig, and that keeps nobody from going on.
    [/cannot be listed: .*kubeconfig[\s\S]*Whose place .*: /, "deployment/orders\r"],
    [/\[y\/N\] /, "y\r"],
  ]);
  assert.equal(code, 0);
  assert.deepEqual(resolved(directory), ["deployment/orders", "shop", "steal"]);
});

test("on a real terminal Ctrl-C and Ctrl-D end it", { skip: noScript }, async (t) => {
  const interrupted = await onTerminal(t, [[/Namespace .*: /, "\u0003"]]);
  assert.equal(interrupted.code, 130);
  const ended = await onTerminal(t, [[/Namespace .*: /, "\u0004"]]);
  assert.equal(ended.code, 2);
  for (const { directory } of [interrupted, ended])
    assert.equal(existsSync(join(directory, FILE)), false);
});

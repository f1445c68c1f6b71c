/** The built `inpod explain`, without a target and beside a sandbox's pod. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { NETWORK, POD_FILES } from "@inpod/sandbox";
import type { Explanation } from "../src/explain/explanation.ts";
import { CLI, Inventory, isRoot, Run, useSandbox } from "./exec-support.ts";

const { sandbox, folder } = await useSandbox();

mkdirSync(join(folder, ".inpod"));
const FILE = `{
  "target": "pod/nobody-asks",
  "feature": {
    "env": {"override": {"SECRET": "c4n4ry"}},
    "fs": {"local": ["^/mine/"]}
  }
}
`;
writeFileSync(join(folder, ".inpod/inpod.json"), FILE);
writeFileSync(join(folder, "here.txt"), "here");

const env = { PATH: process.env.PATH ?? "", HOME: folder, OWN: "c4n4ry", KUBECONFIG: "c4n4ry" };
const alone = (...words: string[]) =>
  spawnSync(process.execPath, [CLI, "explain", ...words], { cwd: folder, encoding: "utf8", env });

interface Document {
  readonly target: string | null;
  readonly explanations: readonly (Omit<Explanation, "answers"> & {
    readonly answers: readonly (Explanation["answers"][number] & {
      readonly key: string | null;
      readonly setBy: unknown;
    })[];
  })[];
}

async function besidePod(words: readonly string[]): Promise<Document> {
  const argv = ["-t", `process/${sandbox.pid}`, "-o", "json", ...words];
  const run = new Run(
    sandbox.inLaptop([process.execPath, CLI, "explain", ...argv], {
      ...{ cwd: folder, env, detached: true },
      stdio: ["ignore", "pipe", "pipe"],
    }),
  );
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(stdout + stderr, /c4n4ry/);
  return JSON.parse(Buffer.from(stdout, "latin1").toString("utf8")) as Document;
}

test("without a target the configuration is explained, and its target is not asked", () => {
  const { status, stdout, stderr } = alone(
    "/mine/x",
    "/app/x",
    "SECRET=c4n4ry",
    "OWN",
    "program:go",
  );
  assert.equal(status, 0, stderr);
  assert.equal(stderr, "");
  assert.match(stdout, /^\/mine\/x\n {2}read: this machine's\n {4}because feature\.fs\.local\[0\]/);
  assert.match(stdout, /key feature\.fs\.local\[0\] \(\.inpod\/inpod\.json:5\)/);
  assert.match(stdout, /\n\/app\/x\n {2}read: the pod's if it has one/);
  assert.match(
    stdout,
    /this machine's with \{"feature":\{"fs":\{"local":\["\^\/mine\/","\^\/app\/x\$"\]\}\}\}/,
  );
  assert.match(stdout, /depends on the target: whether the pod has it/);
  assert.match(stdout, /\nSECRET=\n {2}variable: the configuration's/);
  assert.match(stdout, /\nprogram:go\n {2}program: left alone/);
  assert.doesNotMatch(stdout, /c4n4ry/);
});

test("flags count as in exec, and are named as what has set the key", () => {
  const { stdout } = alone("--steal", "--fs-mode", "write", "/app/x", ":8080");
  assert.match(stdout, /write: the pod's\n.*\n {4}key feature\.fs\.mode \(flag\)/);
  assert.match(stdout, /listen: stolen.*\n.*\n {4}key feature\.network\.incoming\.mode \(flag\)/);
});

test("a debugger's port is known from the command that would be run", () => {
  const { stdout } = alone("--command", "node --inspect=9230 server.js", ":9230", ":8080");
  assert.match(stdout, /:9230\n {2}listen: this machine's.*\n {4}because a debugger's port/);
  assert.match(stdout, /:8080\n {2}listen: mirrored/);
});

test("what cannot be explained is a usage error that says what can", () => {
  const { status, stderr, stdout } = alone("10.0.0.256");
  assert.equal(status, 2);
  assert.match(stderr, /nothing can be explained about "10\.0\.0\.256"[\s\S]*:8080/);
  assert.equal(stdout, "");
  assert.equal(alone().status, 2);
});

test("with a target the pod is asked, and nothing is left there", async () => {
  const { greetings, httpPort, refusedPort } = NETWORK.services;
  const inventory = await Inventory.of(sandbox);
  const { target, explanations } = await besidePod([
    ...[POD_FILES.settings, POD_FILES.greeting, "/nowhere/x", `${folder}/here.txt`],
    ...[`greetings:${httpPort}`, `greetings:${refusedPort}`, "nobody.example"],
    ...[
      `${NETWORK.unreachable}:80`,
      `:${NETWORK.pod.httpPort}`,
      ":1",
      "PATH=",
      "OWN=",
      "KUBECONFIG=",
    ],
    ...(isRoot ? [POD_FILES.otherUsers] : []),
  ]);
  assert.equal(target, `process/${sandbox.pid}`);
  const said = (subject: string): string => {
    const found = explanations.find((each) => each.subject === subject);
    assert.ok(found, subject);
    const answers = found.answers.map(({ about, verdict }) => `${about} ${verdict}`).join(", ");
    return [answers, ...found.notes, ...found.here, ...found.pod, ...found.depends].join(" | ");
  };
  assert.match(
    said(POD_FILES.settings),
    /read remote.*write local.*the program gets the pod's.*a file of \d+ bytes, mode 0\d{3}, owner \d+:\d+.*may be read/,
  );
  assert.match(said(POD_FILES.greeting), /links lead to \/config\/\.\.2026/);
  assert.match(said("/nowhere/x"), /the program finds nothing \(ENOENT\).*nothing of that name/);
  assert.match(said(`${folder}/here.txt`), /read local.*a file of 4 bytes.*nothing of that name/);
  assert.match(
    said(`greetings:${httpPort}`),
    new RegExp(
      `name remote.*greetings\\.shop\\.svc\\.cluster\\.local: ${greetings} .*${greetings}:${httpPort} is connected to`,
    ),
  );
  assert.match(
    said(`greetings:${refusedPort}`),
    /cannot be connected to from the pod: ECONNREFUSED/,
  );
  assert.match(said("nobody.example"), /does not resolve: .*says NXDOMAIN/);
  assert.match(said(`${NETWORK.unreachable}:80`), /EHOSTUNREACH/);
  assert.match(said(`:${NETWORK.pod.httpPort}`), /listen take.*127\.0\.0\.1:3000 is connected to/);
  assert.match(said(":1"), /127\.0\.0\.1:1 cannot be connected to from the pod: ECONNREFUSED/);
  assert.match(said("PATH="), /variable local.*its main process has it/);
  assert.match(said("OWN="), /variable local \| it is set \| its main process does not have it/);
  assert.match(said("KUBECONFIG="), /variable hidden/);
  if (isRoot)
    assert.match(said(POD_FILES.otherUsers), /the program is refused it.*EACCES.*may not be read/);
  await inventory.assertAsBefore();
});

test("docs/explain.md shows what is printed", () => {
  const text = readFileSync(new URL("../../../docs/explain.md", import.meta.url), "utf8");
  const [, words = "", shown = ""] =
    /^ {4}\$ inpod explain (.*)\n((?: {4}.*\n)+)/m.exec(text) ?? [];
  const { stdout } = spawnSync(process.execPath, [CLI, "explain", ...words.split(" ")], {
    ...{ cwd: tmpdir(), encoding: "utf8", env },
  });
  const [printed] = stdout.split("\n\n");
  assert.equal(printed, shown.replace(/^ {4}/gm, "").trimEnd());
});

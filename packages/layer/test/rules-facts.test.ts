import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { gatherFacts, type MachineView } from "../src/rules/facts.ts";

/** A directory tree on this machine: names ending in "/" are directories, [name, target] links. */
function makeTree(t: TestContext, entries: readonly (string | readonly [string, string])[]) {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "inpod-facts-")));
  t.after(() => rmSync(root, { recursive: true }));
  for (const entry of entries) {
    const path = join(root, typeof entry === "string" ? entry : entry[0]);
    mkdirSync(typeof entry === "string" && entry.endsWith("/") ? path : dirname(path), {
      recursive: true,
    });
    if (typeof entry !== "string") symlinkSync(entry[1], path);
    else if (!entry.endsWith("/")) writeFileSync(path, "");
  }
  const view = (
    cwd: string,
    env: Record<string, string> = {},
    executable = "/usr/bin/true",
  ): MachineView => ({
    env,
    cwd: join(root, cwd),
    executable,
    exists: existsSync,
    readFile: (path) => (existsSync(path) ? readFileSync(path, "utf8") : undefined),
    realpath: (path) => (existsSync(path) ? realpathSync(path) : undefined),
  });
  return { root, view };
}

test("the project's root is the nearest directory that is a repository or a workspace", (t) => {
  const { root, view } = makeTree(t, [
    "repo/.git/",
    "repo/go/go.work",
    "repo/go/svc/",
    "repo/web/apps/shop/package.json",
    "repo/web/package.json",
    "repo/rust/Cargo.toml",
    "repo/rust/member/Cargo.toml",
    "none/here/",
  ]);
  writeFileSync(join(root, "repo/web/package.json"), '{"workspaces": ["apps/*"]}');
  writeFileSync(join(root, "repo/web/apps/shop/package.json"), '{"name": "workspaces"}');
  writeFileSync(join(root, "repo/rust/Cargo.toml"), '[workspace]\nmembers = ["member"]\n');
  writeFileSync(join(root, "repo/rust/member/Cargo.toml"), '[package]\nname = "workspace"\n');
  for (const [cwd, expected] of [
    ["repo", "repo"],
    ["repo/go/svc", "repo/go"],
    ["repo/web/apps/shop", "repo/web"],
    ["repo/rust/member", "repo/rust"],
  ] as const) {
    assert.equal(gatherFacts(view(cwd)).projectRoot, join(root, expected), cwd);
  }
  assert.equal(gatherFacts(view("none/here")).projectRoot, null);
});

test("a package.json that is no JSON is no workspace, and no error", (t) => {
  const { root, view } = makeTree(t, ["p/package.json"]);
  writeFileSync(join(root, "p/package.json"), '{"workspaces": [');
  assert.equal(gatherFacts(view("p")).projectRoot, null);
});

test("programs on PATH are followed through their links to where they are installed", (t) => {
  const { root, view } = makeTree(t, [
    "opt/go/bin/go",
    ["usr/bin/go", "../../opt/go/bin/go"],
    "root/.pyenv/shims/python3",
    "root/.pyenv/versions/3.12/bin/python3.12",
    ["venv/bin/python", "../../root/.pyenv/versions/3.12/bin/python3.12"],
    "p/",
  ]);
  const env = {
    PATH: ["usr/bin", "venv/bin", "root/.pyenv/shims"].map((d) => join(root, d)).join(":"),
  };
  const found = gatherFacts(view("p", env)).toolchains.map(({ path }) => path.slice(root.length));
  for (const expected of [
    "/opt/go",
    "/usr",
    "/venv",
    "/root/.pyenv/versions/3.12",
    "/root/.pyenv",
  ]) {
    assert.ok(found.includes(expected), `${expected} in ${found}`);
  }
});

test("the program's own installation counts, but never a whole directory below the root", (t) => {
  const { root, view } = makeTree(t, ["jdk/bin/java", "p/"]);
  const java = join(root, "jdk/bin/java");
  assert.deepEqual(
    gatherFacts(view("p", {}, java)).toolchains.map(({ path }) => path),
    [join(root, "jdk")],
  );
  assert.deepEqual(gatherFacts(view("p", {}, "/app/bin/server")).toolchains, []);
});

for (const [line, prefix] of [
  ["#!ROOT/venv/bin/python3 -s", "venv"],
  ["#! /usr/bin/env ruby", "rubies"],
  ["#!/usr/bin/env -S A=b ruby -w", "rubies"],
  ["#!/usr/bin/env missing", undefined],
  ["#!/usr/bin/env", undefined],
  ["#!", undefined],
  ["import os", undefined],
] as const) {
  test(`the interpreter of a script counts: ${line}`, (t) => {
    const { root, view } = makeTree(t, ["tools/run", "venv/bin/python3", "rubies/bin/ruby", "p/"]);
    const script = join(root, "tools/run");
    writeFileSync(script, `${line.replace("ROOT", root)}\nimport os\n`);
    const { toolchains } = gatherFacts(view("p", { PATH: join(root, "rubies/bin") }, script));
    assert.deepEqual(
      toolchains.filter(({ why }) => /interpreter/.test(why)).map(({ path }) => path),
      prefix === undefined ? [] : [join(root, prefix)],
    );
  });
}

test("variables name toolchains, lists of them, and files; nonsense in them claims nothing", (t) => {
  const { root, view } = makeTree(t, ["p/", "bin/"]);
  const facts = gatherFacts(
    view("p", {
      GOPATH: "/root/go:/work/go",
      CARGO_HOME: "/opt/cargo/",
      SSL_CERT_FILE: "/srv/ca.pem",
      GOROOT: "/",
      JAVA_HOME: "jdk",
      RUSTUP_HOME: "",
      PATH: `.:/:${root}/p/../bin::relative:${root}/none`,
      HOME: "/",
      XDG_RUNTIME_DIR: "/run/user/1000",
      TMPDIR: "/scratch",
    }),
  );
  assert.deepEqual(
    facts.toolchains.map(({ path }) => path),
    ["/root/go", "/work/go", "/opt/cargo", "/srv/ca.pem"],
  );
  assert.deepEqual(facts.pathDirectories, [join(root, "bin")]);
  assert.equal(facts.home, null);
  assert.equal(facts.runtimeDirectory, "/run/user/1000");
  assert.equal(facts.tempDirectory, "/scratch");
});

test("names leave as bytes, whatever their letters", (t) => {
  const { root, view } = makeTree(t, ["caf\u00e9/.git/"]);
  const facts = gatherFacts(view("caf\u00e9"));
  assert.equal(facts.cwd, Buffer.from(join(root, "caf\u00e9")).toString("latin1"));
  assert.equal(facts.projectRoot, facts.cwd);
});

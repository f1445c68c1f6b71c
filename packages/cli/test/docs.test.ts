/** What the documents tell people to type exists, and means what they say. */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseTarget } from "@inpod/targets/path";
import { parseArguments } from "../src/arguments.ts";
import { loadConfig } from "../src/config/load.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const documents = [
  ...["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"],
  ...readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
].map((name) => ({ name, text: readFileSync(join(root, name), "utf8") }));
const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  scripts: Record<string, string>;
};

/** Indented lines that call a program of ours, without their comments. */
const commands = documents.flatMap(({ name, text }) =>
  [...text.matchAll(/^ {4}(?:eval "\$\()?((?:bin\/)?inpod .*)$/gm)].map(([, line = ""]) => ({
    name,
    argv: line
      .replace(/ {2,}#.*$/, "")
      .replace(/( [|>] |\)").*$/, "")
      .trim()
      .split(" ")
      .slice(1),
  })),
);

test("every npm script that the documents name is there", () => {
  const named = documents.flatMap(({ text }) => [
    ...text.matchAll(/npm (?:run )?([a-z][a-z0-9:-]*)/g),
  ]);
  const missing = named
    .filter(
      ([whole, script = ""]) =>
        (whole.startsWith("npm run") || script === "test") && !(script in scripts),
    )
    .map(([whole]) => whole);
  assert.deepEqual(missing, []);
  assert.ok(named.length > 5);
});

test("every inpod command of the documents is understood", () => {
  assert.ok(commands.some(({ argv }) => argv[0] === "exec"));
  for (const { name, argv } of commands) {
    const parsed = parseArguments(argv);
    if (parsed.kind === "exec")
      assert.ok(parseTarget(parsed.flags.target ?? ""), `${name}: ${argv.join(" ")}`);
  }
});

test("every configuration of the documents is a valid one", (t) => {
  const blocks = documents.flatMap(({ text }) => [...text.matchAll(/```json\n([\s\S]*?)```/g)]);
  assert.ok(blocks.length > 0);
  for (const [, json = ""] of blocks) {
    const directory = mkdtempSync(join(tmpdir(), "inpod-docs-"));
    t.after(() => rmSync(directory, { recursive: true }));
    mkdirSync(join(directory, ".inpod"));
    writeFileSync(join(directory, ".inpod/inpod.json"), json);
    assert.ok(loadConfig({ flags: {}, env: {}, directory }).target);
  }
});

test("every path of the source that the maps name is there", () => {
  const PATH = /^[a-z][\w-]*\/|\.(ts|c|h)$/;
  const there = readdirSync(join(root, "packages"), { recursive: true }).map(String);
  const folders = readdirSync(root).filter((name) => /^[a-z]/.test(name));
  /** As in `docker/NAME`. */
  const isPlaceholder = (name: string): boolean => /\/[A-Z]+$/.test(name);
  const named = documents
    .filter(({ name }) => ["ARCHITECTURE.md", "docs/where-to-change.md"].includes(name))
    .flatMap(({ text }) => [...text.replace(/^```[\s\S]*?^```/gm, "").matchAll(/`([^`\s()]+)`/g)])
    .map(([, name = ""]) => name)
    .filter((name) => PATH.test(name) && !isPlaceholder(name));
  const isThere = (name: string): boolean => {
    const [first = ""] = name.split("/");
    if (folders.includes(first) && existsSync(join(root, name))) return true;
    const words = name.replace(/\/$/, "").split(/(\*|…\/)/);
    const pattern = words.map((word) =>
      word === "*" ? "[^/]*" : word === "…/" ? "(?:.+/)?" : word.replaceAll(".", "\\."),
    );
    const wanted = new RegExp(`(^|/)${pattern.join("")}$`);
    return there.some((path) => wanted.test(path));
  };
  assert.ok(named.length > 100);
  assert.deepEqual(
    named.filter((name) => !isThere(name)),
    [],
  );
});

test("every file that the documents link to is there", () => {
  for (const { name, text } of documents) {
    for (const [, link = ""] of text.matchAll(/\]\(([^)#:]+)\)/g)) {
      assert.doesNotThrow(() => readFileSync(join(root, name, "..", link)), `${name}: ${link}`);
    }
  }
});

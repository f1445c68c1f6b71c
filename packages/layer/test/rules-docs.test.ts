/** docs/files.md says what the rules do. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { compilePathRules, type PathFacts } from "../src/rules/path-rules.ts";
import { decidePath, type PathDecision } from "../src/rules/paths.ts";

const text = readFileSync(new URL("../../../docs/files.md", import.meta.url), "utf8");

const FACTS: PathFacts = {
  home: "/home/you",
  cwd: "/workspaces/orders",
  projectRoot: "/workspaces/orders",
  executable: "/usr/bin/node",
  pathDirectories: ["/usr/bin"],
  toolchains: [],
  tempDirectory: "/tmp",
  runtimeDirectory: null,
  volumeMounts: ["/data"],
};

const rulesOf = (mode: "read" | "write") =>
  compilePathRules(
    {
      ...{ mode, readWrite: [], readOnly: [], local: [], notFound: [] },
      ...{ fallback: true, dns: true, hostname: true },
    },
    FACTS,
  );

function inWords({ verdict, fallback }: PathDecision): string {
  if (verdict === "local") return "this machine's";
  if (verdict === "not-found") return "not there";
  return fallback ? "the pod's, else this machine's" : "the pod's";
}

const [, table = ""] = /<!-- examples: [^\n]*\n([\s\S]*?)<!-- end -->/.exec(text) ?? [];
const rows = [...table.matchAll(/^\| `(\/[^`]*)` *\| (.*) \|$/gm)].map(
  ([, path = "", cells = ""]) => ({
    path,
    cells: cells.split("|").map((cell) => cell.trim()),
  }),
);

test("the examples of docs/files.md are there", () => assert.ok(rows.length > 10));

for (const { path, cells } of rows) {
  test(`docs/files.md is right about ${path}`, () => {
    assert.deepEqual(
      [
        inWords(decidePath(rulesOf("read"), path, "read")),
        inWords(decidePath(rulesOf("read"), path, "write")),
        inWords(decidePath(rulesOf("write"), path, "write")),
      ],
      cells,
    );
  });
}

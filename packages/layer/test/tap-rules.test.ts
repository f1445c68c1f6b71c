/** The C matcher against its reference: the same rules, thousands of paths that are near them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PathOperation, Tap } from "@inpod/tap";
import { matches } from "../src/rules/match.ts";
import { compileMapping, mapPath } from "../src/rules/path-mapping.ts";
import { compilePathRules, type PathConfig, type PathFacts } from "../src/rules/path-rules.ts";
import { decidePath, type PathRule, type PathVerdict } from "../src/rules/paths.ts";
import { operationName, ruleAsked, toTapRule, toTapRules } from "../src/tap-rules.ts";

const tap = new Tap(() => {});
tap.native.unref(); // nothing is launched: its threads must not keep this process alive

const DEFAULTS: PathConfig = {
  mode: "read",
  readWrite: [],
  readOnly: [],
  local: [],
  notFound: [],
  fallback: true,
  dns: true,
  hostname: true,
};

const FACTS: PathFacts = {
  home: "/home/u",
  cwd: "/home/u/Work/p\u00c3\u00a4",
  projectRoot: "/home/u/Work/p\u00c3\u00a4",
  executable: "/usr/local/bin/node",
  pathDirectories: ["/usr/local/bin", "/usr/bin", "/opt/Tools/bin"],
  toolchains: [{ path: "/root/go", why: "a directory of the developer's GOPATH" }],
  tempDirectory: "/tmp",
  runtimeDirectory: "/run/user/1000",
  volumeMounts: ["/data", "/home/u/Work/vol"],
};

const OPERATIONS = [PathOperation.read, PathOperation.write, PathOperation.lookup] as const;

/** xorshift32: the same paths in every run, so that a failure can be seen again. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** What the rules speak of, whole and in parts. */
function wordsOf(rules: readonly PathRule[]): string[] {
  const texts = rules.flatMap(({ match }) =>
    "path" in match ? [match.path] : "text" in match ? [match.text] : [],
  );
  const parts = texts.flatMap((text) => text.split("/").filter((part) => part !== ""));
  return [...new Set([...texts, ...parts])];
}

const ODD = [
  "",
  "a",
  ".",
  "..so",
  ".so",
  ".so.1",
  "x.so.1.2",
  "x.so.",
  "\u00c3\u0084",
  "\u00ff",
  "A",
];

function* paths(rules: readonly PathRule[], count: number, seed: number): Generator<string> {
  const next = random(seed);
  const words = wordsOf(rules);
  const pick = (list: readonly string[]): string => list[next(list.length)] ?? "";
  for (let i = 0; i < count; i++) {
    let path = "";
    for (let parts = 1 + next(4); parts > 0; parts--) {
      const word = next(4) === 0 ? pick(ODD) : pick(words);
      path += (next(3) === 0 || word.startsWith("/") ? "" : "/") + word;
    }
    if (next(3) === 0) path = path.replace(/[a-z]/g, (c) => (next(2) ? c.toUpperCase() : c));
    if (next(4) === 0) path = path.slice(0, path.length - 1);
    // As both get it: absolute and normalised.
    const names = path.split("/").filter((name) => name !== "" && name !== "." && name !== "..");
    yield `/${names.join("/")}`;
  }
}

/** The first rule that matches, which the C matcher reports too. `masks`: what each rule is about. */
const firstRule = (
  rules: readonly PathRule[],
  masks: readonly number[],
  path: string,
  operation: PathOperation,
): number =>
  rules.findIndex((rule, at) => ((masks[at] ?? 0) & operation) !== 0 && matches(rule.match, path));

const inCOf = (verdict: PathVerdict) => (verdict === "nsswitch" ? "ask" : verdict);

const isAscii = (path: string): boolean => /^[\0-\x7f]*$/.test(path);

function compare(config: PathConfig, count: number, seed: number): Map<string, number> {
  const rules = compilePathRules(config, FACTS);
  const inC = toTapRules([], rules);
  const masks = inC.map(({ operations }) => operations);
  tap.setPathRules(inC);
  const seen = new Map<string, number>();
  for (const path of paths(rules, count, seed)) {
    for (const operation of OPERATIONS) {
      const name = operationName(operation);
      const decision = decidePath(rules, path, name);
      const { verdict } = decision;
      const found = tap.matchPath(path, operation);
      const where = `${name} ${JSON.stringify(path)}`;
      const first = firstRule(rules, masks, path, operation);
      if (found.verdict === "ask" || found.verdict === "remote") {
        // Remote is asked about, too, where there is no remote root.
        assert.deepEqual(decidePath(rules, path, name, found.rule), decision, where);
      }
      const isUnsure = found.verdict === "ask" && rules[found.rule]?.match.kind === "regex";
      if (isUnsure && !isAscii(path)) assert.ok(found.rule <= first, where);
      else {
        assert.equal(found.rule, first, where);
        assert.equal(found.verdict, inCOf(verdict), where);
      }
      const outcome = isUnsure ? "unsure" : verdict;
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
  }
  return seen;
}

for (const mode of ["read", "write", "localwithoverrides", "local"] as const) {
  test(`C decides as TypeScript does, by the default rules of mode ${mode}, for 3000 paths`, () => {
    const seen = compare({ ...DEFAULTS, mode }, 3000, 20_240_601 + mode.length);
    for (const verdict of ["local", "remote", "not-found"]) {
      assert.ok((seen.get(verdict) ?? 0) > 0, `no path was ${verdict}`);
    }
  });
}

test("C decides as TypeScript does by the user's lists, and asks only about letters that are not ASCII", () => {
  const seen = compare(
    {
      ...DEFAULTS,
      readWrite: ["^/srv/Data(/|$)", "\\.sock$", "^/(srv|data)/.*\\.db$"],
      readOnly: ["/static/", "^/Work/[^/]+/x"],
      local: ["^/etc/app[0-9]+/", "^/opt/x\u00e4$"],
      notFound: ["^/secret$", "./[a-z.]+\\.pem$"],
    },
    6000,
    7,
  );
  for (const outcome of ["unsure", "not-found", "remote", "local"]) {
    assert.ok((seen.get(outcome) ?? 0) > 0, outcome);
  }
});

test("letters are compared without case in ASCII only, in rules and in paths", () => {
  const rules = compilePathRules(DEFAULTS, {
    ...FACTS,
    cwd: "/",
    projectRoot: "/srv/P\u00c3\u00a4",
  });
  tap.setPathRules(rules.map(toTapRule));
  for (const [text, verdict] of [
    ["/SRV/p\u00e4/x.bin", "local"],
    ["/srv/P\u00c4/x.bin", "remote"],
  ] as const) {
    const path = Buffer.from(text, "utf8").toString("latin1");
    assert.equal(decidePath(rules, path, "read").verdict, verdict);
    const found = tap.matchPath(path, PathOperation.read).verdict;
    assert.equal(found, verdict, text);
  }
});

/** Each path is about a rule that stands before, at and behind one that only TypeScript can tell. */
const FROM_THE_RULE_OF_C: readonly (readonly [
  path: string,
  operation: (typeof OPERATIONS)[number],
  why: string,
])[] = [
  ["/secret", PathOperation.read, "feature.fs.not_found[0] (^/secret$)"],
  ["/a/key.pem", PathOperation.read, "feature.fs.not_found[1] (.+\\.pem$)"],
  ["/srv/data/key.pem", PathOperation.write, "feature.fs.not_found[1] (.+\\.pem$)"],
  ["/srv/data/x", PathOperation.write, "feature.fs.read_write[0] (^/srv/Data(/|$))"],
  ["/a/static/x", PathOperation.lookup, "feature.fs.read_only[0] (/static/)"],
  [
    "/a/static/x",
    PathOperation.write,
    "feature.fs.read_only[0] (/static/): only reading is the pod's",
  ],
  ["/etc/app7/x", PathOperation.read, "feature.fs.local[0] (^/etc/app[0-9]+/)"],
  ["/etc/resolv.conf", PathOperation.read, "names are resolved as in the pod"],
  ["/var/run/secrets/token", PathOperation.read, "the pod's own secrets"],
  ["/data/x", PathOperation.read, "a volume of the pod (/data)"],
  ["/usr/local/bin/node", PathOperation.lookup, "the program itself"],
];

test("from the rule that C found the decision is the same as from the whole list", () => {
  const rules = compilePathRules(
    {
      ...DEFAULTS,
      readWrite: ["^/srv/Data(/|$)"],
      readOnly: ["/static/"],
      local: ["^/etc/app[0-9]+/"],
      notFound: ["^/secret$", ".+\\.pem$"],
    },
    FACTS,
  );
  tap.setPathRules(rules.map(toTapRule));
  const froms = new Set<number>();
  for (const [path, operation, why] of FROM_THE_RULE_OF_C) {
    const { rule } = tap.matchPath(path, operation);
    const whole = decidePath(rules, path, operationName(operation));
    assert.equal(whole.why, why, path);
    assert.deepEqual(decidePath(rules, path, operationName(operation), rule), whole, path);
    const behind = decidePath(rules, path, operationName(operation), rules.length);
    assert.equal(behind.why, "no rule is about it", "rules before the given one are looked at");
    froms.add(rule);
  }
  assert.ok(froms.size > 1, "all of them stop at one rule");
});

test("only paths that are mapped are asked for, and C's other rules stand behind", () => {
  const mapping = compileMapping([
    ["^/home/u/(?<project>[^/]+)/conf", "/config/$project"],
    ["^/opt/x\u00e4", "/app"],
  ]);
  const rules = compilePathRules({ ...DEFAULTS, local: ["^/config/p"] }, FACTS);
  tap.setPathRules(toTapRules(mapping, rules));
  const seen = { mapped: 0, asked: 0, decided: 0 };
  const near = [
    ...paths(rules, 1000, 3),
    "/home/u/q/conf.d/x",
    "/home/u/p/conf",
    "/opt/x\u00c3\u00a4",
  ];
  for (const path of near) {
    for (const operation of OPERATIONS) {
      const name = operationName(operation);
      const mapped = mapPath(mapping, path);
      const found = tap.matchPath(path, operation);
      const decision = decidePath(rules, mapped.path, name);
      if (mapped.why !== null) {
        assert.equal(found.verdict, "ask", path);
        seen.mapped += 1;
      }
      if (found.verdict === "ask" || found.verdict === "remote") {
        const from = ruleAsked(mapping, found.rule);
        assert.deepEqual(decidePath(rules, mapped.path, name, from), decision, path);
        seen.asked += 1;
      } else {
        assert.equal(found.verdict, inCOf(decision.verdict), path);
        seen.decided += 1;
      }
    }
  }
  assert.ok(
    seen.mapped > 5 && seen.asked > seen.mapped && seen.decided > 1000,
    JSON.stringify(seen),
  );
});

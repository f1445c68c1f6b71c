/** Templates in configuration files: what they give, what they cannot do, and what is told of a wrong one. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { parseConfig } from "../src/config/syntax.ts";
import { findTemplates } from "../src/config/template-syntax.ts";
import { render } from "../src/config/template-values.ts";
import { directoryWith, load, problems } from "./config-support.ts";

const JSON_FILE = ".inpod/inpod.json";

/** The target of a file with this template in quotes. */
const target = (t: TestContext, template: string, env: NodeJS.ProcessEnv = {}, key?: string) =>
  load(t, { [JSON_FILE]: `{"target": "pod/${template}"}` }, { env, flags: key ? { key } : {} })
    .target;

test("a variable's value stands in the template's place, or the default", (t) => {
  const env = { NAME: "orders" };
  assert.equal(target(t, `{{ get_env(name="NAME") }}`, env), "pod/orders");
  assert.equal(target(t, `{{get_env(name='NAME')}}`, env), "pod/orders");
  assert.equal(target(t, `{{ get_env(name=\`NAME\`) }}-x`, env), "pod/orders-x");
  assert.equal(target(t, `{{ get_env(name="NONE", default="b") }}`, env), "pod/b");
  assert.equal(target(t, `{{ get_env(default="", name="NONE") }}a`, env), "pod/a");
});

test("quotes may be written so that an editor still sees JSON", (t) => {
  assert.equal(target(t, `{{ get_env(name=\\"NAME\\") }}`, { NAME: "a" }), "pod/a");
});

test("filters change a value, and default is for one that is not there", (t) => {
  const env = { NAME: " Feature/ÄÖ 1 " };
  const filtered = (filters: string) => target(t, `{{ get_env(name="NAME") | ${filters} }}`, env);
  assert.equal(filtered("slugify"), "pod/feature-ao-1");
  assert.equal(filtered("trim | lower"), "pod/feature/äö 1");
  assert.equal(filtered(`trim | upper | replace(from=" ", to="$&")`), "pod/FEATURE/ÄÖ$&1");
  assert.equal(target(t, `{{ git_branch | default(value="none") }}`), "pod/none");
  assert.equal(target(t, `{{ get_env(name="NONE") | lower | default(value="none") }}`), "pod/none");
});

test("text with braces in it is written raw, a comment is nothing", (t) => {
  assert.equal(target(t, "{% raw %}{{ .Name }}{% endraw %}{# {{ nothing }} #}"), "pod/{{ .Name }}");
  assert.equal(target(t, "{{ '{{' }}"), "pod/{{");
});

test("the key is the session's: said, written, or made up, and the same everywhere", (t) => {
  const file = (key: string) => ({
    [JSON_FILE]: `{${key} "target": "pod/{{ key }}", "agent": {"labels": {"key": "{{ key }}"}}}`,
  });
  const keys = (config: ReturnType<typeof load>) => [
    config.key,
    config.target,
    config.agent.labels.key,
  ];
  assert.deepEqual(keys(load(t, file(""))), ["made-up", "pod/made-up", "made-up"]);
  assert.deepEqual(keys(load(t, file(""), { flags: { key: "a" } })), ["a", "pod/a", "a"]);
  assert.deepEqual(keys(load(t, file('"key": "w",'))), ["w", "pod/w", "w"]);
  const made = file(`"key": "u-{{ get_env(name="USER") | lower }}",`);
  assert.deepEqual(keys(load(t, made, { env: { USER: "Ada" } })), ["u-ada", "pod/u-ada", "u-ada"]);
  assert.match(
    problems(() => load(t, file('"key": "x{{ key }}",'))),
    /inpod\.json:1:11: the key cannot be made of itself/,
  );
});

const repository = (t: TestContext, files: Record<string, string>, within = ".") => {
  const directory = directoryWith(t, {
    [`${within}/${JSON_FILE}`]: '{"target": "pod/{{ git_branch }}"}',
    ...files,
  });
  return join(directory, within);
};
const branchTarget = (t: TestContext, directory: string) => load(t, {}, { directory }).target;

test("the branch is that of the repository around the working directory", (t) => {
  const files = { ".git/HEAD": "ref: refs/heads/feature/x\n" };
  assert.equal(branchTarget(t, repository(t, files)), "pod/feature/x");
  assert.equal(branchTarget(t, repository(t, files, "deep/below/it")), "pod/feature/x");
});

test("a worktree has a branch of its own, named by a path that is relative or absolute", (t) => {
  const files = {
    "main/.git/HEAD": "ref: refs/heads/main\n",
    "main/.git/worktrees/w/HEAD": "ref: refs/heads/side\n",
    "w/.git": "gitdir: ../main/.git/worktrees/w\n",
  };
  const relative = repository(t, files, "w");
  assert.equal(branchTarget(t, relative), "pod/side");
  writeFileSync(join(relative, ".git"), `gitdir: ${join(relative, "../main/.git/worktrees/w")}\n`);
  assert.equal(branchTarget(t, relative), "pod/side");
});

test("without a branch a template of it is refused, and says so", (t) => {
  const commit = repository(t, { ".git/HEAD": `${"a".repeat(40)}\n` });
  assert.match(
    problems(() => branchTarget(t, commit)),
    /inpod\.json:1:17: no git branch is checked out here/,
  );
  const elsewhere = repository(t, {});
  mkdirSync(join(elsewhere, ".git"));
  // An empty .git is no repository: git looks further up as well.
  const said = problems(() => branchTarget(t, elsewhere));
  assert.match(said, /inpod\.json:1:17: no git (branch|repository)/);
});

/** Values that would break out of their string if they were put into the file's text. */
const HOSTILE = [
  `", "agent": {"privileged": true}, "x": "`,
  `' }\nagent: { privileged: true }\n#`,
  `"\nagent.privileged = true\n`,
  "\\",
  "\\u0022",
  "\u0000\u2028",
  "# no comment",
  "// nor this",
  "{{ key }}",
  "*alias",
  "null",
  "12",
];

const LANGUAGES = [
  [".json", (template: string) => `{"feature": {"env": {"override": {"A": "<${template}>"}}}}`],
  [".yaml", (template: string) => `feature: {env: {override: {A: "<${template}>"}}}`],
  [".yaml", (template: string) => `feature:\n  env:\n    override:\n      A: '<${template}>'\n`],
  [".yaml", (template: string) => `feature:\n  env:\n    override:\n      A: <${template}>\n`],
  [
    ".yaml",
    (template: string) => `feature:\n  env:\n    override:\n      A: |-\n        <${template}>\n`,
  ],
  [".toml", (template: string) => `[feature.env.override]\nA = "<${template}>"\n`],
  [".toml", (template: string) => `feature.env.override.A = '<${template}>'\n`],
  [".toml", (template: string) => `[feature.env.override]\nA = """<${template}>"""\n`],
] as const;

const overrideOf = (t: TestContext, ending: string, text: string, env: NodeJS.ProcessEnv) => {
  const config = load(t, { [`.inpod/inpod${ending}`]: text }, { env });
  assert.ok(config.env !== false);
  assert.equal(config.agent.privileged, false);
  return config.env.override;
};

test("a value never ends the string that it stands in, in any language", (t) => {
  for (const [ending, write] of LANGUAGES)
    for (const value of HOSTILE)
      assert.deepEqual(
        overrideOf(t, ending, write('{{ get_env(name="V") }}'), { V: value }),
        { A: `<${value}>` },
        `${ending} ${JSON.stringify(value)}`,
      );
});

test("a template is a number or a flag where it stands outside of quotes", (t) => {
  const env = { TTL: "7", FLAG: "false", PORTS: "[80, 81]" };
  const ttl = `{{ get_env(name="TTL") }}`;
  const flag = `{{ get_env(name="FLAG") }}`;
  const ports = `{{ get_env(name="PORTS") }}`;
  for (const [ending, text] of [
    [
      ".json",
      `{"agent": {"ttl": ${ttl}, /* "${ttl} */ "json_log":${flag}}, "feature": {"network": {"incoming": {"ports": ${ports}}}}}`,
    ],
    [
      ".yaml",
      `agent:\n  ttl: ${ttl}\n  json_log: ${flag}\nfeature:\n  network:\n    incoming: {ports: ${ports}}\n`,
    ],
    [
      ".toml",
      `feature.network.incoming.ports = ${ports}\n[agent] # don't "\nttl = ${ttl}\njson_log=${flag}\n`,
    ],
  ] as const) {
    const { agent, layer } = load(t, { [`.inpod/inpod${ending}`]: text }, { env });
    assert.deepEqual([agent.ttlS, agent.jsonLog, layer.incoming.ports], [7, false, [80, 81]]);
  }
  assert.deepEqual(
    overrideOf(t, ".yaml", 'feature: {env: {override: {A: {{ get_env(name="V") }} }}}', {
      V: "a b",
    }),
    { A: "a b" },
  );
});

test("outside of quotes a template that gives text is an error, without the text", (t) => {
  for (const [ending, text, place] of [
    [".json", '{"agent":\n {"ttl": {{ get_env(name="V") }}}}', "2:10"],
    [".toml", 'agent.ttl = {{ get_env(name="V") }}', "1:13"],
  ] as const) {
    const said = problems(() =>
      load(t, { [`.inpod/inpod${ending}`]: text }, { env: { V: "hunter2" } }),
    );
    assert.ok(
      said.includes(`inpod${ending}:${place}: outside of quotes a template must give`),
      said,
    );
    assert.doesNotMatch(said, /hunter2/);
  }
});

test("keys are templates too", (t) => {
  const env = { V: 'N"AME' };
  const name = `{{ get_env(name="V") }}`;
  for (const [ending, text] of [
    [".json", `{"feature": {"env": {"override": {"${name}": "1"}}}}`],
    [".yaml", `feature:\n  env:\n    override:\n      ${name}: "1"\n`],
    [".toml", `[feature.env.override]\n${name} = "1"\n`],
  ] as const)
    assert.deepEqual(overrideOf(t, ending, text, env), { 'N"AME': "1" });
});

test("what stands in a comment is nobody's template", (t) => {
  for (const [ending, text] of [
    [".json", '// {{ nope }} {% x\n{ /* {{ nope() */ "target": "pod/a" }'],
    [".yaml", "# {{ nope }}\ntarget: pod/a # {{ nope( \n"],
    [".toml", '# {{ nope }}\ntarget = "pod/a" # {{ nope }}\n'],
  ] as const)
    assert.equal(load(t, { [`.inpod/inpod${ending}`]: text }).target, "pod/a");
});

const WRONG: readonly (readonly [template: string, said: RegExp])[] = [
  [
    "{{ kye }}",
    /unknown variable "kye" in a template, did you mean key\? \(known: \{\{ key \}\}, \{\{ git_branch \}\}, \{\{ get_env\(name="…", default="…"\) \}\}; text with \{\{/,
  ],
  ["{{ get_evn(name='A') }}", /unknown function "get_evn" in a template, did you mean get_env\?/],
  ["{{ constructor }}", /unknown variable "constructor"/],
  ["{{ now() }}", /unknown function "now" in a template \(known/],
  ["{{ get_env }}", /get_env is a function/],
  ["{{ key() }}", /key is a variable/],
  ["{{ get_env(name='NONE') }}", /variable NONE is not set, and the template has no default/],
  ["{{ get_env(nam='A') }}", /get_env\(…\) needs name="…"/],
  ["{{ get_env(name='A', defualt='b') }}", /takes no "defualt", did you mean default\?/],
  ["{{ get_env('A') }}", /takes arguments by their names/],
  ["{{ get_env(name=A) }}", /get_env\(name=…\) without a value in quotes/],
  ["{{ get_env(name='A' }}", /get_env\(…\) without its \)/],
  [
    "{{ key | lowr }}",
    /unknown filter "lowr" in a template, did you mean lower\? \(known: lower, /,
  ],
  ["{{ key | replace(from='a') }}", /replace\(…\) needs to="…"/],
  ["{{ key | }}", /a filter is missing/],
  ["{{ }}", /a variable or function is missing/],
  ["{{ key", /does not end in \}\}/],
  ["{{ key }", /does not end in \}\}/],
  ["{% if key %}", /statements .* are not known/],
];
for (const [template, said] of WRONG)
  test(`${template} is refused with its place`, (t) => {
    for (const [ending, text] of [
      [".json", `{\n  "target": "pod/${template}"\n}`],
      [".yaml", `a: 1\ntarget: "pod/${template}"\n`],
    ] as const) {
      const text_ = problems(() => load(t, { [`.inpod/inpod${ending}`]: text }));
      assert.match(text_, said);
      assert.match(text_, ending === ".json" ? /inpod\.json:2:18: / : /inpod\.yaml:2:14: /);
    }
  });

test("places behind a template are those of the file", (t) => {
  const long = `{{ get_env(name="A", default="b") }}`;
  for (const [ending, text, place] of [
    [".json", `{"target": "pod/${long}" "b": 1}`, "1:55"],
    [".json", `{"target": "pod/${long}",\n "b": tru}`, "2:7"],
    [".yaml", `target: "${long}"\ntarget: 1\n`, "2:1"],
    [".toml", `target = "${long}" x\n`, "1:49"],
    [".json", `{"target": "pod/{{ key\n }}", "b": tru}`, "2:12"],
  ] as const)
    assert.match(
      problems(() => load(t, { [`.inpod/inpod${ending}`]: text })),
      new RegExp(`inpod\\${ending}:${place}: `),
    );
});

/** mulberry32: the same texts in every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
const PIECES =
  '{{|}}|{%|%}|{#|#}|raw|endraw|key|git_branch|get_env|(|)|name=|default=|,|"|\'|`|\\|\\"|\n|#|//|/*|*/|:|- |[|]|{|}| |A|=|a.b|0|-1|true|lower|$&|__proto__|é|\u0000|"""|\'\'\''
    .split("|")
    .concat("|");

test("no text at all makes the reader throw, hang or lose its place", () => {
  const next = random(42);
  const facts = {
    env: { A: '"}{{ key }}' },
    key: () => "k",
    gitBranch: () => ({ kind: "none", why: "none" }) as const,
  };
  for (let round = 0; round < 6_000; round++) {
    const length = Math.floor(next() * 24);
    const text = Array.from(
      { length },
      () => PIECES[Math.floor(next() * PIECES.length)] ?? "",
    ).join("");
    let end = 0;
    for (const template of findTemplates(text)) {
      assert.ok(template.start >= end && template.end > template.start, text);
      end = template.end;
      const { kind } = render(template.expression, facts);
      assert.match(kind, /^(value|none|wrong)$/);
    }
    assert.ok(end <= text.length);
    const ending = [".json", ".yaml", ".toml"][round % 3] ?? "";
    const parsed = parseConfig(`f${ending}`, text);
    const said =
      parsed.kind === "errors" ? parsed.errors : parsed.fill(parsed.tree, facts).problems;
    const lines = text.split("\n");
    for (const error of said) {
      const [, line = "", column = ""] = /^f\.\w+:(\d+):(\d+): ./s.exec(error) ?? [];
      assert.ok(Number(line) >= 1 && Number(line) <= lines.length, `${error} of ${text}`);
      assert.ok(
        Number(column) >= 1 && Number(column) <= (lines[Number(line) - 1]?.length ?? 0) + 1,
        `${error} of ${JSON.stringify(text)}`,
      );
    }
  }
});

test("a file of nothing but openings takes no longer than its length allows", () => {
  for (const opening of ["{{", "{%", "{#", "{% raw %}", "{{ key('", "{{ '"])
    assert.ok(findTemplates(opening.repeat(100_000 / opening.length)).length <= 100_000);
});

test("whatever a variable contains arrives unchanged, in any language", (t) => {
  const next = random(7);
  for (let round = 0; round < 300; round++) {
    const value = Array.from({ length: 1 + Math.floor(next() * 12) }, () =>
      next() < 0.5
        ? (PIECES[Math.floor(next() * PIECES.length)] ?? "")
        : String.fromCodePoint(Math.floor(next() * 0x250)),
    ).join("");
    const [ending, write] = LANGUAGES[round % LANGUAGES.length] ?? LANGUAGES[0];
    assert.deepEqual(
      overrideOf(t, ending, write('{{ get_env(name="V") }}'), { V: value }),
      { A: `<${value}>` },
      JSON.stringify(value),
    );
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEnvFile } from "../src/env-file.ts";
import { applyEnvironment, chooseEnvironment, type EnvironmentConfig } from "../src/environment.ts";

const CONFIG: EnvironmentConfig = { isEnabled: true, mapping: [], override: [], unset: [] };

function choose(config: Partial<EnvironmentConfig>, target: Record<string, string>) {
  const chosen = chooseEnvironment({ ...CONFIG, ...config }, Object.entries(target));
  return { ...chosen, set: Object.fromEntries(chosen.set) };
}

test("the pod's variables come, Kubernetes' and its proxies among them", () => {
  const target = {
    DATABASE_URL: "postgres://x",
    KUBERNETES_SERVICE_HOST: "10.96.0.1",
    KUBERNETES_SERVICE_PORT: "443",
    HOSTNAME: "orders-0",
    https_proxy: "http://p",
    NO_PROXY: "*",
    EMPTY: "",
    USERNAME: "u",
    lang: "x",
  };
  const { set, skipped, notices, unset } = choose({}, target);
  assert.deepEqual(set, target);
  assert.deepEqual([skipped, notices, unset], [[], [], []]);
});

for (const name of [
  ...["PATH", "HOME", "PWD", "GOPATH", "JAVA_HOME", "PYTHONPATH", "RUST_LOG", "_JAVA_OPTIONS"],
  ...["BUNDLER_ORIG_PATH", "BUNDLE_PATH", "DOTNET_STARTUP_HOOKS", "CLASSPATH", "CATALINA_HOME"],
  ...["LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_X", "NODE_OPTIONS", "NODE_PATH", "PYTHONHOME"],
  ...["VIRTUAL_ENV", "GOROOT", "GOFLAGS", "TMPDIR", "XDG_RUNTIME_DIR", "SHELL", "USER", "LOGNAME"],
  ...["TERM", "LANG", "SSH_AUTH_SOCK", "DISPLAY"],
]) {
  test(`${name} stays the developer's, unless feature.env.include names it`, () => {
    const kept = choose({}, { [name]: "secret", A: "1" });
    assert.deepEqual(kept.set, { A: "1" });
    assert.deepEqual(kept.skipped, [
      { name, why: "excluded by default", key: "feature.env.include" },
    ]);
    assert.deepEqual(choose({ include: ["*"] }, { [name]: "secret" }).set, {});
    assert.deepEqual(choose({ include: ["*", name] }, { [name]: "x", A: "1" }).set, {
      [name]: "x",
      A: "1",
    });
  });
}

for (const [pattern, name, expected] of [
  ["DB_*", "DB_", true],
  ["DB_*", "XDB_A", false],
  ["*_URL", "A_URL", true],
  ["A?C", "ABC", true],
  ["A?C", "AC", false],
  ["a*", "A", false],
  ["*A*B*", "xAyBz", true],
  ["*A*B", "ABAB", true],
  ["A.C", "ABC", false],
  ["[A]", "A", false],
  [" A ", "A", true],
  ["*a*a*a*a*a*a*a*a*b", "a".repeat(1000), false],
] as const) {
  test(`the wildcard ${JSON.stringify(pattern)} ${expected ? "names" : "does not name"} ${name.slice(0, 10)}`, () => {
    assert.equal(name in choose({ include: [pattern] }, { [name]: "1" }).set, expected);
    assert.equal(name in choose({ exclude: [pattern] }, { [name]: "1" }).set, !expected);
  });
}

test("env_file goes over the pod's, mapping over that, override over that, and unset is last", () => {
  const { set, unset } = choose(
    {
      envFile: "B=file\nC=file\nD=file\nE=file\n",
      mapping: [
        ["^[CDE]$", "mapped"],
        ["C", "later"],
      ],
      override: [
        ["D", "override"],
        ["E", "override"],
        ["PATH", "/x"],
      ],
      unset: ["E", "AWS_PROFILE"],
    },
    { A: "pod", B: "pod", C: "pod", D: "pod", E: "pod", PATH: "/pod" },
  );
  assert.deepEqual(set, { A: "pod", B: "file", C: "mapped", D: "override", PATH: "/x" });
  assert.deepEqual(unset, ["E", "AWS_PROFILE"]);
});

test("mapping looks for its expression anywhere in the name, with case", () => {
  const { set } = choose({ mapping: [["_TIME.+", "9"]] }, { A_TIMEOUT: "1", a_timeout: "1" });
  assert.deepEqual(set, { A_TIMEOUT: "9", a_timeout: "1" });
});

test("the result lies over the developer's environment, where unset is without case", () => {
  const own = { PATH: "/bin", Aws_Profile: "x", AWS_PROFILE: "y", A: "own", GONE: undefined };
  const chosen = chooseEnvironment({ ...CONFIG, unset: ["aws_profile"] }, [
    ["A", "pod"],
    ["AWS_Profile", "pod"],
  ]);
  assert.deepEqual(applyEnvironment(chosen, own), { PATH: "/bin", A: "pod" });
  assert.equal(own.A, "own");
});

test("with feature.env off nothing of the pod's comes, what the user sets does", () => {
  const { set, skipped } = choose({ isEnabled: false, override: [["B", "2"]] }, { A: "1" });
  assert.deepEqual(set, { B: "2" });
  assert.deepEqual(skipped, [{ name: "A", why: "feature.env is off", key: "feature.env" }]);
});

test("options of the pod that load code are reported, not applied, and not when the user gives them", () => {
  const target = { NODE_OPTIONS: "--require /app/otel.js", JAVA_TOOL_OPTIONS: "-javaagent:/x" };
  const { notices } = choose({}, target);
  assert.equal(notices.length, 2);
  assert.match(notices.join(), /the pod's NODE_OPTIONS was not applied.*JAVA_TOOL_OPTIONS/);
  assert.deepEqual(choose({ override: [["NODE_OPTIONS", ""]] }, target).notices.length, 1);
  assert.deepEqual(choose({ include: ["NODE_OPTIONS"] }, { NODE_OPTIONS: "x" }).notices, []);
});

test("no value is ever in what is told", () => {
  const config: Partial<EnvironmentConfig> = {
    exclude: ["B"],
    unset: ["C"],
    envFile: "D=s3cret",
    mapping: [["D", "s3cret"]],
  };
  const target = { NODE_OPTIONS: "s3cret", PATH: "s3cret", B: "s3cret", C: "s3cret" };
  const told = choose(config, target);
  assert.doesNotMatch(JSON.stringify([told.skipped, told.notices, told.unset]), /s3cret/);
  for (const wrong of [
    { envFile: "s3cret" },
    { envFile: 'A="s3cret' },
    { override: [["A", "s3cret\0"]] },
    { mapping: [["A", "s3cret\0"]] },
    { mapping: [["(", "s3cret"]] },
  ]) {
    assert.throws(
      () => choose(wrong as Partial<EnvironmentConfig>, {}),
      (error: Error) => error.name === "ConfigValueError" && !error.message.includes("s3cret"),
    );
  }
});

test("a hostile environment is bounded: broken names and doubles do not come", () => {
  const { set } = chooseEnvironment(CONFIG, [
    ["A", "first"],
    ["A", "second"],
    ["", "x"],
    ["B=C", "x"],
    ["N".repeat(1025), "x"],
    ["Z", "a\0b"],
    ["\u00ff", "\u00fe"],
  ]);
  assert.deepEqual(
    [...set],
    [
      ["A", "first"],
      ["\u00ff", "\u00fe"],
    ],
  );
  const many = Array.from({ length: 20_000 }, (_, n) => [`V${n}`, ""] as const);
  assert.equal(chooseEnvironment(CONFIG, many).set.size, 16_384);
});

test("wrong settings are refused with their key", () => {
  assert.throws(
    () => choose({ include: [], exclude: [] }, {}),
    /^ConfigValueError: feature\.env: /,
  );
  assert.throws(() => choose({ unset: ["A", ""] }, {}), /feature\.env\.unset\[1\]/);
  assert.throws(() => choose({ override: [["A=B", ""]] }, {}), /feature\.env\.override\.A=B/);
  assert.throws(
    () => choose({ mapping: [["(a+)+", ""]] }, {}),
    /feature\.env\.mapping.*exponential/,
  );
});

test("an env_file is read as written: quotes, comments, export, and no interpolation", () => {
  assert.deepEqual(
    parseEnvFile(
      [
        "\u00ef\u00bb\u00bfA=1",
        "",
        "# B=2",
        "export C = three words  # comment",
        "D='$A # \\n'",
        'E="a\\nb \\"q\\" \\$A \\\\ C:\\dir" # comment',
        "F=",
        "G=#",
        "H=a#b",
        "I=a=b\r",
        "J=caf\u00c3\u00a9",
        "A=again",
        "K='two",
        "  lines' # comment",
        'L=`it\'s "it" \\',
        "`",
        'M="a \\"',
        '# \\n"\r',
      ].join("\n"),
    ),
    [
      ["A", "1"],
      ["C", "three words"],
      ["D", "$A # \\n"],
      ["E", 'a\nb "q" $A \\ C:\\dir'],
      ["F", ""],
      ["G", ""],
      ["H", "a#b"],
      ["I", "a=b"],
      ["J", "caf\u00c3\u00a9"],
      ["A", "again"],
      ["K", "two\n  lines"],
      ["L", 'it\'s "it" \\\n'],
      ["M", 'a "\n# \n'],
    ],
  );
});

for (const line of [
  "A",
  "=1",
  "1A=1",
  "A B=1",
  "A='x",
  "A='x' y",
  'A="x\\"',
  "A=`x",
  "A='x'#y",
  "A=\0",
]) {
  test(`an env_file's line ${JSON.stringify(line)} is refused by its number`, () => {
    assert.throws(
      () => parseEnvFile(`X=1\n${line}\n`),
      /^ConfigValueError: feature\.env\.env_file: line 2: /,
    );
  });
}

test("an env_file without end is refused", () => {
  assert.throws(() => parseEnvFile("#".repeat(1024 * 1024 + 1)), /longer than/);
  assert.throws(() => parseEnvFile("A=1\n".repeat(4097)), /line 4097: more than 4096/);
});

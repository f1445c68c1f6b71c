/** What inpod-up.yaml says, and what is run for it. Nothing is started. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { UserError } from "@inpod/protocol";
import { parseArguments } from "../src/arguments.ts";
import { loadConfig } from "../src/config/load.ts";
import { Lines, linePrefix } from "../src/up/lines.ts";
import { checkFolders, plan } from "../src/up/plan.ts";
import { readUp, type Where } from "../src/up/read.ts";
import { MODES, service } from "../src/up/schema.ts";

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "inpod-up-"));
});
after(() => rmSync(folder, { recursive: true }));

const SAID = {
  ...{ context: undefined, namespace: undefined, kubeconfig: undefined, mode: undefined },
  ...{ hasSaidYes: false, isVerbose: false },
};
const read = (yaml: string, more: Partial<Where> = {}) => {
  writeFileSync(join(folder, "inpod-up.yaml"), yaml);
  return readUp({ directory: folder, env: {}, path: undefined, key: "ann", ...more });
};
const planned = (yaml: string, wanted: string[] = [], said = {}, more: Partial<Where> = {}) =>
  plan(read(yaml, more), wanted, { ...SAID, ...said }, folder, parseArguments);
const refused = (
  yaml: string,
  ...said: Parameters<typeof planned> extends [string, ...infer Rest] ? Rest : never
): string[] => {
  try {
    planned(yaml, ...said);
  } catch (error) {
    if (error instanceof UserError)
      return error.message.split("\n").map((line) => line.replace(/^ {2}- /, ""));
    throw error;
  }
  return assert.fail("it was accepted");
};
const words = (yaml: string, ...said: unknown[]): string[] =>
  planned(yaml, ...(said as [])).map((part) => part.words.join(" "));

test("a mirrord-up.yaml means what it means to mirrord", () => {
  const parts = planned(`
common:
  accept_invalid_certificates: true
  operator: true
  telemetry: false
  context: kind
services:
  order-service:
    target: { namespace: shop, path: deployment/order-service }
    mode: split
    run: { command: ["npm", "run", "dev"] }
  stage:
    context: other
    default_mode: replace
    http_filter: { header_filter: "x: y" }
    env: { override: { ID: "{{ key }}" } }
    ignore_ports: [9090]
    run: { type: exec, command: [node, app.js] }
  copies: { target: pod/x, mode: mirror, run: { command: [node] } }
  out: { target: none, run: { command: [node] } }
`);
  const place = "--context kind -c -k ann -- ";
  assert.deepEqual(
    parts.map((part) => part.words.join(" ")),
    [
      `exec -t deployment/order-service -n shop ${place}npm run dev`,
      "exec --context other -c -k ann -- node app.js",
      `exec -t pod/x ${place}node`,
      `exec -t targetless ${place}node`,
    ],
  );
  const filter = { header_filter: "baggage: .*mirrord-session=ann.*" };
  const incoming = (more: object) => ({ feature: { network: { incoming: more } } });
  assert.deepEqual(
    parts.map(({ patch, isInferred }) => ({ ...patch, isInferred })),
    [
      { ...incoming({ mode: "steal", http_filter: filter }), isInferred: false },
      {
        feature: {
          env: { override: { ID: "ann" } },
          network: { incoming: { mode: "steal", ignore_ports: [9090] } },
        },
        isInferred: true,
      },
      { ...incoming({ mode: "mirror", http_filter: filter }), isInferred: false },
      { isInferred: false },
    ],
  );
});

test("what a service says beyond flags is configuration that goes over the project's", () => {
  const [part] = planned(`
services:
  web:
    mode: exec
    target: pod/x
    command: node x
    http_filter: { path_filter: "^/api" }
    config_patch: { agent: { log_level: warn }, feature: { network: { incoming: { mode: steal } } } }
`);
  assert.deepEqual(part?.words.slice(-3), ["sh", "-c", "node x"]);
  writeFileSync(join(folder, "inpod.json"), '{"target": "pod/other", "feature": {"env": false}}');
  const patch = { tree: part?.patch ?? {}, from: "inpod-up.yaml" };
  const flags = { configFile: "inpod.json", patch };
  const config = loadConfig({ flags, env: {}, directory: folder });
  assert.equal(config.env, false);
  assert.equal(config.target, "pod/other");
  assert.equal(config.layer.incoming.mode, "steal");
  assert.ok(config.layer.incoming.httpFilter);
  assert.equal(
    loadConfig({ flags: { patch }, env: {}, directory: join(folder, "..") }).layer.incoming.mode,
    "steal",
  );
  const wrong = { tree: { feature: { netwrok: {} } }, from: "inpod-up.yaml" };
  assert.throws(
    () => loadConfig({ flags: { patch: wrong }, env: {}, directory: join(folder, "..") }),
    /inpod-up\.yaml: unknown key "feature\.netwrok", did you mean "network"\?/,
  );
});

test("sessions with ports have a command beside them, and flags of their own", () => {
  const parts = planned(`
common: { namespace: shop }
services:
  web: { mode: exchange, expose: ["3000:80", 9000], command: [npm, start], directory: web, env: { override: { A: 1 } } }
`);
  assert.deepEqual(
    parts.map(({ kind, words: said, directory, variables }) => [
      kind,
      said.join(" "),
      directory,
      variables,
    ]),
    [
      ["session", "exchange web --expose 3000:80 --expose 9000 -n shop", folder, {}],
      ["program", "npm start", join(folder, "web"), { A: "1" }],
    ],
  );
});

test("flags go over the file, and some services can be chosen", () => {
  const yaml = `
services:
  a: { target: pod/a, context: own, default_mode: replace, command: [x] }
  b: { target: pod/b, mode: exec, command: [x] }
`;
  const said = {
    context: "flag",
    namespace: "n",
    mode: "mirror",
    hasSaidYes: true,
    isVerbose: true,
  };
  assert.deepEqual(words(yaml, [], said), [
    "exec -t pod/a -n n --context flag -y -v -k ann -- x",
    "exec -t pod/b -n n --context flag -y -v -k ann -- x",
  ]);
  const [a, b] = planned(yaml, [], said);
  assert.match(JSON.stringify(a?.patch), /"mode":"mirror"/);
  assert.deepEqual(b?.patch, {});
  assert.equal(words(yaml, ["b"]).length, 1);
  assert.deepEqual(refused(yaml, ["c", "b"]), ['no service "c" in the file']);
});

test("mistakes have a file, a line and a column", () => {
  const known = Object.keys(service.shape).join(", ");
  assert.deepEqual(
    refused(`services:
  web:
    taget: pod/x
    mode: stael
    ignore_ports: [8080, "x"]
    run: { type: container, command: [x] }
  "bad name": {}
other: 1
`),
    [
      "6 problems in inpod-up.yaml",
      `inpod-up.yaml:3:5: unknown key "services.web.taget", did you mean "target"? (known in "services.web": ${known})`,
      'inpod-up.yaml:4:5: "services.web.mode" is a string; allowed: "exec", "split", "replace", "mirror", "steal", "exchange", "mesh", "preview", "forward"; did you mean "steal"?',
      'inpod-up.yaml:5:26: "services.web.ignore_ports[1]" is a string; allowed: a port number from 1 to 65535',
      'inpod-up.yaml:6:12: "services.web.run.type" is a string; allowed: "exec": inpod has no command container; run it by docker with inpod env --format docker',
      'inpod-up.yaml:7:3: "services.bad name" has a wrong key; allowed: a name of up to 63 letters, digits, dots, dashes and underscores',
      'inpod-up.yaml:8:1: unknown key "other" (known here: $schema, common, services)',
    ],
  );
});

test("what does not go together is told where it stands", () => {
  const one = (service: string): string => refused(`services:\n  web:\n${service}`)[0] ?? "";
  assert.match(
    one("    target: pod/x\n"),
    /^inpod-up\.yaml:2:3: "services\.web" has neither a command/,
  );
  assert.match(
    one("    mode: split\n    default_mode: split\n"),
    /:4:5: .* both mode and default_mode/,
  );
  assert.match(
    one("    command: [x]\n    run: { command: [x] }\n"),
    /:3:5: .* both command and run/,
  );
  assert.match(one("    mode: replace\n"), /:3:5: .* needs a command for mode replace/);
  assert.match(one("    command: [x]\n    expose: 80\n"), /:4:5: .*expose" is for modes without/);
  assert.match(
    one("    mode: exchange\n    expose: 80\n    http_filter: {}\n"),
    /:5:5: .* takes all/,
  );
  assert.match(one("    mode: exchange\n"), /:2:3: "services\.web": inpod exchange needs a port/);
  assert.match(one("    mode: exchange\n    expose: x\n"), /:2:3: .*--expose "x" is no port/);
  assert.match(
    one("    mode: exchange\n    expose: 80\n    command: [x]\n    env: { include: A }\n"),
    /:6:5: .*env\.include" is for programs in a pod's place/,
  );
  assert.match(one("    - a\n"), /:2:3: "services\.web" is a list; allowed: an object/);
  assert.match(
    refused("services: {}\n")[0] ?? "",
    /:1:1: "services" is an object; allowed: at least one service/,
  );
  assert.match(refused("services:\n  a: [1\n")[0] ?? "", /inpod-up\.yaml:\d+:\d+: /);
  assert.match(
    refused("services:\n  a: { target: '{{ get_env(name=\"NO\") }}', command: [x] }\n")[0] ?? "",
    /:2:17: variable NO is not set/,
  );
  assert.throws(() => read("services: 1\n", { path: "none.yaml" }), /cannot read none\.yaml/);
  const empty = mkdtempSync(join(folder, "empty-"));
  assert.throws(
    () => readUp({ directory: empty, env: {}, path: undefined, key: undefined }),
    /no inpod-up\.yaml here/,
  );
});

test("a directory that is not there is told where it stands, before anything is started", () => {
  const yaml = `
services:
  web: { mode: exchange, expose: 3000, command: [node], directory: nowhere }
  api: { command: [node], directory: . }
`;
  assert.throws(
    () => checkFolders(planned(yaml), read(yaml)),
    ({ message }: UserError) =>
      message ===
      `inpod-up.yaml:3:57: "services.web.directory": there is no directory ${join(folder, "nowhere")}`,
  );
  checkFolders(planned(yaml, ["api"]), read(yaml));
});

test("the key is the flag's, the environment's, or the user's name as a label has it", () => {
  const yaml = "services: { a: { target: none, command: ['{{ key }}'] } }\n";
  const last = (more: Partial<Where>) => planned(yaml, [], {}, more)[0]?.words.at(-1);
  assert.equal(last({ key: "k1" }), "k1");
  assert.equal(last({ key: undefined, env: { INPOD_KEY: "k2", MIRRORD_KEY: "k3" } }), "k2");
  assert.equal(last({ key: undefined, env: { MIRRORD_KEY: "k3" } }), "k3");
  assert.match(last({ key: undefined }) ?? "", /^[A-Za-z0-9][A-Za-z0-9-]*$/);
});

test("the page has every key and mode", () => {
  const page = readFileSync(new URL("../../../docs/up.md", import.meta.url), "utf8");
  for (const word of [...Object.keys(service.shape), ...MODES])
    assert.match(page, new RegExp(`\\b${word}\\b`), word);
  const [, yaml = ""] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
  assert.deepEqual(Object.keys(read(yaml).file.services), ["orders", "web", "search", "db"]);
});

test("lines are written whole, each with its writer's name, in the order in which they came", () => {
  const written: string[] = [];
  const sink = {
    write: (bytes: string | Uint8Array) => written.push(Buffer.from(bytes).toString()),
  };
  const [one, other] = ["a ", "bb"].map((name) => new Lines(sink, `${name}| `));
  one?.write(Buffer.from("first\nsec"));
  other?.write(Buffer.from("other\n\n"));
  const euro = Buffer.from("€ond\n");
  one?.write(euro.subarray(0, 1));
  one?.write(euro.subarray(1));
  other?.write(Buffer.from("no end"));
  for (const lines of [one, other]) lines?.end();
  assert.equal(written.join(""), "a | first\nbb| other\nbb| \na | sec€ond\nbb| no end\n");
  written.length = 0;
  one?.write(Buffer.alloc(200_000, "x"));
  one?.end();
  const lines = written.join("").split("\n");
  assert.equal(lines.length, 5);
  assert.equal(lines.join("").replaceAll("a | ", "").length, 200_000);
  assert.equal(linePrefix("web", 5, 0, false), "web   | ");
  assert.notEqual(linePrefix("web", 5, 0, true), linePrefix("web", 5, 1, true));
});

/** What is wrong with a configuration is told by its place, and no value of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { load, loadValue, problems } from "./config-support.ts";

const WRONG: readonly (readonly [value: unknown, ...said: RegExp[]])[] = [
  [{ traget: "pod/a" }, /unknown key "traget", did you mean "target"\?/],
  [
    { feature: { network: { incomming: "steal" } } },
    /"feature\.network\.incomming", did you mean "incoming"\?/,
    /known in "feature\.network": incoming, outgoing, dns/,
  ],
  [
    { feature: { network: { outgoing: { tpc: true } } } },
    /"feature\.network\.outgoing\.tpc", did you mean "tcp"\?/,
  ],
  [
    { feature: { fs: { mode: "raed" } } },
    /"feature\.fs\.mode" is a string; allowed: .*"read".*did you mean "read"\?/,
  ],
  [
    { feature: { network: { incoming: "stael" } } },
    /"feature\.network\.incoming" is a string; .*did you mean "steal"\?/,
  ],
  [
    { feature: { network: { incoming: { ports: ["80", 70000] } } } },
    /ports\[0\]" is a string; allowed: a port number/,
    /ports\[1\]" is a number; allowed: a port number/,
  ],
  [
    {
      feature: {
        network: {
          incoming: {
            port_mapping: [
              [1, 2],
              [1, 3],
            ],
          },
        },
      },
    },
    /port_mapping" is a list; allowed: pairs that name each port/,
  ],
  [
    { feature: { network: { incoming: { port_mapping: [[1]] } } } },
    /port_mapping\[0\]" is a list; allowed: a pair/,
  ],
  [
    { feature: { network: { outgoing: { filter: { remote: ["a"], local: ["b"] } } } } },
    /either remote or local/,
  ],
  [
    { feature: { network: { outgoing: { filter: { remote: ["http://a"] } } } } },
    /remote\[0\]" is a string; allowed: \[tcp:/,
  ],
  [{ feature: { fs: "wriet" } }, /"feature\.fs" is/],
  [{ feature: { fs: { read_write: ["("] } } }, /read_write\[0\]" is a string; allowed: a regular/],
  [
    { feature: { fs: { local: ["("] } } },
    /local\[0\]" is a string; allowed: a regular expression that can be used \(/,
  ],
  [
    { feature: { network: { incoming: { http_filter: { all_of: [{ path: "(" }] } } } } },
    /"feature\.network\.incoming\.http_filter\.all_of\[0\]\.path" is a string; allowed: something that can be used \("\("/,
  ],
  [
    { operator: true, agent: { nftables: false } },
    /"operator" cannot be used: it is for mirrord's operator/,
    /"agent\.nftables" is not supported yet: nftables is what is used/,
  ],
  [
    { feature: { env: { include: "A", exclude: "B" } } },
    /"feature\.env" is an object; allowed: include or exclude, not both/,
  ],
  [
    { target: 3, agent: { startup_timeout: 0 } },
    /"target" is a number; allowed: a path .*, or an object/,
    /at least 1 second/,
  ],
  [["target"], /whole file must be an object/],
];
for (const [value, ...said] of WRONG)
  test(`what is wrong in ${JSON.stringify(value)} is named by its path, with what is allowed`, (t) => {
    const text = problems(() => loadValue(t, value));
    for (const line of said) assert.match(text, line);
  });

test("all problems of a file are told at once, and no value of it", (t) => {
  const text = problems(() =>
    loadValue(t, {
      nope: 1,
      feature: { env: { override: { PASSWORD: 31337 }, unset: 7 }, hostname: "hunter2" },
    }),
  );
  assert.match(text, /^4 problems in \.inpod\/inpod\.json/);
  assert.match(text, /"feature\.env\.override\.PASSWORD" is a number; allowed: a string/);
  assert.doesNotMatch(text, /31337|hunter2/);
});

test("a syntax error has file, line and column, and does not quote the file", (t) => {
  for (const [name, text, place] of [
    [".inpod/inpod.json", '{\n  "a": hunter2\n}', /inpod\.json:2:8: invalid symbol/],
    [".inpod/inpod.yaml", "a: 1\na: hunter2\n", /inpod\.yaml:2:1: duplicate key/],
    [".inpod/inpod.toml", "a = 1\nb = hunter2\n", /inpod\.toml:2:\d+: /],
    [
      ".inpod/inpod.json",
      '{\n "target": "pod/{{ hunter }}"}',
      /inpod\.json:2:17: unknown variable "hunter" in a template/,
    ],
  ] as const) {
    const said = problems(() => load(t, { [name]: text }));
    assert.match(said, place);
    assert.doesNotMatch(said, /hunter2/);
  }
});

test("a file that is named must be there, and -f alone wants one in its usual place", (t) => {
  assert.match(
    problems(() => load(t, {}, { flags: { configFile: "no.json" } })),
    /cannot read .* no\.json/,
  );
  assert.match(
    problems(() => load(t, {}, { isFileWanted: true })),
    /no configuration file/,
  );
  assert.match(
    problems(() => load(t, { "x.ini": "" }, { flags: { configFile: "x.ini" } })),
    /language of x\.ini/,
  );
});

test("a wrong variable is named, without its value", (t) => {
  const text = problems(() =>
    load(t, {}, { env: { INPOD_TCP_OUTGOING: "maybe", MIRRORD_FILE_MODE: "wriet" } }),
  );
  assert.match(text, /INPOD_TCP_OUTGOING; allowed: true or false/);
  assert.match(text, /MIRRORD_FILE_MODE; allowed: read, write, local/);
  assert.doesNotMatch(text, /maybe/);
});

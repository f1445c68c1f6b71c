/** What is advised to be written does what it says: merged into the configuration, the verdict is another one. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadSources } from "../src/config/load.ts";
import { isObject } from "../src/config/tree.ts";
import type { Change } from "../src/explain/change.ts";
import type { Explanation } from "../src/explain/explanation.ts";
import { ground } from "../src/explain/ground.ts";
import { explainHost, explainListening } from "../src/explain/network.ts";
import { explainPath } from "../src/explain/paths.ts";
import { parseSubject } from "../src/explain/subject.ts";
import { explainProgram, explainUnix, explainVariable } from "../src/explain/variables.ts";

const folder = mkdtempSync(join(tmpdir(), "inpod-explain-"));
mkdirSync(join(folder, ".inpod"));
after(() => rmSync(folder, { recursive: true }));

const ENV = { PATH: process.env.PATH ?? "", HOME: "/home/somebody", AWS_PROFILE: "p", MINE: "1" };

function explain(text: string, config: object): Explanation {
  writeFileSync(join(folder, ".inpod/inpod.json"), JSON.stringify(config));
  const silent = { write: () => true };
  const io = { stdout: silent, stderr: silent, env: ENV, directory: folder };
  const loaded = loadSources({ flags: {}, env: {}, directory: folder });
  const base = ground({ loaded, io, command: undefined });
  const subject = parseSubject(text, { directory: folder, home: ENV.HOME, exists: () => false });
  switch (subject.kind) {
    case "path":
      return explainPath(text, subject.path, base, undefined);
    case "host":
      return explainHost(text, subject, base, {});
    case "listen":
      return explainListening(text, subject, base, []);
    case "variable":
      return explainVariable(text, subject.name, base);
    case "program":
      return explainProgram(text, subject.name, base);
    case "unix":
      return explainUnix(text, subject.path, base);
  }
}

/** As somebody does who pastes it: what is there stays, lists and values are replaced. */
function merged(config: object, change: object): object {
  const result: Record<string, unknown> = { ...config };
  for (const [key, value] of Object.entries(change)) {
    const old = result[key];
    result[key] = isObject(old) && isObject(value) ? merged(old, value) : value;
  }
  return result;
}

const fs = (value: unknown) => ({ feature: { fs: value } });
const network = (value: unknown) => ({ feature: { network: value } });
const outgoing = (value: unknown) => network({ outgoing: value });
const incoming = (value: unknown) => network({ incoming: value });
const env = (value: unknown) => ({ feature: { env: value } });

/** Subject, configuration, and of how many answers there must be at least one change that can be pasted. */
const CASES: readonly (readonly [subject: string, config: object])[] = [
  ["/app/x.yaml", {}],
  ["/app/x.yaml", fs({ mode: "write" })],
  ["/app/x.yaml", fs({ mode: "local" })],
  ["/app/x.yaml", fs({ mode: "localwithoverrides" })],
  ["/app/x.yaml", fs({ local: ["^/app/"] })],
  ["/app/x+(1).js", {}],
  ["/usr/lib/x", {}],
  ["/etc/ssl/certs/x", {}],
  ["/app/lib.so.1", {}],
  ["/tmp/x", {}],
  ["/etc/hosts", {}],
  ["/etc/hosts", network({ dns: false })],
  ["/etc/hostname", {}],
  ["/etc/hostname", { feature: { hostname: false } }],
  ["/var/run/secrets/kubernetes.io/serviceaccount/token", {}],
  ["/home/somebody/.aws/config", {}],
  ["/home/somebody/.config/gcloud/x", {}],
  ["/home/somebody/.aws/config", { feature: { local_credentials: ["aws"] } }],
  ["/home/somebody/x", {}],
  ["10.0.0.1:80", {}],
  ["10.0.0.1", {}],
  ["[fd00::1]:80", {}],
  ["fd00::1", {}],
  ["api:80", {}],
  ["api:80", outgoing({ filter: { local: ["other"] } })],
  ["api:80", outgoing({ filter: { remote: ["other"] } })],
  ["api:80", outgoing(false)],
  ["api:80", outgoing({ udp: false })],
  ["localhost:80", outgoing({ ignore_localhost: true })],
  ["10.0.0.1:53", network({ dns: false })],
  ["api", network({ dns: { filter: { local: ["other"] } } })],
  ["api", network({ dns: { filter: { remote: ["other"] } } })],
  [":8080", {}],
  [":8080", incoming("steal")],
  [":8080", incoming("off")],
  [":8080", incoming({ ignore_ports: [8080, 8081] })],
  [":8080", incoming({ mode: "steal", ports: [80] })],
  ["bind:127.0.0.1:8080", incoming({ ignore_localhost: true })],
  ["SOME=", {}],
  ["PATH=", {}],
  ["SOME=", env({ exclude: ["SOME"] })],
  ["SOME=", env({ include: ["OTHER"] })],
  ["SOME=", env(false)],
  ["LD_PRELOAD=", env({ include: ["OTHER"] })],
  ["program:node", {}],
  ["program:go", {}],
  ["program:go", { skip_processes: ["go"], skip_build_tools: false }],
  ["program:task", { skip_extra_build_tools: ["task"] }],
  ["unix:/run/nscd/socket", {}],
  ["unix:/run/x.sock", {}],
  ["unix:@name", outgoing({ unix_streams: ["^/other"] })],
];

for (const [subject, config] of CASES) {
  test(`${subject} with ${JSON.stringify(config)} changes as is advised`, () => {
    const before = explain(subject, config);
    const pasted = before.answers.flatMap((answer) =>
      answer.changes
        .filter((change): change is Change & { config: object } => change.config !== undefined)
        .map((change) => ({ answer, change })),
    );
    assert.ok(pasted.length > 0, JSON.stringify(before));
    for (const { answer, change } of pasted) {
      const after = explain(subject, merged(config, change.config));
      const about = answer.about.split(",")[0] ?? "";
      const now = after.answers.find((each) => each.about.split(", ").includes(about));
      assert.ok(now, answer.about);
      assert.notDeepEqual(
        [now?.verdict, now?.words],
        [answer.verdict, answer.words],
        `${answer.about}: ${JSON.stringify(change)}`,
      );
    }
  });
}

test("what the user's own list has decided is not advised to be outdone by the same list", () => {
  const { answers } = explain("db:1", outgoing({ filter: { local: ["db:1"] } }));
  const [change] = answers.at(-1)?.changes ?? [];
  assert.match(
    change?.words ?? "",
    /take the entry out of feature\.network\.outgoing\.filter\.local/,
  );
});

test("every answer but the kernel's own says which key it is, and who has set it", () => {
  for (const [subject, config] of CASES)
    for (const { key, origin, about } of explain(subject, config).answers) {
      assert.ok(key !== undefined, `${subject} ${about}`);
      assert.ok(origin !== undefined);
      assert.equal(origin.file !== undefined, origin.from === "file");
    }
  const file = explain("/app/x", fs({ local: ["^/app"] })).answers[0]?.origin;
  assert.deepEqual(file, { from: "file", file: ".inpod/inpod.json", line: 1 });
});

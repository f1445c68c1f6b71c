/** Every finding of `inpod doctor`, provoked by facts as real machines and clusters have them. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { judgeMachine } from "../src/doctor/machine/judge.ts";
import { judgeTarget } from "../src/doctor/target/judge.ts";
import { agentCases } from "./doctor/agent-cases.ts";
import type { Case } from "./doctor/case.ts";
import { clusterCases } from "./doctor/cluster-cases.ts";
import { debian, docker, machineCases, ubuntu } from "./doctor/machine-cases.ts";
import { found, wish } from "./doctor/orders-pod.ts";
import { programCases } from "./doctor/program-cases.ts";
import { targetCases } from "./doctor/target-cases.ts";

const cases: readonly Case[] = [
  ...machineCases,
  ...programCases,
  ...clusterCases,
  ...targetCases,
  ...agentCases,
];

for (const { when, id, level, says, findings } of cases)
  test(`${when}: ${id}, a ${level}`, () => {
    const all = findings();
    const of = all.filter((each) => each.id === id);
    assert.equal(of.length, 1, JSON.stringify(all, null, 2));
    const [finding] = of;
    assert.equal(finding?.level, level);
    assert.match([finding.what, finding.why, ...finding.hints].join("\n"), says);
    assert.ok(id.startsWith(`${finding.group}-`));
    if (level === "problem") {
      assert.ok(
        finding.why !== "" || finding.hints.length > 0,
        "a problem says why it matters or what to type",
      );
    }
  });

test("what is as it should be has no other finding", () => {
  const bad = judgeMachine(debian, true).filter(({ level }) => level !== "ok");
  assert.deepEqual(bad, []);
});

test("as root, Yama's 2 and Ubuntu's AppArmor keep nobody out", () => {
  const root = { ...ubuntu, isRoot: true, isPtraceCapable: true, ptraceScope: 2 };
  const ids = judgeMachine(
    { ...root, userNamespaces: { ...root.userNamespaces, isAllowed: true } },
    true,
  )
    .filter(({ level }) => level === "problem")
    .map(({ id }) => id);
  assert.deepEqual(ids, []);
});

test("Docker's defaults are one problem, and the flag is in its first hint", () => {
  const problems = judgeMachine(docker, true).filter(({ level }) => level === "problem");
  assert.deepEqual(
    problems.map(({ id }) => id),
    ["machine-pidfd-getfd"],
  );
  assert.match(problems[0]?.hints[0] ?? "", /--cap-add SYS_PTRACE/);
});

test("probes are of interest only to who takes the pod's traffic", () => {
  const probes = [{ kind: "liveness", port: "8080", patienceSeconds: 30 }] as const;
  const facts = { ...found, pod: { ...found.pod, probes } };
  const ids = (isStealing: boolean) =>
    judgeTarget(facts, { kind: "known", value: undefined }, { ...wish, isStealing }).map(
      ({ id }) => id,
    );
  assert.ok(ids(true).includes("target-probes"));
  assert.ok(!ids(false).includes("target-probes"));
});

describe("the list is whole", () => {
  const root = fileURLToPath(new URL("../src/doctor", import.meta.url));
  const source = readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => readFileSync(join(root, name), "utf8"));
  /** `problem("pidfd-getfd", …)` in a file of the group "machine", and `rights.note("optional", …)`. */
  const inSource = new Set(
    source.flatMap((text) => {
      const group = /= findingsOf\("([a-z]+)"\);/.exec(text)?.[1];
      return [
        ...text.matchAll(/\b(rights\.)?(?:ok|note|warning|problem|say)\(\s*"([a-z0-9-]+)"/g),
      ].map(([, other, id]) => `${other === undefined ? group : "rights"}-${id}`);
    }),
  );
  const document = readFileSync(new URL("../../../docs/doctor.md", import.meta.url), "utf8");

  test("each finding of the source is provoked here", () => {
    assert.ok(inSource.size > 60, String(inSource.size));
    const provoked = new Set(cases.map(({ id }) => id));
    assert.deepEqual(
      [...inSource].filter((id) => !provoked.has(id)),
      [],
    );
  });

  test("each finding that is not ok is in docs/doctor.md", () => {
    const missing = cases
      .filter(({ level }) => level !== "ok")
      .filter(({ id }) => !document.includes(`\`${id}\``))
      .map(({ id }) => id);
    assert.deepEqual([...new Set(missing)], []);
  });

  test("docs/doctor.md names no finding that there is not", () => {
    const provoked = new Set(cases.map(({ id }) => id));
    const named = [
      ...document.matchAll(/`((?:program|machine|cluster|rights|target|agent)-[a-z0-9-]+)`/g),
    ].map(([, id = ""]) => id);
    assert.ok(named.length > 40);
    assert.deepEqual(
      named.filter((id) => !provoked.has(id)),
      [],
    );
  });
});

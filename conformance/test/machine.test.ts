/** Every program of the machine's runtimes observes in the pod's place what is observed in the pod; docs/programs.md says so. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Sandbox, startSandbox } from "@inpod/sandbox";
import { endRuns } from "../../packages/cli/test/exec-support.ts";
import type { Facts } from "../contract.ts";
import { compiledRows } from "../rows/compiled.ts";
import { groups } from "../rows/index.ts";
import { machineGroups } from "../rows/machine.ts";
import { askPod, type Result, Session } from "../session.ts";
import { readTable } from "../table.ts";

const PAGE = readFileSync(
  fileURLToPath(new URL("../../docs/programs.md", import.meta.url)),
  "utf8",
);

let sandbox: Sandbox;
let inPod: Facts;
before(async () => {
  sandbox = await startSandbox();
  inPod = await askPod(sandbox);
});
after(async () => {
  await endRuns();
  await sandbox?.stop();
});

const results: Result[] = [];
for (const group of machineGroups) {
  describe(group.rows.map(({ name }) => name).join("; "), () => {
    let session: Session;
    before(async () => {
      session = await Session.start(sandbox, inPod, group);
    });
    for (const row of group.rows) {
      test(`${row.name} observes what is observed in the pod`, async (t) => {
        const result = await session.ask(row);
        if (result.missing !== undefined) return t.skip(result.missing);
        results.push(result);
        const red = Object.entries(result.cells).filter(([, { kind }]) => kind === "no");
        assert.deepEqual(red, [], result.told);
      });
    }
    test("nothing of them is left", () => session.end());
  });
}

test("the table has every row, and says of each what was seen", () => {
  const table = readTable(PAGE);
  assert.deepEqual(
    [...table.keys()],
    groups.flatMap(({ rows }) => rows.map(({ name }) => name)),
    "npm run conformance writes it",
  );
  assert.ok(results.length > 0);
  for (const { name, cells } of results) assert.deepEqual(table.get(name), cells, name);
});

test("where a feature is off, its column is red, and no other", async () => {
  const config = {
    feature: {
      env: false,
      fs: "local",
      hostname: false,
      network: { outgoing: false, dns: false },
    },
  };
  const [glibc] = compiledRows;
  assert.ok(glibc);
  const session = await Session.start(sandbox, inPod, { rows: [glibc], config });
  const { cells, told } = await session.ask(glibc);
  await session.end();
  const kinds = Object.entries(cells).map(([column, { kind }]) => `${column}: ${kind}`);
  assert.deepEqual(
    kinds,
    [
      ...["incoming: yes", "peer: yes", "outgoing: no", "DNS: no", "own resolver: none"],
      ...["environment: no", "file: no", "hostname: no", "errors: no"],
    ],
    told,
  );
});

/** What is decided here is told to who wants to know. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import type { TapEvent, TapPathRule } from "../src/index.ts";
import { makeRemoteRoot } from "./remote-root.ts";
import { run, tap } from "./support.ts";

after(() => tap.unref()); // its threads would keep this process alive

const root = await makeRemoteRoot();
mkdirSync(root.at("/app"));
writeFileSync(root.at("/app/a"), "the pod's\n");
tap.setRemote(root);

const rule = (text: string, verdict: TapPathRule["verdict"], isReported = true): TapPathRule => ({
  ...{ match: "tree", text, operations: 7, verdict },
  ...{ isReported, fallback: verdict === "remote" },
});
const RULES = [
  rule("/app", "remote"),
  rule("/app2", "not-found"),
  rule("/etc/passwd", "local"),
  rule("/etc", "local", false),
];

async function decisions(command: string): Promise<string[]> {
  const told: string[] = [];
  const note = (event: TapEvent): void => {
    if (event.kind !== "decided" || event.call !== "open") return;
    told.push(`${event.path} ${event.verdict} ${event.rule}${event.isFallback ? " else" : ""}`);
  };
  await run(["sh", "-c", `{ ${command}; } 2>/dev/null`], note);
  return told.sort();
}

test("each decision is told once, of rules that say so, with the rule's number", async () => {
  tap.setPathRules(RULES);
  tap.wantReports("news");
  assert.deepEqual(await decisions("cat /app/a /app/a /app/none /app2/x /etc/passwd /etc/group"), [
    "/app/a remote 0",
    "/app/none remote 0",
    "/app/none remote 0 else",
    "/app2/x not-found 1",
    "/etc/passwd local 2",
  ]);
});

test("nothing is told when nobody wants to know", async () => {
  tap.setPathRules(RULES);
  tap.wantReports("nothing");
  assert.deepEqual(await decisions("cat /app/a /app/other /app2/y"), []);
});

test("where every call is wanted each is told, with who made it, what it came to and how long it took", async () => {
  tap.setPathRules(RULES);
  tap.wantReports("all");
  const told: string[] = [];
  let pid = 0;
  const note = (event: TapEvent): void => {
    if (event.kind === "program") pid = event.tgid;
    if (event.kind !== "decided" || event.call !== "open" || !/^\/(app|etc)/.test(event.path))
      return;
    assert.equal(event.tgid, pid);
    assert.ok(event.tookMs > 0 && event.tookMs < 60_000);
    told.push(`${event.path} ${event.verdict} ${event.result}${event.isFallback ? " else" : ""}`);
  };
  await run(["cat", "/app/a", "/app/a", "/app/none", "/app2/x", "/etc/group"], note);
  tap.wantReports("nothing");
  assert.deepEqual(
    told.filter((line) => !/ld\.so/.test(line)),
    [
      ...["/app/a remote 0", "/app/a remote 0", "/app/none remote -1 else"],
      ...["/app2/x not-found 2", "/etc/group local -1"],
    ],
  );
});

test("a burst of calls that is more than can be told is counted", async () => {
  tap.setPathRules(RULES);
  tap.wantReports("all");
  const before = tap.statistics().untold;
  let told = 0;
  const burst = "i=0; while [ $i -lt 200 ]; do [ -e /etc/x ]; i=$((i+1)); done";
  await run(["sh", "-c", burst], (event) => {
    if (event.kind === "decided" && event.path === "/etc/x") told++;
  });
  tap.wantReports("nothing");
  assert.equal(told + tap.statistics().untold - before, 200);
});

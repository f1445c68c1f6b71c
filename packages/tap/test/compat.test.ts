/** Calls of i386 with whatever arguments: what is translated of them is as foreign as the rest. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { compile, letGo, ruleFor, run, tap } from "./support.ts";

after(() => tap.unref()); // its threads would keep this process alive

const BARE = ["-m32", "-nostdlib", "-static", "-fno-pic", "-no-pie", "-fno-stack-protector"];
const SOURCE = fileURLToPath(new URL("compat-random.c", import.meta.url));

test("random calls of a 32-bit program give an errno, never a crash of ours, and all are answered", {
  skip: process.arch === "x64" ? false : "i386 programs run on x86-64",
}, async () => {
  tap.setPathRules([{ ...ruleFor("/"), match: "prefix" }]);
  const program = compile("compat-random", readFileSync(SOURCE, "utf8"), ...BARE);
  const before = tap.statistics().received;
  const kinds = new Set<string>();
  const ran = await run([program], (event) => {
    kinds.add(event.kind);
    if (event.kind === "path") tap.reply(event.token, 0, 2);
    else if ("token" in event && event.kind !== "relayed") tap.reply(event.token, 0, 111);
    else letGo(event);
  });
  tap.setPathRules([]);
  assert.equal(ran.stdout, "alive\n", `${ran.code} ${ran.signal} ${ran.stderr}`);
  assert.ok(tap.statistics().received > before + 1000, "they came here");
  for (const kind of ["connect", "bind", "path"]) assert.ok(kinds.has(kind), `among them ${kind}`);
});

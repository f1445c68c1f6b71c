import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { OwnChildren } from "../src/own-children.ts";

test("a process that Node started is ours until its end is known, however it was started", async () => {
  const own = new OwnChildren();
  const spawned = spawn("cat", { stdio: ["pipe", "ignore", "ignore"] });
  const executed = execFile("cat");
  assert.deepEqual(own.pids().sort(), [spawned.pid, executed.pid].sort());
  const ended = Promise.all([once(spawned, "exit"), once(executed, "exit")]);
  spawned.stdin.end();
  executed.stdin?.end();
  await ended;
  assert.deepEqual(own.pids(), []);
  own.close();
});

test("one that could not be started is nobody's, and its error is still told", async () => {
  const own = new OwnChildren();
  const child = spawn("/nowhere/program");
  const [error] = await once(child, "error");
  assert.equal(error.code, "ENOENT");
  await new Promise(setImmediate);
  assert.deepEqual(own.pids(), []);
  own.close();
});

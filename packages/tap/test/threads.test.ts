/** Threads that this machine does not give. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { artifacts } from "../src/native.ts";

/** An id of its own, because the kernel counts a user's threads. */
const USER_ID = "54321";

/** Of the two threads for a listener so many are given as the first argument says; then what is left of it is counted. */
const PROGRAM = `
const { execFileSync } = require("node:child_process");
const { openSync, readdirSync } = require("node:fs");
const [addon, given] = process.argv.slice(1);
const native = require(addon);
native.start(() => {});
const listener = openSync("/dev/null");
const tasks = () => readdirSync("/proc/self/task").length;
const seen = () => readdirSync("/proc/self/fd").length;
const threads = tasks();
const limit = threads + Number(given);
execFileSync("prlimit", ["--pid", String(process.pid), "--nproc=" + limit + ":"]);
const descriptors = seen(); // with those by which libuv starts programs
const received = native.receive(listener);
const until = performance.now() + 10_000;
while ((tasks() > threads || seen() > descriptors) && performance.now() < until);
console.log(JSON.stringify([received, tasks() - threads, seen() - descriptors]));
process.exit();
`;

for (const given of [0, 1]) {
  test(`a listener that gets ${given} of its threads leaves neither a thread nor a descriptor`, {
    skip: process.getuid?.() !== 0 && "needs root, for a user of its own",
  }, () => {
    const user = ["--reuid", USER_ID, "--regid", USER_ID, "--clear-groups"];
    const node = [process.execPath, "-e", PROGRAM, "--", join(artifacts, "tap.node"), `${given}`];
    const said = execFileSync("setpriv", [...user, ...node], { timeout: 60_000, encoding: "utf8" });
    assert.deepEqual(JSON.parse(said), [-constants.errno.EAGAIN, 0, 0]);
  });
}

import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import type { Io } from "../src/io.ts";
import { renderError } from "../src/text/errors.ts";
import { exitCodeOf } from "../src/text/exit-codes.ts";
import { createProgress } from "../src/text/progress.ts";
import { createReporter } from "../src/text/reports.ts";

function listening(isTTY: boolean, env: NodeJS.ProcessEnv = {}) {
  const written: string[] = [];
  const io: Io = {
    stdout: { write: () => assert.fail("stdout is for results") },
    stderr: { write: (text) => written.push(String(text)), isTTY, columns: 30 },
    env,
    directory: "/",
  };
  return { io, text: () => written.join("") };
}

test("an error is what happened, why as the system gave it, and what to type next", () => {
  const cause = new Error("fetch failed", { cause: new Error("connect ECONNREFUSED") });
  const error = new UserError("CLUSTER_GONE", "no answer", {
    cause,
    hints: ["try:\nkubectl get nodes"],
  });
  assert.equal(
    renderError(error, false),
    "error: no answer\n  because: fetch failed\n  because: connect ECONNREFUSED\n  hint: try:\n    kubectl get nodes\n",
  );
});

test("a message from elsewhere cannot steer the terminal", () => {
  const error = new UserError("X", "pod \x1b[2Jnews", { cause: "a\rb\x9bc" });
  assert.equal(renderError(error, false), "error: pod \ufffd[2Jnews\n  because: a\ufffdb\ufffdc\n");
});

test("anything that is no UserError is our bug: it shows its stack and ends with 70", () => {
  const bug = new TypeError("x is undefined");
  assert.match(renderError(bug, false), /^bug: TypeError: x is undefined\n {4}at /);
  assert.equal(exitCodeOf(bug), 70);
});

test("exit codes go by the class of the error", () => {
  const codes = {
    USAGE_INVALID: 2,
    CONFIG_INVALID: 2,
    TARGET_INVALID: 2,
    TARGET_NOT_FOUND: 3,
    CONTAINER_NOT_FOUND: 3,
    FORBIDDEN: 4,
    POD_SECURITY: 4,
    QUOTA: 4,
    POD_NOT_FOUND: 3,
    PROCESS_NOT_FOUND: 3,
    NODE_REFUSED: 5,
    KERNEL_TOO_OLD: 6,
    PIDFD_GETFD_REFUSED: 6,
    KUBECONFIG_NOT_FOUND: 4,
    API_SERVER_UNREACHABLE: 4,
    AGENT_NOT_READY: 5,
    PROTOCOL_MISMATCH: 5,
    MACHINE_NOT_LINUX: 6,
    LAUNCH_FAILED: 125,
    COMMAND_NOT_EXECUTABLE: 126,
    COMMAND_NOT_FOUND: 127,
    SOMETHING: 1,
  };
  for (const [code, expected] of Object.entries(codes))
    assert.equal(exitCodeOf(new UserError(code, "")), expected, code);
});

test("on a terminal a step's line is rewritten with a tick and its time, and is never so long that it wraps", () => {
  const { io, text } = listening(true, { NO_COLOR: "1" });
  let now = 0;
  const progress = createProgress(io, () => now);
  progress.begin("finding the pod");
  progress.detail("a very long name that goes on and on");
  progress.say("a line between");
  now = 1260;
  progress.begin("starting the agent");
  now = 2000;
  progress.failed();
  const erase = "\r\x1b[2K";
  const cut = "finding the pod: a very lon";
  assert.equal(
    text(),
    `${erase}… finding the pod${erase}… ${cut}${erase}a line between\n… ${cut}` +
      `${erase}✓ finding the pod 1.3 s\n${erase}… starting the agent${erase}✗ starting the agent 0.7 s\n`,
  );
});

test("without a terminal each step is one plain line when it begins", () => {
  const { io, text } = listening(false);
  const progress = createProgress(io, () => 0);
  progress.begin("finding the pod");
  progress.detail("pod/a");
  progress.begin("starting\nthe agent");
  progress.failed();
  progress.done();
  assert.equal(
    text(),
    "inpod: finding the pod\ninpod:   pod/a\ninpod: starting the agent\ninpod: starting the agent: failed after 0.0 s\n",
  );
});

test("colour is for terminals, and NO_COLOR takes it away", () => {
  const red = "\x1b[31m";
  for (const [isTTY, env, isRed] of [
    [true, {}, true],
    [true, { NO_COLOR: "1" }, false],
    [false, {}, false],
  ] as const) {
    const { io, text } = listening(isTTY, env);
    const progress = createProgress(io, () => 0);
    progress.begin("x");
    progress.failed();
    assert.equal(text().includes(red), isRed);
  }
});

test("a decision is told with its reason under --verbose only, and a notice once for each key", () => {
  const decision = {
    call: "connect",
    subject: "tcp 10.0.0.5:5432",
    verdict: "remote",
    why: "no filter\nmatches",
    key: "feature.network.outgoing.filter.local",
  };
  for (const isVerbose of [true, false]) {
    const lines: string[] = [];
    const { io } = listening(false);
    const reporter = createReporter(io, isVerbose, (line) => lines.push(line));
    reporter.decision(decision);
    reporter.notice({ key: "port 80", text: "80 is 8080 here" });
    reporter.notice({ key: "port 80", text: "80 is 8080 here" });
    reporter.notice({ key: "port 81", text: "81 is 8081 here" });
    assert.deepEqual(lines, [
      ...(isVerbose
        ? ["decision connect tcp 10.0.0.5:5432 → remote  because no filter matches"]
        : []),
      "inpod: 80 is 8080 here",
      "inpod: 81 is 8081 here",
    ]);
  }
});

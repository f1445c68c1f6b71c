import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import { parseArguments } from "../src/arguments.ts";

const exec = (...argv: string[]) => {
  const parsed = parseArguments(["exec", ...argv]);
  if (parsed.kind !== "exec") return assert.fail("it was not understood as exec");
  const flags = Object.fromEntries(
    Object.entries(parsed.flags).filter(([, value]) => value !== undefined),
  );
  return { ...parsed, flags };
};
const refusal = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof UserError) return [error.code, error.message, ...error.hints].join(" | ");
    throw error;
  }
  return assert.fail("it was accepted");
};

test("the first word that is no flag starts the command, with or without --, and what follows is the command's", () => {
  for (const argv of [
    ["--", "ls", "-v", "--steal"],
    ["ls", "-v", "--steal"],
  ]) {
    const { command, flags, isVerbose } = exec("-t", "pod/a", ...argv);
    assert.deepEqual(
      [command, flags, isVerbose],
      [["ls", "-v", "--steal"], { target: "pod/a" }, false],
    );
  }
  assert.deepEqual(exec("npm", "run", "x", "--", "-y").command, ["npm", "run", "x", "--", "-y"]);
  assert.deepEqual(exec("--", "npm", "run", "--", "-y").command, ["npm", "run", "--", "-y"]);
});

test("every flag arrives as what it means", () => {
  const { flags, isVerbose } = exec(
    "-t",
    "pod/a",
    "-n",
    "shop",
    "-f",
    "x.json",
    "--steal",
    "--context",
    "c",
    "--kubeconfig",
    "k",
    "-i",
    "img",
    "--agent-startup-timeout",
    "9",
    "--fs-mode",
    "local-with-overrides",
    "-x",
    "A;B*",
    "--env-file",
    ".env",
    "--no-remote-dns",
    "--skip-processes",
    "make;gcc",
    "--no-outgoing",
    "-c",
    "-v",
    "--no-telemetry",
    "--disable-version-check",
    "--",
    "true",
  );
  assert.equal(isVerbose, true);
  assert.deepEqual(flags, {
    configFile: "x.json",
    target: "pod/a",
    namespace: "shop",
    context: "c",
    kubeconfig: "k",
    agentImage: "img",
    agentStartupTimeoutS: 9,
    fsMode: "localwithoverrides",
    envExclude: ["A", "B*"],
    envFile: ".env",
    skipProcesses: ["make", "gcc"],
    dns: false,
    steal: true,
    tcpOutgoing: false,
    udpOutgoing: false,
    acceptInvalidCertificates: true,
  });
  assert.deepEqual(exec("--namespace", "n", "--no-udp-outgoing", "-s", "A", "true").flags, {
    namespace: "n",
    udpOutgoing: false,
    envInclude: ["A"],
  });
  assert.deepEqual(exec("true").flags, {});
});

test("-f without a file asks for the one in its usual place, and a flag may be taken back with =false", () => {
  const { isFileWanted, flags } = exec("--accept-invalid-certificates=false", "-f", "--", "true");
  assert.equal(isFileWanted, true);
  assert.deepEqual(flags, { acceptInvalidCertificates: false });
});

test("what is missing or misspelt is named, with the nearest right spelling", () => {
  assert.match(
    refusal(() => exec("--stael", "ls")),
    /USAGE_INVALID \| unknown flag '--stael' \| did you mean --steal\?/,
  );
  assert.match(
    refusal(() => exec("-t", "pod/a", "--")),
    /USAGE_NO_COMMAND/,
  );
  assert.match(
    refusal(() => exec("--target")),
    /USAGE_INVALID .*argument missing/,
  );
  assert.match(
    refusal(() => exec("--agent-startup-timeout", "soon", "ls")),
    /whole number of seconds/,
  );
  assert.match(
    refusal(() => exec("--fs-mode", "wriet", "ls")),
    /read, write, local, local-with-overrides/,
  );
  assert.match(
    refusal(() => parseArguments(["exce"])),
    /did you mean inpod exec\?/,
  );
  assert.match(
    refusal(() => parseArguments([])),
    /USAGE_NO_COMMAND/,
  );
});

test("flags about the agent and the session's key are judged as in a file", () => {
  const { flags } = exec(
    ..."-a agents -l warn,mirrord=debug --agent-ttl 0 -e -k fix-42 ls".split(" "),
  );
  assert.deepEqual(flags, {
    agentNamespace: "agents",
    agentLogLevel: "debug",
    agentTtlS: 0,
    ephemeral: true,
    key: "fix-42",
  });
  for (const [flag, value, allowed] of [
    ["-a", "No_Name", /a name of up to 63/],
    ["-l", "loud", /"trace"/],
    ["--agent-ttl", "-1", /a whole number of seconds from 0/],
    ["-k", "feature/x", /a label's value/],
  ] as const)
    assert.match(
      refusal(() => exec(flag, value, "ls")),
      allowed,
    );
});

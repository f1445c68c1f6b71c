import assert from "node:assert/strict";
import { access } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { runDemo } from "../src/demo.ts";
import { startSandbox } from "../src/index.ts";
import { outcome } from "./run.ts";

const packagePath = fileURLToPath(new URL("../package.json", import.meta.url));
const serverPath = fileURLToPath(new URL("../../examples/orders/server.js", import.meta.url));

/** The pod's process number as the demo has told it. */
const toldPid = (lines: readonly string[]): string =>
  lines.join("\n").match(/main process is number (\d+)/)?.[1] ?? "";

const failing = async (inpod: string): Promise<{ message: string; lines: readonly string[] }> => {
  const lines: string[] = [];
  const { signal } = new AbortController();
  const run = runDemo({ inpod, say: (line) => lines.push(line), signal });
  const message = await run.then(
    () => "no failure",
    (error: Error) => error.message,
  );
  return { message, lines };
};

test("the demo shows the pod's answer, then says that inpod ended early, and leaves nothing", async () => {
  const { message, lines } = await failing("false");
  assert.ok(lines.includes("   > I am the pod, you are 198.18.200.9"));
  assert.equal(message, "inpod ended before the program listened: exit code 1");
  await assert.rejects(access(`/proc/${toldPid(lines)}`), { code: "ENOENT" });
});

test("the demo goes through with the built inpod: each answer is the one it tells of", async () => {
  const lines: string[] = [];
  const { signal } = new AbortController();
  await runDemo({ inpod: "bin/inpod", say: (line) => lines.push(line), signal });
  assert.equal(lines.at(-1), "Done: the pod, its network and every process of it are gone.");
  assert.ok(lines.includes("   > answeredBy: the local process"), lines.join("\n"));
});

test("the demo's steps show what inpod says on stderr", async () => {
  const { message, lines } = await failing("nsenter");
  assert.match(message, /^inpod ended before/);
  assert.ok(
    lines.some((line) => line.startsWith("   | nsenter: ")),
    lines.join("\n"),
  );
});

test("a demo that is interrupted ends its sandbox", async () => {
  const abort = new AbortController();
  const lines: string[] = [];
  const run = runDemo({
    inpod: "false",
    signal: abort.signal,
    say: (line) => {
      lines.push(line);
      if (line.startsWith("3.")) abort.abort();
    },
  });
  await assert.rejects(run, { message: "interrupted" });
  await assert.rejects(access(`/proc/${toldPid(lines)}`), { code: "ENOENT" });
});

test("the orders example answers with the pod's environment, file and neighbour when it runs in the pod", async () => {
  const sandbox = await startSandbox();
  try {
    // On another port than the pod's own server, which has 3000.
    const script = `
      const net = require("node:net");
      const listen = net.Server.prototype.listen;
      net.Server.prototype.listen = function (port, ...rest) { return listen.call(this, 3001, ...rest); };
      import(process.argv[1]);`;
    await sandbox.copyIntoPod(packagePath); // says that the server is an ES module
    const path = await sandbox.copyIntoPod(serverPath);
    const server = sandbox.inPod([process.execPath, "-e", script, path]);
    const ended = outcome(server);
    await new Promise((resolve) => server.stdout?.once("data", resolve));
    const { body } = await sandbox.request({ port: 3001 });
    assert.deepEqual(JSON.parse(body), {
      answeredBy: "the local process",
      environment: "hello-from-the-pod",
      file: "greetings from the pod's file",
      neighbour: "greetings to 198.18.200.2",
      client: "198.18.200.9",
    });
    server.kill("SIGKILL");
    await ended;
  } finally {
    await sandbox.stop();
  }
});

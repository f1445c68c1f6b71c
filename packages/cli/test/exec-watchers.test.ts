/** Programs that start a server again whenever its code changes. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ClientError } from "@inpod/sandbox";
import { isThere, nodeProgram, quoted, startInpod, until, useSandbox } from "./exec-support.ts";

const { sandbox, inventory, folder } = await useSandbox();

const RESTARTS = 3;
const RELOAD = fileURLToPath(new URL("trees/reload.py", import.meta.url));

interface Watcher {
  readonly name: string;
  readonly port: number;
  /** What is changed. */
  readonly file: string;
  readonly command: (file: string) => string;
  readonly content: (version: number, port: number) => string;
}

const nodeServer = (version: number, port: number): string => `
require("node:http").createServer((_, response) => {
  response.setHeader("connection", "close");
  response.end("local ${version}");
}).listen(${port});`;

const node = quoted([process.execPath]);
const KEEPS_SOCKET = "a reloader that keeps the socket";
const WATCHERS: readonly Watcher[] = [
  {
    name: "nodemon",
    port: 3000,
    file: "nodemon/server.cjs",
    command: (file) => `${nodeProgram("nodemon")} --quiet --delay 0.1 --watch ${file} ${file}`,
    content: nodeServer,
  },
  {
    name: "node --watch",
    port: 3001,
    file: "watch/server.cjs",
    command: (file) => `${node} --watch ${file}`,
    content: nodeServer,
  },
  {
    name: "entr",
    port: 3002,
    file: "entr/server.cjs",
    command: (file) => `echo ${file} | entr -n -r ${node} ${file}`,
    content: nodeServer,
  },
  {
    name: KEEPS_SOCKET,
    port: 3003,
    file: "reload/version",
    command: (file) => `python3 ${RELOAD} 3003 ${file}`,
    content: String,
  },
];

/** In place and with the same length: node --watch loses sight of a file that another one replaces. */
const save = (path: string, content: string): Promise<void> =>
  writeFile(path, content, { flag: existsSync(path) ? "r+" : "w" });

test("after each restart by a watcher the server has the pod's port again, and nobody hangs meanwhile", async (t) => {
  const missing = ["entr", "nodemon"].filter(
    (name) => !isThere(name) && !existsSync(nodeProgram(name)),
  );
  for (const name of missing) t.diagnostic(`without ${name}: sh scripts/prepare.sh tests`);
  const watchers = WATCHERS.filter(({ name }) => !missing.includes(name));
  for (const { file, port, content } of watchers) {
    await mkdir(join(folder, file, ".."), { recursive: true });
    await save(join(folder, file), content(0, port));
  }
  const commands = watchers.map(({ command, file }) => `${command(join(folder, file))} & `);
  const run = await startInpod(sandbox, ["sh", "-c", `${commands.join("")} wait`], {
    flags: ["--steal"],
    cwd: folder,
  });
  const failures = new Map<string, string[]>();
  const answer = async ({ name, port }: Watcher): Promise<string> => {
    try {
      return (await sandbox.request({ port, timeoutMs: 5000 })).body;
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      failures.set(name, [...(failures.get(name) ?? []), error.message]);
      return "";
    }
  };
  for (let version = 0; version <= RESTARTS; version++) {
    if (version > 0) {
      for (const { file, port, content } of watchers)
        await save(join(folder, file), content(version, port));
    }
    await Promise.all(
      watchers.map((watcher) =>
        until(
          `${watcher.name} answers with version ${version}`,
          async () => (await answer(watcher)) === `local ${version}`,
          30_000,
        ),
      ),
    );
    if (version === 0) failures.clear();
  }
  run.signalGroup("SIGTERM");
  const { stderr } = await run.ended;
  // Who waits in the queue of a socket that stays open is the next one's; elsewhere nobody waits for nothing.
  for (const [name, messages] of failures) {
    assert.doesNotMatch(messages.join(), /timeout|timed out|ETIMEDOUT/i, name);
    assert.ok(name !== KEEPS_SOCKET, messages.join());
  }
  for (const { name, port } of watchers) {
    const lines = stderr.match(new RegExp(`\\bport ${port}\\b`, "g")) ?? [];
    // One at the beginning, two for each restart, and one if it is seen to end.
    assert.ok(lines.length <= 2 * RESTARTS + 2, `${name}: ${stderr}`);
  }
  await inventory.assertAsBefore(folder);
});

/** `inpod leave`, from another terminal than the session's. */
import assert from "node:assert/strict";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { CLI, type Outcome, Run, startInpod, until, useSandbox } from "./exec-support.ts";

const { sandbox, inventory, folder: runtime } = await useSandbox();
/** Sessions of other tests are this user's, too. */
const env = { ...process.env, XDG_RUNTIME_DIR: runtime, KUBECONFIG: join(runtime, "none") };

const doors = (): string[] => readdirSync(join(runtime, "inpod/sessions"));
const leave = (...words: string[]): Promise<Outcome> =>
  new Run(
    sandbox.inLaptop([process.execPath, CLI, "leave", ...words], {
      cwd: runtime,
      env,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    }),
  ).ended;
const sleeper = async (...flags: string[]): Promise<Run> => {
  const source = `process.on("SIGTERM", () => { console.log("asked"); process.exit(3); });
setInterval(() => {}, 60_000); console.log("up");`;
  const run = await startInpod(sandbox, [process.execPath, "-e", source], { env, flags });
  await run.said("up");
  return run;
};

test("a session ends as by SIGTERM, with its program's own code, and has left nothing when the command returns", async () => {
  const run = await sleeper("--steal");
  assert.equal(statSync(join(runtime, "inpod/sessions")).mode & 0o777, 0o700);
  const { code, stderr, stdout } = await leave(`process/${sandbox.pid}`);
  assert.deepEqual([code, stdout], [0, ""], stderr);
  assert.match(
    stderr,
    new RegExp(`^inpod: left session [0-9a-f]{10}: exec process/${sandbox.pid}\n$`),
  );
  assert.equal(await sandbox.ruleset(), "");
  const ended = await run.ended;
  assert.deepEqual([ended.code, ended.stdout], [3, "up\nasked\n"]);
  assert.deepEqual(doors(), []);
  await inventory.assertAsBefore();
});

test("of two sessions one has to be named, or all; and then there is none", async () => {
  const [one, other] = await Promise.all([sleeper(), sleeper()]);
  const which = await leave();
  assert.equal(which.code, 1);
  assert.match(
    which.stderr,
    /^error: you have 2 sessions here: which one\?\n( {2}hint: inpod leave [0-9a-f]{10} {3}# exec .*\n){2} {2}hint: all of them: inpod leave --all\n$/,
  );
  const [, id = ""] = /inpod leave ([0-9a-f]{10})/.exec(which.stderr) ?? [];
  assert.equal((await leave(id)).code, 0);
  await Promise.race([one.ended, other.ended]);
  assert.equal(doors().length, 1);
  assert.equal((await leave("--all")).code, 0);
  for (const { code } of await Promise.all([one.ended, other.ended])) assert.equal(code, 3);
  const none = await leave();
  assert.equal(none.code, 1);
  assert.match(none.stderr, /^error: you have no session here to leave\n {2}hint: who has/);
  const unknown = await leave("web");
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /no session that is called web/);
});

test("a stopped session is told of; a killed one's door is taken away by the next command, another process's number and foreign files are not", async () => {
  const run = await sleeper();
  process.kill(run.pid, "SIGSTOP");
  const stopped = await leave("--all");
  assert.equal(stopped.code, 1);
  assert.match(stopped.stderr, new RegExp(`process ${run.pid} does not answer: is it stopped\\?`));
  run.signalGroup("SIGKILL");
  await run.ended;
  assert.equal(doors().length, 1);
  const folder = join(runtime, "inpod/sessions");
  // As if the number had been given to another process since: this one.
  const reused = `${process.pid}-00000000aa`;
  writeFileSync(join(folder, reused), "");
  writeFileSync(join(folder, "notes"), "");
  // And one that speaks, but not as a session does.
  const liar = createServer((socket) => socket.end('{"pid":1}\n'));
  await new Promise<void>((done) => liar.listen(join(folder, "1-00000000bb"), done));
  const killed = new Promise<void>((resolve) => process.once("SIGTERM", resolve));
  try {
    const { code } = await leave("--all");
    assert.equal(code, 1);
    assert.deepEqual(doors().toSorted(), ["1-00000000bb", reused, "notes"].toSorted());
    assert.equal(
      await Promise.race([killed, Promise.resolve("nobody was signalled")]),
      "nobody was signalled",
    );
  } finally {
    process.removeAllListeners("SIGTERM");
    liar.close();
  }
  await until("the killed session is over", async () => (await sandbox.ruleset()) === "");
});

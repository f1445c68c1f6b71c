/** Ctrl-C while the agent says nothing, at moments of a session's start and of its end. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import { isStopped, type Run, startCli, until, useSandbox } from "./exec-support.ts";
import { childrenOf, commandOf, descendants } from "./processes.ts";

const { sandbox, inventory, folder } = await useSandbox();

/** inpod stops itself before the first thing that it writes, to us or to the agent, in which this is. */
const HOOK = `
import { Socket } from "node:net";
const { write } = Socket.prototype;
Socket.prototype.write = function (bytes, ...rest) {
  if (process.env.STOP_AT && Buffer.from(bytes).includes(process.env.STOP_AT)) {
    delete process.env.STOP_AT;
    process.kill(process.pid, "SIGSTOP");
  }
  return write.call(this, bytes, ...rest);
};`;
const hook = join(folder, "hook.mjs");
await writeFile(hook, HOOK);

/** Of a session that has stopped itself: the agent's own process, its Node. */
function agentOf(run: Run): readonly number[] {
  const agent = descendants(enterOf(run)).filter((pid) =>
    commandOf(pid).startsWith(process.execPath),
  );
  assert.equal(agent.length, 1);
  return agent;
}

/** And what ends it. */
function enterOf(run: Run): number {
  const enter = childrenOf(run.pid).find((pid) => commandOf(pid).includes("inpod-enter"));
  assert.ok(enter);
  return enter;
}

/** Something has been sent to it that it does not read. */
function isAsked(agent: number, run: Run): boolean {
  const own = readdirSync(`/proc/${agent}/fd`).map((fd) => readlinkSync(`/proc/${agent}/fd/${fd}`));
  // sl local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid timeout inode
  // It has come from our own network.
  return readFileSync(`/proc/${run.pid}/net/tcp`, "latin1")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .some(
      ([, , , , queues = "", , , , , inode]) =>
        /:0*[1-9A-F]/.test(queues) && own.includes(`socket:[${inode}]`),
    );
}

/** Starts it, with an agent that is stopped before inpod writes what has `at` in it. */
async function silenced(
  words: readonly string[],
  at: string,
  who: (run: Run) => readonly number[],
): Promise<Run> {
  // A credential of the developer's is worth a line, before anything is asked for.
  const env = {
    ...process.env,
    AWS_PROFILE: "mine",
    NODE_OPTIONS: `--import ${hook}`,
    STOP_AT: at,
  };
  // Who waits for as long as an agent is asked is killed, and has not ended as it must.
  const run = startCli(sandbox, words, { env, endTimeoutMs: 25_000 });
  await until("it has stopped", () => isStopped(run.pid), 30_000);
  for (const pid of who(run)) process.kill(pid, "SIGSTOP");
  process.kill(run.pid, "SIGCONT");
  return run;
}

const target = ["-t", `process/${sandbox.pid}`];
const SLEEP = ["sleep", "6543"];
const port = String(NETWORK.pod.httpPort);
const MOMENTS = [
  // It is asked whom it stands beside,
  ["describe", ["env", ...target]],
  // for ports,
  ["incoming.steal", ["exchange", ...target, "--expose", `9999:${port}`]],
  ["incoming.mirror", ["dump", ...target, "-p", port]],
  // for the pod's root, where that is mounted,
  ["your own credentials", ["exec", ...target, "--", ...SLEEP]],
  ["your own credentials", ["env", ...target, "--keep-open", "--format", "json", "--show-values"]],
  // or for the pod's resolv.conf.
  ["your own credentials", ["exec", ...target, "--fs-mode", "local", "--", ...SLEEP]],
] as const;

test("at any moment of a start Ctrl-C ends it, though the agent says nothing", async () => {
  const outcomes = MOMENTS.map(async ([at, words]) => {
    let agent: readonly number[] = [];
    const run = await silenced(words, at, (its) => {
      agent = agentOf(its);
      return agent;
    });
    await until(`${words[0]} waits for its agent`, () => agent.every((pid) => isAsked(pid, run)));
    run.signalGroup("SIGINT");
    return { ...(await run.ended), command: words[0] };
  });
  for (const { command, signal, stdout, stderr } of await Promise.all(outcomes)) {
    assert.equal(signal, "SIGINT", `${command}: ${stderr}`);
    assert.equal(stdout, "");
    assert.doesNotMatch(stderr, /could not be removed|because:|without waiting/);
  }
  await inventory.assertAsBefore(SLEEP.join(" "));
});

const ENDS = [
  ["until Ctrl-C", ["exchange", ...target, "--expose", `9999:${port}`]],
  ["end", ["exec", ...target, "--", "true"]],
] as const;

test("another Ctrl-C waits for no end: neither that of what stands, nor behind a command", async () => {
  const outcomes = ENDS.map(async ([at, words]) => {
    let stopped: readonly number[] = [];
    const run = await silenced(words, at, (its) => {
      stopped = [enterOf(its), ...agentOf(its)];
      return stopped;
    });
    try {
      let isOver = false;
      void run.ended.then(() => {
        isOver = true;
      });
      await until(`${words[0]} has ended`, () => {
        if (!isOver) run.signalGroup("SIGINT");
        return isOver;
      });
      return { ...(await run.ended), command: words[0] };
    } finally {
      for (const pid of stopped) process.kill(pid, "SIGCONT");
    }
  });
  for (const { command, signal, stderr } of await Promise.all(outcomes)) {
    assert.equal(signal, "SIGINT", `${command}: ${stderr}`);
    assert.match(stderr, /^inpod: ended without waiting: an agent that is left/m);
  }
  await inventory.assertAsBefore();
});

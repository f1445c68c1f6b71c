/** The way between the two sides is cut or stands still, on the real cluster. docs/accidents.md says the same in words. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { layCable } from "../support/cable.ts";
import { waitFor } from "../support/kubectl.ts";
import { type Stage, seen } from "../support/scene.ts";

const SHORT_CUT_MS = 5_000;
const LONG_CUT_MS = 60_000;
const SLEEP_MS = 180_000;
/** Both ends have noticed after 25 s. */
const NOTICED_MS = 60_000;

export function tunnelAccidents(stage: Stage): void {
  const folder = mkdtempSync(join(tmpdir(), "inpod-cut-"));
  after(() => rmSync(folder, { recursive: true }));

  test("silence for 5 s: nothing is lost, and nothing is said", async (t) => {
    const scene = await stage.scene("silent-5");
    const cable = await layCable(folder, "silent-5");
    t.after(() => [scene.stop(), cable.close()]);
    const inpod = await scene.started({}, cable);
    const [program] = scene.programs();
    cable.silence();
    // A request of the time of the cut is answered after it.
    const { address } = await scene.pod();
    const asked = scene.ask(address);
    await delay(SHORT_CUT_MS);
    cable.mend();
    await asked;
    const backAfter = await scene.untilAllIsWell();
    assert.deepEqual(scene.programs(), [program]);
    assert.doesNotMatch(inpod.output(), /is lost|held connection (ended|closed)/);
    await scene.end(inpod);
    cable.close();
    seen(t, "clients wait", "all is well again after", backAfter, "nothing was lost");
  });

  test("reset, and refused for 5 s: the pod answers at once, then it goes on with the same agent", async (t) => {
    const scene = await stage.scene("reset-5");
    const cable = await layCable(folder, "reset-5");
    t.after(() => [scene.stop(), cable.close()]);
    const inpod = await scene.started({}, cable);
    const programs = scene.programs();
    const agent = scene.enters();
    cable.reset();
    const podAfter = await scene.untilPodAnswers(SHORT_CUT_MS * 2);
    await inpod.says(/the connection to the agent is lost .*open connections are reset/);
    await inpod.says(/held connection closed/);
    await delay(SHORT_CUT_MS);
    cable.mend();
    await inpod.says(/the connection to the agent is back/);
    const backAfter = await scene.untilAllIsWell();
    assert.deepEqual([scene.programs(), scene.enters()], [programs, agent]);
    await scene.end(inpod);
    cable.close();
    seen(t, "the pod answers after", podAfter, "all is well again after", backAfter);
  });

  test("silence for 60 s: the pod answers after 25 s, then it goes on with the same agent", async (t) => {
    const scene = await stage.scene("silent-60");
    const cable = await layCable(folder, "silent-60");
    t.after(() => [scene.stop(), cable.close()]);
    const inpod = await scene.started({ agent: { idle_timeout: 1 } }, cable);
    const programs = scene.programs();
    const agent = scene.enters();
    cable.silence();
    const sinceMs = performance.now();
    const podAfter = await scene.untilPodAnswers(NOTICED_MS);
    await inpod.says(/the connection to the agent is lost/);
    await delay(Math.max(0, LONG_CUT_MS - (performance.now() - sinceMs)));
    cable.mend();
    await inpod.says(/the connection to the agent is back/);
    const backAfter = await scene.untilAllIsWell();
    assert.deepEqual([scene.programs(), scene.enters()], [programs, agent]);
    await scene.end(inpod);
    cable.close();
    seen(t, "the pod answers after", podAfter, "all is well again after", backAfter);
  });

  test("refused for longer than the agent waits: another one goes on", async (t) => {
    const scene = await stage.scene("reset-long");
    const cable = await layCable(folder, "reset-long");
    t.after(() => [scene.stop(), cable.close()]);
    const inpod = await scene.started({ agent: { idle_timeout: 1 } }, cable);
    const programs = scene.programs();
    const first = scene.enters();
    cable.reset();
    const podAfter = await scene.untilPodAnswers(NOTICED_MS);
    await waitFor(
      "the agent's end",
      async () => (scene.enters().length === 0 ? true : undefined),
      110_000,
    );
    cable.mend();
    await inpod.says(/the connection to the agent is back/);
    const backAfter = await scene.untilAllIsWell();
    assert.deepEqual(scene.programs(), programs);
    assert.notDeepEqual(scene.enters(), first);
    await scene.end(inpod);
    cable.close();
    seen(t, "the pod answers after", podAfter, "all is well again after", backAfter);
  });

  for (const onDisconnect of ["stop", "continue"] as const) {
    test(`cut for good, with on_disconnect "${onDisconnect}": the agent ends by itself`, async (t) => {
      const scene = await stage.scene(`cut-${onDisconnect}`);
      const cable = await layCable(folder, `cut-${onDisconnect}`);
      t.after(() => [scene.stop(), cable.close()]);
      const inpod = await scene.started({ on_disconnect: onDisconnect }, cable);
      const [program] = scene.programs();
      const sinceMs = performance.now();
      if (onDisconnect === "stop") cable.silence();
      else cable.reset();
      const podAfter = await scene.untilPodAnswers(NOTICED_MS);
      await waitFor(
        "the end of the session",
        async () => (/the session is lost for good/.test(inpod.output()) ? true : undefined),
        330_000,
      );
      const lostAfter = (performance.now() - sinceMs) / 1000;
      if (onDisconnect === "continue") {
        assert.deepEqual(scene.programs(), [program], "the program goes on");
        inpod.interrupt();
      }
      const { code, signal, stderr } = await inpod.done;
      if (onDisconnect === "stop") assert.equal(code, 5, stderr);
      else assert.ok(signal === "SIGINT" || code === 130, `${signal} ${code} ${stderr}`);
      await scene.untilAsBefore();
      cable.close();
      seen(
        t,
        "the pod answers after",
        podAfter,
        "lost for good after",
        lostAfter,
        `exit code ${code}`,
      );
    });
  }

  test("a suspended laptop: everything of the session is stopped for 3 minutes, and goes on with another agent", async (t) => {
    const scene = await stage.scene("sleeping");
    t.after(() => scene.stop());
    const inpod = await scene.started();
    const programs = scene.programs();
    const all = scene.processes();
    assert.ok(all.length >= 3, "CLI, keeper, program");
    for (const pid of all) process.kill(pid, "SIGSTOP");
    const sinceMs = performance.now();
    const podAfter = await scene.untilPodAnswers(NOTICED_MS);
    await waitFor(
      "the agent's end",
      async () => (scene.enters().length === 0 ? true : undefined),
      SLEEP_MS,
    );
    await delay(Math.max(0, SLEEP_MS - (performance.now() - sinceMs)));
    for (const pid of all) process.kill(pid, "SIGCONT");
    await inpod.says(/the connection to the agent is lost/);
    await inpod.says(/the agent is gone .*starting another one/);
    await inpod.says(/the connection to the agent is back/);
    const backAfter = await scene.untilAllIsWell();
    assert.deepEqual(scene.programs(), programs);
    await scene.end(inpod);
    seen(t, "the pod answers after", podAfter, "all is well again after", backAfter);
  });
}

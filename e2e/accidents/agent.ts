/** The agent at its limits, and two sessions at once. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { waitFor } from "../support/kubectl.ts";
import { type Stage, seen } from "../support/scene.ts";

const MIB = 1024 * 1024;

/** Lowers the limit of a process's container to what it just needs now (cgroup v1 refuses less). */
function squeeze(pid: number): void {
  const path = /^\d+:memory:(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, "latin1"))?.[1];
  assert.ok(path, "a memory cgroup");
  const folder = `/sys/fs/cgroup/memory${path}`;
  const usage = Number(readFileSync(`${folder}/memory.usage_in_bytes`, "latin1"));
  for (let limit = usage; limit > 4 * MIB; limit -= MIB) {
    try {
      writeFileSync(`${folder}/memory.limit_in_bytes`, String(limit));
    } catch {
      return; // EBUSY: no less
    }
  }
}

export function agentAccidents(stage: Stage): void {
  test("the agent is out of memory: another one goes on with the same program", async (t) => {
    const scene = await stage.scene("oom");
    t.after(() => scene.stop());
    const inpod = await scene.started();
    const programs = scene.programs();
    const { address } = await scene.pod();
    const [enter] = scene.enters();
    assert.ok(enter);
    squeeze(enter);
    // What is asked of it needs memory.
    await waitFor(
      "its end",
      async () => {
        await Promise.all(Array.from({ length: 10 }, () => scene.ask(address)));
        return scene.enters().includes(enter) ? undefined : true;
      },
      60_000,
    );
    await inpod.says(/the agent is gone .*(OOMKilled|signal 9|code).*starting another one/);
    await inpod.says(/the connection to the agent is back/);
    const backAfter = await scene.untilAllIsWell();
    assert.deepEqual(scene.programs(), programs);
    await scene.end(inpod);
    seen(t, "the pod answers", "all is well again after", backAfter);
  });

  test("three hundred connections that pour and that nobody reads do not cost the agent its memory", async (t) => {
    const scene = await stage.scene("flood");
    t.after(() => scene.stop());
    const inpod = await scene.started();
    const agent = scene.enters();
    const { address } = await scene.pod();
    assert.equal(await scene.ask(address, 3000, "/flood?300"), "flooded");
    await scene.untilAllIsWell();
    assert.deepEqual(scene.enters(), agent, inpod.output());
    assert.doesNotMatch(inpod.output(), /is lost/);
    await scene.end(inpod);
    seen(t, "the program answers", "the same agent goes on");
  });

  test("two that start at the same instant on one pod, with different ports, both work", async (t) => {
    const scene = await stage.scene("two");
    t.after(() => scene.stop());
    const both = [scene.start(), scene.start({}, { port: 3001 })];
    await Promise.all(both.map((each) => each.says(/local server listens/)));
    await Promise.all([scene.untilAllIsWell(), scene.untilAllIsWell(undefined, 3001)]);
    const agents = scene.enters().length;
    for (const each of both) each.interrupt();
    await Promise.all(both.map((each) => each.done));
    await scene.untilPodAnswers();
    await scene.untilAsBefore();
    seen(t, "both programs answer", `${agents} agent(s)`);
  });

  test("two that start at the same instant and want the same port: one has it, the other is told", async (t) => {
    const scene = await stage.scene("conflict");
    t.after(() => scene.stop());
    const both = [scene.start(), scene.start()];
    const refused = await waitFor("a refusal", async () =>
      both.find((each) => /your process was ended: .*port 3000/.test(each.output())),
    );
    const other = both.find((each) => each !== refused);
    assert.ok(other);
    assert.equal((await refused.done).code, 3);
    assert.match(refused.output(), /(stolen by|has stolen)/);
    await other.says(/local server listens/);
    assert.doesNotMatch(other.output(), /was ended/);
    await scene.untilAllIsWell();
    await scene.end(other);
    seen(t, "one program answers", "the other is told who has the port");
  });
}

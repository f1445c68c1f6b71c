/** `kill -9` of each process of a session, on the real cluster. docs/accidents.md says the same in words. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "../support/kubectl.ts";
import { type Stage, seen } from "../support/scene.ts";
import { childrenOf, commandOf, kill9 } from "../support/this-kernel.ts";

export function processAccidents(stage: Stage): void {
  const runs = (pid: number): boolean => commandOf(pid) !== "";

  for (const onDisconnect of ["stop", "continue"] as const) {
    test(`the CLI, with on_disconnect "${onDisconnect}"`, async (t) => {
      const scene = await stage.scene(`cli-${onDisconnect}`);
      t.after(() => scene.stop());
      const inpod = await scene.started({ on_disconnect: onDisconnect });
      const [program] = scene.programs();
      assert.ok(program);
      kill9(...scene.clis());
      await inpod.exited;
      const podAfter = await scene.untilPodAnswers();
      if (onDisconnect === "continue") {
        assert.ok(runs(program), "the program goes on");
        kill9(program);
      } else await waitFor("the program's end", async () => (runs(program) ? undefined : true));
      await scene.untilAsBefore();
      seen(
        t,
        "the pod answers after",
        podAfter,
        `the program ${onDisconnect === "stop" ? "was ended" : "went on"}`,
      );
    });
  }

  test("the keeper: another one takes its place, and does its work when the CLI is killed then", async (t) => {
    const scene = await stage.scene("keeper");
    t.after(() => scene.stop());
    const inpod = await scene.started();
    const [first] = scene.keepers();
    const [program] = scene.programs();
    assert.ok(first && program);
    kill9(first);
    await waitFor("another keeper", async () =>
      scene.keepers().some((pid) => pid !== first) ? true : undefined,
    );
    await scene.untilAllIsWell();
    kill9(...scene.clis());
    await inpod.exited;
    await waitFor("the program's end", async () => (runs(program) ? undefined : true));
    const podAfter = await scene.untilPodAnswers();
    await scene.untilAsBefore();
    seen(t, "nothing else happened", "then the CLI: the pod answers after", podAfter);
  });

  for (const who of ["the agent's Node", "inpod-enter"] as const) {
    test(`${who}: the pod answers, and another agent goes on with the same program`, async (t) => {
      const scene = await stage.scene(who.replaceAll(/[^a-z]/g, ""));
      t.after(() => scene.stop());
      const inpod = await scene.started();
      const programs = scene.programs();
      const [enter] = scene.enters();
      assert.ok(enter);
      const victims =
        who === "inpod-enter"
          ? [enter]
          : childrenOf(enter).filter((pid) => /^\/inpod\/node /.test(commandOf(pid)));
      assert.equal(victims.length, 1);
      kill9(...victims);
      const answersAfter = await scene.until(/^(pod|local) /, 10_000);
      await inpod.says(/the connection to the agent is lost/);
      await inpod.says(/the agent is gone .*starting another one/);
      await inpod.says(/held connection closed/);
      await inpod.says(/the connection to the agent is back/);
      const backAfter = await scene.untilAllIsWell();
      assert.deepEqual(scene.programs(), programs);
      await scene.end(inpod);
      seen(t, "answers after", answersAfter, "all is well again after", backAfter);
    });
  }
}

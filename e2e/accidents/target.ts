/** What happens to the target, on the real cluster. docs/accidents.md says the same in words. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { kubectl, waitFor } from "../support/kubectl.ts";
import { type Scene, type Stage, seen } from "../support/scene.ts";
import { commandOf, kill9, processesOfPod } from "../support/this-kernel.ts";

export function targetAccidents(stage: Stage): void {
  /** The Eviction API, as `kubectl drain` uses it. */
  async function evict({ namespace }: Scene, pod: string): Promise<void> {
    const path = `/api/v1/namespaces/${namespace}/pods/${pod}/eviction`;
    const eviction = {
      apiVersion: "policy/v1",
      kind: "Eviction",
      metadata: { name: pod, namespace },
    };
    await new Promise<void>((resolve, reject) => {
      const child = execFile("kubectl", ["create", "--raw", path, "-f", "-"], (error) =>
        error ? reject(error) : resolve(),
      );
      child.stdin?.end(JSON.stringify(eviction));
    });
  }

  for (const [how, act] of [
    [
      "deleted",
      ({ namespace }: Scene) => kubectl("delete", "pod", "web", "-n", namespace, "--wait=false"),
    ],
    ["evicted", (scene: Scene) => evict(scene, "web")],
  ] as const) {
    test(`a pod by its own name is ${how}: the session is lost, and says so`, async (t) => {
      const scene = await stage.scene(`pod-${how}`);
      t.after(() => scene.stop());
      const inpod = await scene.started();
      await act(scene);
      const { code, stderr } = await inpod.done;
      assert.match(stderr, /the session is lost for good: pod\/web was deleted/);
      assert.equal(code, 5, stderr);
      await scene.untilGone();
      seen(t, "there is no pod", "the program was ended, exit code 5");
    });
  }

  test("its container is killed and started again in place: stolen all the time", async (t) => {
    const scene = await stage.scene("in-place");
    t.after(() => scene.stop());
    const inpod = await scene.started();
    const programs = scene.programs();
    const { uid, address } = await scene.pod();
    kill9(...processesOfPod(uid).filter((pid) => commandOf(pid).includes("HOSTNAME")));
    await inpod.says(/the target does not run/);
    const meanwhile = await scene.ask(address);
    assert.match(meanwhile, /^local /);
    await inpod.says(/the target's container restarted/);
    const backAfter = await scene.untilAllIsWell();
    assert.deepEqual(scene.programs(), programs);
    await scene.end(inpod);
    seen(t, "the program answers", "all is well again after", backAfter);
  });

  for (const [how, act] of [
    [
      "rolled out",
      ({ namespace }: Scene) => kubectl("rollout", "restart", "deployment/web", "-n", namespace),
    ],
    ["evicted", async (scene: Scene) => evict(scene, (await scene.pod()).name)],
    [
      "deleted at once",
      async (scene: Scene) => {
        const { name } = await scene.pod();
        const now = ["--force", "--grace-period=0"];
        await kubectl("delete", "pod", name, "-n", scene.namespace, ...now);
      },
    ],
  ] as const) {
    test(`the pod of a deployment is ${how}: the session goes on in the next pod`, async (t) => {
      const scene = await stage.scene(`next-${how.replaceAll(" ", "-")}`, { isDeployment: true });
      t.after(() => scene.stop());
      const inpod = await scene.started();
      const programs = scene.programs();
      const first = await scene.pod();
      await act(scene);
      await inpod.says(
        /pod\/web-\S+ (is being deleted|was deleted|has ended).*next pod of deployment\/web/,
      );
      await inpod.says(/the connection to the agent is back/);
      const now = await waitFor("the next pod", async () => {
        const pod = await scene.pod();
        return pod.uid === first.uid ? undefined : pod;
      });
      const backAfter = await scene.until(
        new RegExp(`^local \\d+ reads ${now.name} reaches peer$`),
      );
      assert.deepEqual(scene.programs(), programs);
      await scene.end(inpod);
      seen(t, "the next pod answers", "all is well again after", backAfter);
    });
  }

  test("a deployment is scaled to zero, and to one again: the session waits for its pod", async (t) => {
    const scene = await stage.scene("zero", { isDeployment: true });
    t.after(() => scene.stop());
    const inpod = await scene.started();
    const programs = scene.programs();
    const scale = (replicas: number): Promise<string> =>
      kubectl("scale", "deployment/web", `--replicas=${replicas}`, "-n", scene.namespace);
    await scale(0);
    await inpod.says(/deployment\/web is scaled to zero/);
    await scale(1);
    await inpod.says(/the connection to the agent is back/);
    const backAfter = await scene.untilAllIsWell();
    assert.deepEqual(scene.programs(), programs);
    await scene.end(inpod);
    seen(t, "there is no pod", "all is well again after", backAfter);
  });

  test("a deployment is scaled to zero and stays there: the session is lost after two minutes, and says why", async (t) => {
    const scene = await stage.scene("gone", { isDeployment: true });
    t.after(() => scene.stop());
    const inpod = await scene.started();
    await kubectl("scale", "deployment/web", "--replicas=0", "-n", scene.namespace);
    const { code, stderr } = await inpod.done;
    assert.match(stderr, /the session is lost for good: deployment\/web is scaled to zero/);
    assert.equal(code, 5, stderr);
    await scene.untilGone();
    seen(t, "there is no pod", "the program was ended, exit code 5");
  });
}

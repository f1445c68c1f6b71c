/** What a target's owners allow holds, and who was there can be seen in its events. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { runInpod, startInpod } from "./support/inpod.ts";
import { apply, inventory, kubectl, onCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { BUSYBOX, runPod } from "./support/pods.ts";

describe("policy and audit", onCluster, () => {
  const namespace = useNamespace("inpod-policy");
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-"));
  after(() => rmSync(folder, { recursive: true }));

  before(async () => {
    await apply({
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "guarded", namespace },
      spec: {
        selector: { matchLabels: { app: "guarded" } },
        template: {
          metadata: { labels: { app: "guarded" } },
          spec: {
            terminationGracePeriodSeconds: 0,
            containers: [
              {
                name: "app",
                image: BUSYBOX,
                command: ["sleep", "3600"],
                env: [
                  { name: "DB_PASSWORD", value: "hunter2" },
                  { name: "GREETING", value: "hello" },
                ],
              },
            ],
          },
        },
      },
    });
    await kubectl("rollout", "status", "deployment/guarded", "-n", namespace, "--timeout=60s");
    await runPod({ namespace, name: "web", command: ["sleep", "3600"] });
    writeFileSync(
      join(folder, "server.cjs"),
      'require("http").createServer((q, r) => r.end("x")).listen(8088, () => console.log("up"));\n',
    );
  });

  const annotate = (what: string, policy: string): Promise<string> =>
    kubectl("annotate", what, `inpod.dev/policy=${policy}`, "--overwrite", "-n", namespace);
  const exec = (target: string, ...command: string[]) =>
    runInpod(["exec", "-t", target, "-n", namespace, ...command]);

  test("what a workload's annotation forbids is refused before anything is made, and says who forbids it", async () => {
    await annotate("deployment/guarded", "no-steal; deny-env=DB_*");
    const before = await inventory(namespace);
    const ran = await exec("deployment/guarded", "--steal", "--", "true");
    assert.equal(ran.code, 4, ran.stderr);
    assert.match(ran.stderr, /may not be stolen/);
    assert.match(ran.stderr, /inpod\.dev\/policy of deployment\/guarded says no-steal/);
    assert.deepEqual(await inventory(namespace), before);
  });

  test("a hidden variable does not come, by whichever name of the target", async () => {
    const { stdout: pods } = {
      stdout: await kubectl("get", "pods", "-l", "app=guarded", "-n", namespace, "-o", "name"),
    };
    for (const target of ["deployment/guarded", pods.trim()]) {
      const ran = await exec(target, "--", "sh", "-c", "echo $GREETING-$DB_PASSWORD-");
      assert.equal(ran.stdout, "hello--\n", ran.stderr);
      assert.match(ran.stderr, /1 variable is hidden by inpod\.dev\/policy/);
    }
  });

  test("the namespace's annotation counts as well, and the stricter of two holds", async () => {
    await kubectl(
      "annotate",
      "namespace",
      namespace,
      "inpod.dev/policy=steal-with-filter-only",
      "--overwrite",
    );
    try {
      const ran = await exec("pod/web", "--steal", "--", "true");
      assert.equal(ran.code, 4, ran.stderr);
      assert.match(
        ran.stderr,
        new RegExp(`of namespace "${namespace}" says steal-with-filter-only`),
      );
      assert.match(
        (await exec("deployment/guarded", "--steal", "--", "true")).stderr,
        /says no-steal/,
      );
    } finally {
      await kubectl("annotate", "namespace", namespace, "inpod.dev/policy-");
    }
  });

  test("a policy that is not understood ends the session before it begins", async () => {
    await annotate("pod/web", "no-stealing");
    try {
      const ran = await exec("pod/web", "--", "true");
      assert.equal(ran.code, 4, ran.stderr);
      assert.match(ran.stderr, /"no-stealing" is none of no-steal/);
    } finally {
      await kubectl("annotate", "pod/web", "inpod.dev/policy-", "-n", namespace);
    }
  });

  test("the target's events tell who began a session, what was taken and when it ended", async () => {
    const inpod = startInpod(
      ["exec", "-t", "pod/web", "-n", namespace, "--steal", "--", "node", "server.cjs"],
      { cwd: folder },
    );
    await inpod.says(/^up$/m);
    const events = async () => {
      const list = JSON.parse(
        await kubectl(
          ...["get", "events.events.k8s.io", "-n", namespace, "-o", "json"],
          ...["-l", "app.kubernetes.io/managed-by=inpod"],
        ),
      ) as { items: { reason: string; note: string; regarding: { name: string } }[] };
      return list.items.filter(({ regarding }) => regarding.name === "web");
    };
    await waitFor("the port to be told of", async () =>
      (await events()).some(({ note }) => /takes the traffic of port 8088/.test(note))
        ? true
        : undefined,
    );
    inpod.interrupt();
    await inpod.done;
    const told = (await events()).map(({ reason }) => reason).sort();
    assert.deepEqual(told, ["InpodSessionEnded", "InpodSessionStarted", "InpodTrafficTaken"]);
    for (const { note } of await events())
      assert.match(note, /^kubernetes-admin |^\S+ (runs|takes|ended)/);
    assert.match(await kubectl("describe", "pod", "web", "-n", namespace), /InpodSessionStarted/);
  });

  test("where owners do not want copies to be made nothing comes in, and the program runs", async () => {
    await annotate("pod/web", "no-mirror");
    try {
      const ran = await exec("pod/web", "--", "sh", "-c", "echo ran");
      assert.equal(ran.stdout, "ran\n", ran.stderr);
      assert.match(
        ran.stderr,
        /nothing comes in from the pod: inpod\.dev\/policy of .* says no-mirror/,
      );
    } finally {
      await kubectl("annotate", "pod/web", "inpod.dev/policy-", "-n", namespace);
    }
  });
});

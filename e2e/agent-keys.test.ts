/** Every key of `agent` where it takes effect: in the objects that are made, and in the agent that runs. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { newSessionKey } from "@inpod/session";
import { openKubernetes } from "@inpod/targets";
import { startCountingProxy } from "./support/counting-proxy.ts";
import { type Running, startInpod } from "./support/inpod.ts";
import { apply, inventory, kubectl, onCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { BUSYBOX, runPod } from "./support/pods.ts";

describe("keys of the agent on a cluster", onCluster, () => {
  const namespace = useNamespace("inpod-agent-keys");
  const agents = useNamespace("inpod-agent-keys-agents");
  const folder = mkdtempSync(join(tmpdir(), "inpod-agent-keys-"));
  after(() => rmSync(folder, { recursive: true }));

  before(async () => {
    await runPod({ namespace, name: "web", command: ["sleep", "3600"] });
    await apply({
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "agent", namespace },
    });
  });

  async function withAgent(
    agent: object,
    args: readonly string[],
    look: (inpod: Running) => Promise<void>,
  ): Promise<void> {
    const file = join(folder, `${Math.random().toString(36).slice(2)}.json`);
    writeFileSync(file, JSON.stringify({ agent }));
    const inpod = startInpod([
      ...["exec", "-f", file, "-n", namespace, ...args],
      ...["--", "sh", "-c", "echo in; exec sleep 60"],
    ]);
    try {
      await inpod.says(/^in$/m);
      await look(inpod);
    } finally {
      const { exitCode, signalCode } = inpod.child;
      if (exitCode === null && signalCode === null) inpod.interrupt();
      await inpod.done;
    }
  }
  const only = async (kind: string, where = namespace) => {
    const { items } = JSON.parse(
      await kubectl(
        ...["get", kind, "-n", where, "-l", "app.kubernetes.io/managed-by=inpod", "-o", "json"],
      ),
    );
    // One that is being deleted is the last session's.
    const there = items.filter(
      (each: { metadata: { deletionTimestamp?: string } }) => !each.metadata.deletionTimestamp,
    );
    assert.equal(there.length, 1);
    return there[0];
  };
  const asBefore = (where: string, found: readonly string[]) =>
    waitFor(`${where} to be as before`, async () =>
      (await inventory(where)).join() === found.join() ? true : undefined,
    );

  test("a job has what the configuration says, and inpod's own labels stay inpod's", async () => {
    const agent = {
      labels: { "example.com/team": "shop", "inpod.dev/session": "forged" },
      annotations: { "example.com/note": "any text", "inpod.dev/owner": "forged" },
      resources: { requests: { memory: "32Mi" }, limits: { memory: "96Mi" } },
      service_account: "agent",
      priority_class: "system-node-critical",
      image_pull_policy: "IfNotPresent",
      image_pull_secrets: ["registry"],
      tolerations: [{ key: "example.com/gpu", operator: "Exists" }],
      disabled_capabilities: ["NET_RAW"],
      security_context: { seccomp_profile: { type: "Unconfined" } },
      disable_mesh_sidecar_injection: false,
      ttl: 7,
    };
    await withAgent(agent, ["-t", "pod/web"], async () => {
      const [job, pod] = [await only("job"), await only("pod")];
      for (const { metadata } of [job, pod]) {
        assert.equal(metadata.labels["example.com/team"], "shop");
        assert.match(metadata.labels["inpod.dev/session"], /^[0-9a-f]{10}$/);
        assert.equal(metadata.annotations["example.com/note"], "any text");
        assert.notEqual(metadata.annotations["inpod.dev/owner"], "forged");
        assert.ok(metadata.annotations["inpod.dev/owner"]);
        assert.ok(Date.parse(metadata.annotations["inpod.dev/deadline"]) > Date.now());
      }
      assert.equal(pod.metadata.labels["sidecar.istio.io/inject"], undefined);
      assert.equal(job.spec.ttlSecondsAfterFinished, 7);
      const { spec } = pod;
      assert.equal(spec.serviceAccountName, "agent");
      assert.equal(spec.automountServiceAccountToken, false);
      assert.equal(spec.priorityClassName, "system-node-critical");
      assert.deepEqual(spec.imagePullSecrets, [{ name: "registry" }]);
      assert.ok(
        spec.tolerations.some(({ key }: { key?: string }) => key === "example.com/gpu"),
        "the user's, with what the cluster adds itself",
      );
      assert.ok(
        !spec.tolerations.some(({ key, effect }: Record<string, string>) => !key && !effect),
      );
      const [container] = spec.containers;
      assert.equal(container.imagePullPolicy, "IfNotPresent");
      assert.equal(container.resources.requests.memory, "32Mi");
      assert.equal(container.resources.limits.memory, "96Mi");
      assert.equal(container.securityContext.seccompProfile.type, "Unconfined");
      assert.ok(!container.securityContext.capabilities.add.includes("NET_RAW"));
      assert.ok(container.securityContext.capabilities.add.includes("NET_ADMIN"));
    });
  });

  test("privileged gives every right, and a right that is taken away is missed by name", async () => {
    await withAgent({ privileged: true }, ["-t", "pod/web"], async () => {
      const { spec } = await only("pod");
      assert.equal(spec.containers[0].securityContext.privileged, true);
    });
    await withAgent({ disabled_capabilities: ["NET_ADMIN"] }, ["-t", "pod/web"], async (inpod) => {
      assert.match(inpod.output(), /agent: a job: stealing is not available because .*NET_ADMIN/);
    });
  });

  test("without a target the node is the scheduler's choice, among those that were asked for", async () => {
    const nodes = (await kubectl("get", "nodes", "-o", "name")).trim().split("\n");
    const node = nodes.at(-1)?.replace("node/", "") ?? "";
    const hostname = { "kubernetes.io/hostname": node };
    await withAgent({ node_selector: hostname }, ["-t", "targetless"], async () => {
      const { spec } = await only("pod");
      assert.deepEqual([spec.nodeSelector, spec.nodeName], [hostname, node]);
      assert.equal(spec.hostPID, undefined);
      assert.deepEqual(spec.containers[0].securityContext.capabilities, { drop: ["ALL"] });
    });
  });

  /** The node tells the cluster up to a second after the agent's first answer, and gives no log before. */
  const log = async (): Promise<string[]> => {
    const { metadata } = await only("pod");
    const text = await waitFor("the agent's log to be had", () =>
      kubectl("logs", metadata.name, "-n", namespace).catch(() => undefined),
    );
    return text.trim().split("\n");
  };

  test("the agent's log is lines for people or JSON, of the level that is asked for", async () => {
    await withAgent({}, ["-t", "pod/web"], async () => {
      const lines = await log();
      for (const line of lines) assert.match(line, /^\d{4}-[\d-]+T[\d:.]+Z [A-Z]+ \S/);
      assert.ok(lines.some((line) => / INFO session session=\w+/.test(line)));
    });
    await withAgent({ json_log: true, log_level: "debug" }, ["-t", "pod/web"], async () => {
      const events = (await log()).map((line) => JSON.parse(line));
      assert.ok(events.some(({ event, level }) => event === "session" && level === "info"));
    });
    await withAgent({ log_level: "error" }, ["-t", "pod/web"], async () => {
      assert.deepEqual(await log(), [""]);
    });
  });

  test("metrics are served in the agent's own network, and nowhere unless asked for", async () => {
    /** The node tells the cluster up to a second after the agent's first answer. */
    const address = (): Promise<string> =>
      waitFor(
        "the agent's address",
        async () => (await only("pod")).status.podIP as string | undefined,
      );
    const scrape = (host: string): Promise<string> =>
      kubectl("exec", "web", "-n", namespace, "--", "wget", "-qO-", `http://${host}:9123/metrics`);
    await withAgent({ metrics: "0.0.0.0:9123" }, ["-t", "pod/web"], async () => {
      const text = await scrape(await address());
      assert.match(text, /^inpod_agent_sessions 1$/m);
      assert.match(text, /^inpod_agent_received_bytes_total [1-9]\d*$/m);
      assert.match(text, /^inpod_agent_stolen_connections_total 0$/m);
      await assert.rejects(scrape("127.0.0.1"), /refused/, "not in the target's network");
    });
    await withAgent({}, ["-t", "pod/web"], async () => {
      await assert.rejects(scrape(await address()), /refused/);
    });
  });

  test("in a namespace of its own the agent has no owner, names its target, and learns of its end", async () => {
    const found = await inventory(agents);
    await runPod({ namespace, name: "short", command: ["sleep", "3600"] });
    await withAgent({ namespace: agents }, ["-t", "pod/short"], async (inpod) => {
      const { metadata } = await only("job", agents);
      assert.equal(metadata.labels["inpod.dev/target"], "short");
      assert.equal(metadata.labels["inpod.dev/target-namespace"], namespace);
      assert.equal(metadata.ownerReferences, undefined);
      await kubectl("delete", "pod", "short", "-n", namespace, "--wait=false");
      await inpod.says(
        /the target does not run|was deleted|the target has ended|the target is gone|lost for good/,
      );
    });
    await asBefore(agents, found);
  });

  test("at its deadline the agent ends itself, whoever speaks with it", async () => {
    const found = await inventory(namespace);
    const target = await openKubernetes({
      target: { kind: "pod", name: "web", container: undefined },
      namespace,
      agent: { image: process.env.INPOD_AGENT_IMAGE ?? "inpod/agent:0.1.0", deadlineSeconds: 8 },
    });
    const { publicKey, sessionId } = newSessionKey();
    const agent = await target.place({
      publicKey,
      sessionId,
      startupTimeoutMs: 30_000,
      idleTimeoutMs: 300_000,
      communicationTimeoutMs: 300_000,
      signal: AbortSignal.timeout(60_000),
      onProgress: () => {},
    });
    assert.match(await agent.gone, /ended|deleted/);
    await asBefore(namespace, found);
    await agent.remove();
    target.close();
  });

  test("no rung takes more than 15 requests, and none asks again while it is idle", async (t) => {
    const proxy = await startCountingProxy();
    t.after(() => proxy.close());
    const kubeconfig = join(folder, "counted");
    for (const command of [
      ["set-cluster", "counted", `--server=${proxy.url}`],
      ["set-context", "counted", "--cluster=counted"],
      ["use-context", "counted"],
    ])
      await kubectl("config", ...command, `--kubeconfig=${kubeconfig}`);
    await runPod({ namespace, name: "counted", image: BUSYBOX, command: ["sleep", "3600"] });
    for (const args of [
      ["-t", "pod/counted"],
      ["-e", "-t", "pod/counted"],
      ["-t", "targetless"],
    ]) {
      proxy.requests.length = 0;
      const at = ["--kubeconfig", kubeconfig, ...args];
      await withAgent({}, at, async () => {
        // The watches of a session that has just begun may be on their way.
        await new Promise((resolve) => setTimeout(resolve, 2_000));
        const started = proxy.requests.length;
        t.diagnostic(`${args.join(" ")}: ${started} requests to start`);
        assert.ok(started >= 4 && started <= 15, proxy.requests.join("\n"));
        // An idle while is a length of time: there is no event that ends it.
        await new Promise((resolve) => setTimeout(resolve, 5_000));
        assert.deepEqual(proxy.requests.slice(started), []);
      });
    }
  });
});

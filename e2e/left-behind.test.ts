/** `inpod clean` and `inpod verify`: what nobody holds goes, what somebody holds stays. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { newSessionKey } from "@inpod/session";
import { openKubernetes, type PodPath } from "@inpod/targets";
import { parseTarget } from "@inpod/targets/path";
import { AGENT_IMAGE } from "./support/images.ts";
import { runInpod, startInpod } from "./support/inpod.ts";
import { inventory, kubectl, onCluster, untilInventoryIs } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { runPod } from "./support/pods.ts";

describe("what sessions leave", onCluster, () => {
  const namespace = useNamespace("inpod-left");
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-"));
  after(() => rmSync(folder, { recursive: true }));
  let found: string[] = [];

  before(async () => {
    await runPod({ namespace, name: "web", command: ["sleep", "3600"] });
    found = await inventory(namespace);
  });

  const clean = (...flags: string[]) => runInpod(["clean", "-n", namespace, ...flags]);
  const verify = (...flags: string[]) => runInpod(["verify", "-n", namespace, ...flags]);
  /** Of the cluster alone: other things may be tested on this machine at the same time. */
  async function verified(...flags: string[]) {
    const ran = await verify("-o", "json", ...flags);
    const all = JSON.parse(ran.stdout) as {
      where: string;
      what: string;
      verdict: string;
      why: string;
    }[];
    return { ran, all, findings: all.filter(({ where }) => where === "cluster") };
  }
  const untilAsBefore = (): Promise<unknown> => untilInventoryIs(namespace, found);

  /** An agent that no session has ever spoken with, as one whose developer's machine went away. */
  async function abandoned(): Promise<string> {
    const key = newSessionKey();
    const target = await openKubernetes({
      target: parseTarget("pod/web") as PodPath,
      namespace,
      agent: { image: AGENT_IMAGE },
    });
    await target.place({
      publicKey: key.publicKey,
      sessionId: key.sessionId,
      startupTimeoutMs: 60_000,
      idleTimeoutMs: 600_000,
      communicationTimeoutMs: 600_000,
      signal: new AbortController().signal,
      onProgress: () => {},
    });
    target.close();
    return `inpod-${key.sessionId}`;
  }

  /** As if its start were long ago. */
  const age = (job: string): Promise<string> =>
    kubectl(
      ...["annotate", "job", job, "-n", namespace, "--overwrite"],
      "inpod.dev/starts-until=2026-01-01T00:00:00Z",
    );

  test("in a namespace without inpod there is nothing to clean, and nothing is left", async () => {
    const cleaned = await clean();
    assert.equal(cleaned.code, 0, cleaned.stderr);
    assert.match(cleaned.stdout, /^nothing of inpod is in namespace/);
    const { findings, ran } = await verified();
    assert.deepEqual(findings, [], ran.stdout);
  });

  test("a live session is named and left alone; then nothing is left of it", async () => {
    const before = join(folder, "before.json");
    await verify("--save", before);
    const inpod = startInpod([
      "exec",
      "-t",
      "pod/web",
      "-n",
      namespace,
      "--",
      "sh",
      "-c",
      "echo up; exec sleep 100",
    ]);
    await inpod.says(/^up$/m);
    const cleaned = await clean();
    assert.match(
      cleaned.stdout,
      /^kept job\/inpod-\S+ in namespace .* \(for pod\/web.*: 1 session\n$/,
    );
    const { findings, all } = await verified();
    assert.deepEqual(
      findings.map(({ what, verdict }) => `${verdict} ${what.replace(/-[0-9a-f]+ .*/, "")}`),
      ["held job/inpod"],
    );
    assert.ok(
      all.some(({ what, verdict }) => verdict === "held" && /^process \d+ \(sleep\)$/.test(what)),
      JSON.stringify(all),
    );
    inpod.interrupt();
    await inpod.done;
    await untilAsBefore();
    assert.deepEqual((await verified("--since", before)).findings, []);
  });

  test("an agent that no session holds goes, but not while its first may still come", async () => {
    const job = await abandoned();
    assert.match((await clean()).stdout, /^kept job.*it waits for its first session/);
    await age(job);
    const left = await verify();
    assert.equal(left.code, 1, "something is left");
    assert.match(left.stdout, new RegExp(`left behind:\\n(.*\\n)* {2}job/${job} .*no session`));
    assert.match((await clean("--dry-run")).stdout, /^would remove job/);
    assert.notDeepEqual(await inventory(namespace), found);
    const [outcome] = JSON.parse((await clean("-o", "json")).stdout);
    assert.deepEqual([outcome.name, outcome.verdict, outcome.action], [job, "left", "removed"]);
    await untilAsBefore();
  });

  test("who may not list is told which right is missing", async () => {
    const ran = await runInpod(["clean", "-n", namespace, "--kubeconfig", join(folder, "none")]);
    assert.equal(ran.code, 4, ran.stderr);
    assert.match(ran.stderr, /cannot use the kubeconfig/);
  });
});

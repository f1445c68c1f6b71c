/** `inpod doctor --print-policy`, applied: where the namespace says so, nobody takes or copies traffic; everything else goes on. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { runInpod } from "./support/inpod.ts";
import { kubectl, noCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { BUSYBOX, runPod } from "./support/pods.ts";

describe("the wall behind no-steal and no-mirror", { skip: noCluster, timeout: 180_000 }, () => {
  const namespace = useNamespace("inpod-wall");
  const folder = mkdtempSync(join(tmpdir(), "inpod-wall-"));
  after(() => rmSync(folder, { recursive: true }));
  /** As printed, but for this run: other scenarios share the cluster. */
  const name = `inpod-wall-${namespace}`;

  const withPod = (spec: object) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "probe", namespace },
    spec,
  });
  const container = (more: object = {}) => ({ name: "app", image: BUSYBOX, ...more });
  const adding = (...add: string[]) => ({ securityContext: { capabilities: { add } } });

  /** What the API server says to it, in a dry run; "" if it takes it. */
  async function refusalOf(spec: object): Promise<string> {
    const overrides = JSON.stringify(withPod(spec));
    return kubectl(
      ...["run", "probe", "-n", namespace, `--image=${BUSYBOX}`, "--dry-run=server", "-o", "name"],
      `--overrides=${overrides}`,
    ).then(
      () => "",
      (error: unknown) => String(error),
    );
  }

  before(async () => {
    const { code, stdout } = await runInpod(["doctor", "--print-policy"]);
    assert.equal(code, 0);
    await runPod({ namespace, name: "orders", command: ["sleep", "1000"] });
    await kubectl("annotate", "namespace", namespace, "inpod.dev/policy=read-only-files; no-steal");
    const objects = stdout
      .replaceAll("inpod-wall", name)
      .replace(
        "validationActions: [Deny]",
        `validationActions: [Deny]\n  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ${namespace}}}}`,
      );
    const file = join(folder, "wall.yaml");
    writeFileSync(file, objects);
    await kubectl("apply", "-f", file);
    const taking = { hostPID: true, containers: [container(adding("SYS_ADMIN"))] };
    await waitFor("the policy to hold", async () =>
      /no-steal, and this pod/.test(await refusalOf(taking)) ? true : undefined,
    );
  });
  after(() =>
    kubectl(
      ...["delete", "--ignore-not-found"],
      `validatingadmissionpolicybinding/${name}`,
      `validatingadmissionpolicy/${name}`,
    ),
  );

  test("pods with rights over the node's processes or network are refused, whatever they are called", async () => {
    const words = /policy of this namespace \(inpod\.dev\/policy\) is no-steal/;
    for (const spec of [
      { hostPID: true, containers: [container(adding("NET_ADMIN"))] },
      { hostPID: true, containers: [container(adding("sys_admin"))] },
      { hostPID: true, containers: [container(adding("CAP_SYS_PTRACE"))] },
      { hostPID: true, containers: [container({ securityContext: { privileged: true } })] },
      { hostNetwork: true, containers: [container(adding("ALL"))] },
      {
        hostPID: true,
        initContainers: [{ ...container(adding("NET_ADMIN")), name: "first" }],
        containers: [container()],
      },
    ])
      assert.match(await refusalOf(spec), words, JSON.stringify(spec));
  });

  test("pods without such rights, or with them over their own network only, are let in", async () => {
    for (const spec of [
      { containers: [container()] },
      { hostPID: true, containers: [container()] },
      { hostNetwork: true, containers: [container({ securityContext: { runAsUser: 1 } })] },
      // What injects a mesh's proxy does this in the pod's own network.
      {
        initContainers: [{ ...container(adding("NET_ADMIN", "NET_RAW")), name: "init" }],
        containers: [container()],
      },
    ])
      assert.equal(await refusalOf(spec), "", JSON.stringify(spec));
  });

  test("debugging containers with rights are refused, and those without are let in", async () => {
    const add = (name: string, securityContext: object): Promise<string> =>
      kubectl(
        ...["patch", "pod", "orders", "-n", namespace, "--subresource=ephemeralcontainers"],
        "--type=strategic",
        `-p=${JSON.stringify({ spec: { ephemeralContainers: [{ name, image: BUSYBOX, securityContext }] } })}`,
      );
    await assert.rejects(
      add("strong", { capabilities: { add: ["NET_ADMIN"] } }),
      /could take the pod's traffic/,
    );
    await add("weak", {});
    await assert.rejects(add("strong", { privileged: true }), /could take the pod's traffic/);
  });

  test("inpod's agent is refused like any other, and doctor says what is left", async () => {
    const { code, stdout } = await runInpod(["doctor", "-t", "pod/orders", "-n", namespace]);
    assert.equal(code, 5, stdout);
    assert.match(stdout, /\[agent-policy\]/);
    assert.match(stdout, /is no-steal, and this pod could take the traffic of others/);
    assert.match(stdout, /an unprivileged ephemeral container, which the cluster takes/);
    assert.match(stdout, /inpod\.dev\/policy of namespace "\S+" says no-steal;read-only-files/);
  });

  test("where the namespace says no-mirror, nobody listens to the network of others", async () => {
    const says = (policy: string): Promise<string> =>
      kubectl("annotate", "namespace", namespace, `inpod.dev/policy=${policy}`, "--overwrite");
    const dropping = (...drop: string[]) => ({ securityContext: { capabilities: { drop } } });
    const inNodesNetwork = { hostNetwork: true, containers: [container()] };
    assert.equal(await refusalOf(inNodesNetwork), "");
    await says("no-mirror");
    await waitFor("the policy to hold", async () =>
      /no-mirror, and this pod could copy/.test(await refusalOf(inNodesNetwork)) ? true : undefined,
    );
    for (const spec of [
      { hostPID: true, containers: [container(adding("SYS_ADMIN"))] },
      { hostNetwork: true, containers: [container(dropping("CHOWN"))] },
      {
        hostNetwork: true,
        containers: [
          container({
            securityContext: { capabilities: { drop: ["ALL"], add: ["cap_net_raw"] } },
          }),
        ],
      },
    ])
      assert.match(await refusalOf(spec), /is no-mirror, and this pod could copy/);
    for (const spec of [
      { containers: [container()] },
      { hostPID: true, containers: [container()] },
      { hostNetwork: true, containers: [container(dropping("NET_RAW"))] },
      { hostNetwork: true, containers: [container(dropping("all"))] },
    ])
      assert.equal(await refusalOf(spec), "", JSON.stringify(spec));
    const add = (which: string, securityContext: object): Promise<string> =>
      kubectl(
        ...["patch", "pod", "orders", "-n", namespace, "--subresource=ephemeralcontainers"],
        "--type=strategic",
        `-p=${JSON.stringify({ spec: { ephemeralContainers: [{ name: which, image: BUSYBOX, securityContext }] } })}`,
      );
    await assert.rejects(add("listening", {}), /no-mirror, and this container could copy/);
    await add("deaf", { capabilities: { drop: ["ALL"] } });
    const { code, stdout } = await runInpod(["doctor", "-t", "pod/orders", "-n", namespace]);
    assert.equal(code, 5, stdout);
    assert.match(stdout, /is no-mirror, and this pod could copy the traffic of others/);
  });

  test("without the annotation everything is as before", async () => {
    await kubectl(
      "annotate",
      "namespace",
      namespace,
      "inpod.dev/policy=read-only-files",
      "--overwrite",
    );
    const report = await waitFor("the agent to be let in", async () => {
      const { code, stdout } = await runInpod(["doctor", "-t", "pod/orders", "-n", namespace]);
      return code === 0 ? stdout : undefined;
    });
    assert.match(report, /takes a job/);
  });
});

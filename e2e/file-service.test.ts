/** The file service of an agent in a real pod: its layers, its volumes and the kubelet's own changes. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ATTRIBUTE_FLAGS, type FileEvent, type FileRecord, OPEN_FLAGS } from "@inpod/protocol";
import { newSessionKey } from "@inpod/session";
import { openKubernetes, type PlacedAgent } from "@inpod/targets";
import { connectTunnel, type Tunnel } from "@inpod/tunnel";
import { FileClient, text } from "../packages/agent/test/support/file-client.ts";
import { AGENT_IMAGE } from "./support/images.ts";
import { apply, kubectl, onCluster } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { BUSYBOX } from "./support/pods.ts";

const POD = `
(while sleep 0.2; do echo "from the pod" >> /data/log; done) &
exec sleep 3600`;
const listing = { cookie: 0n, maxEntries: 4000, maxBytes: 2 ** 21, inlineLimit: 65536 };

describe("files of a pod, as its agent serves them", onCluster, () => {
  const namespace = useNamespace("inpod-file-service");
  let target: Awaited<ReturnType<typeof openKubernetes>>;
  let agent: PlacedAgent;
  let tunnel: Tunnel;
  let files: FileClient;

  const config = (key: string): object => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "config", namespace },
    data: { key },
  });

  before(async () => {
    const volumes = [
      { name: "data", emptyDir: {} },
      { name: "small", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
      { name: "config", configMap: { name: "config" } },
    ];
    const container = {
      ...{ name: "app", image: BUSYBOX, command: ["sh", "-c", POD] },
      volumeMounts: volumes.map(({ name }) => ({ name, mountPath: `/${name}` })),
    };
    await apply(config("old"), {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "web", namespace },
      spec: {
        securityContext: { runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000 },
        ...{ terminationGracePeriodSeconds: 0, volumes, containers: [container] },
      },
    });
    await kubectl("wait", "--for=condition=Ready", "pod/web", "-n", namespace, "--timeout=60s");
    const path = { kind: "pod", name: "web", container: undefined } as const;
    target = await openKubernetes({ target: path, namespace, agent: { image: AGENT_IMAGE } });
    const { publicKey, privateKey, sessionId } = newSessionKey();
    agent = await target.place({
      ...{ publicKey, sessionId, startupTimeoutMs: 30_000, idleTimeoutMs: 300_000 },
      ...{ communicationTimeoutMs: 300_000, signal: AbortSignal.timeout(60_000) },
      onProgress: () => {},
    });
    tunnel = await connectTunnel(await agent.dial(AbortSignal.timeout(10_000)), {
      ...{ sessionId, privateKey, build: "test", handlers: { onStream: () => undefined } },
    });
    files = new FileClient(tunnel);
  });
  after(async () => {
    tunnel?.close("over");
    await agent?.remove();
    target?.close();
  });

  const pod = (script: string): Promise<string> =>
    kubectl("exec", "web", "-n", namespace, "--", "sh", "-c", script);
  const told = (directory: string, name: string, what: string) => (event: FileEvent) =>
    event.kind === "invalidate" &&
    event.directory === directory &&
    event.name === name &&
    event.what === what;
  const flags = (records: readonly FileRecord[], path: string): number => {
    const found = records.find((record) => record.path === path);
    return found && found.kind !== "negative" ? found.attributes.flags : -1;
  };

  test("directories of the image's layers are leased; what the kubelet mounts over them is told apart", async () => {
    const etc = await files.ask("list", { path: "/etc", ...listing, lease: true });
    assert.equal(etc.isLeased, true);
    for (const name of ["hosts", "resolv.conf", "hostname"])
      assert.equal(flags(etc.records, name), ATTRIBUTE_FLAGS.unwatched, name);
    const tmp = await files.ask("list", { path: "/", ...listing, lease: true });
    assert.equal(tmp.isLeased, true);
    assert.equal(
      (await files.ask("list", { path: "/proc", ...listing, lease: true })).isLeased,
      false,
    );
    assert.equal(
      (await files.ask("list", { path: "/sys", ...listing, lease: true })).isLeased,
      false,
    );
  });

  test("a log that grows is told, and what is appended to it lands behind the pod's own lines", async () => {
    const { isLeased } = await files.ask("list", { path: "/data", ...listing, lease: true });
    assert.equal(isLeased, true);
    await files.event(told("/data", "log", "changed"));
    const { append, writeOnly } = OPEN_FLAGS;
    await files.ask("open", { handle: 1, path: "/data/log", flags: writeOnly | append, mode: 0 });
    const landed: number[] = [];
    for (let each = 0; each < 20; each++) {
      const content = Buffer.from(`from here ${each}\n`);
      landed.push((await files.ask("write", { handle: 1, offset: 0, content })).offset);
      await files.ask("fstat", { handle: 1 });
    }
    const lines = (await pod("cat /data/log")).split("\n");
    assert.deepEqual(
      lines.filter((line) => !/^(from the pod|from here \d+|)$/.test(line)),
      [],
    );
    assert.equal(lines.filter((line) => line.startsWith("from here")).length, 20);
    assert.deepEqual(
      landed,
      [...landed].sort((one, other) => one - other),
    );
  });

  test("new files are the target's, and its rights, its disk and its volumes say no as in the pod", async () => {
    const flag = OPEN_FLAGS.create | OPEN_FLAGS.readWrite;
    await files.ask("open", { handle: 10, path: "/data/new", flags: flag, mode: 0o640 });
    assert.equal((await pod("stat -c '%a %u %g' /data/new")).trim(), "640 1000 2000");
    const open = (path: string): Promise<unknown> =>
      files.ask("open", { handle: 11, path, flags: flag, mode: 0o644 });
    await assert.rejects(open("/new"), /EACCES/);
    await assert.rejects(open("/config/new"), /EROFS/);
    await files.ask("open", { handle: 12, path: "/small/full", flags: flag, mode: 0o644 });
    const content = new Uint8Array(1 << 20);
    await files.ask("write", { handle: 12, offset: 0, content });
    await assert.rejects(files.ask("write", { handle: 12, offset: 1 << 20, content }), /ENOSPC/);
  });

  test("a ConfigMap that the kubelet swaps is told, and read anew by one request", async () => {
    const chain = { path: "/config/key", inlineLimit: 4096, maxBytes: 65536, lease: true };
    const content = async (): Promise<string | undefined> => {
      const last = (await files.ask("chain", chain)).records.at(-1);
      return last?.kind === "entry" ? text(last.content) : undefined;
    };
    assert.equal(await content(), "old");
    await apply(config("new"));
    // The kubelet looks at once at a pod that was changed, and else within a minute.
    await kubectl("annotate", "pod", "web", "-n", namespace, "seen=now");
    await files.event(told("/config", "..data", "appeared"));
    assert.equal(await content(), "new");
  });
});

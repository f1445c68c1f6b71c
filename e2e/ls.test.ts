/** `inpod ls` on a real cluster. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { ListedTarget } from "@inpod/targets";
import { startCountingProxy } from "./support/counting-proxy.ts";
import { runInpod } from "./support/inpod.ts";
import { apply, kubectl, noCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { BUSYBOX } from "./support/pods.ts";
import { kubeconfigWith, userWith } from "./support/users.ts";
import { cronJob, job, pod, service, workload } from "./support/workloads.ts";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));

describe("inpod ls", { skip: noCluster, timeout: 180_000 }, () => {
  const namespace = useNamespace("inpod-ls");
  const folder = mkdtempSync(join(tmpdir(), "inpod-ls-"));
  after(() => rmSync(folder, { recursive: true }));

  const ls = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await runInpod(["ls", "-n", namespace, ...args]);
    assert.equal(code, 0, stderr);
    assert.equal(stderr, "");
    return stdout;
  };
  const json = async (...args: string[]): Promise<Map<string, ListedTarget>> => {
    const { targets } = JSON.parse(await ls("-o", "json", ...args)) as { targets: ListedTarget[] };
    return new Map(targets.map((target) => [target.path, target]));
  };

  before(async () => {
    const at = (name: string, more: object = {}) => ({ labels: { app: name }, ...more });
    const sleeping = (name: string) => ({ name, image: BUSYBOX, command: ["sleep", "100000"] });
    await apply(
      workload("Deployment", namespace, "orders", at("orders"), { replicas: 2 }),
      workload("Deployment", namespace, "idle", at("idle"), { replicas: 0 }),
      workload("StatefulSet", namespace, "db", at("db"), { replicas: 1 }),
      job(namespace, "over", at("over", { command: ["true"] })),
      cronJob(namespace, "nightly", at("nightly")),
      service(namespace, "web", { selector: { app: "orders" } }),
      service(namespace, "bare", {}),
      pod(namespace, "imageless", {
        ...at("imageless"),
        image: "lab/none:1",
        container: { imagePullPolicy: "Never" },
      }),
      pod(namespace, "meshed", {
        ...at("meshed"),
        pod: { containers: [sleeping("istio-proxy"), sleeping("app")] },
      }),
    );
    await kubectl(
      ...["wait", "--for=condition=Ready", "pod", "-n", namespace, "--timeout=90s"],
      ...["-l", "app in (orders,db,meshed)"],
    );
    await kubectl("wait", "--for=condition=Complete", "job/over", "-n", namespace);
    await waitFor("the image to be missed", async () =>
      (await kubectl("get", "pod", "imageless", "-n", namespace)).includes("ErrImageNeverPull")
        ? true
        : undefined,
    );
  });

  test("-o json: every kind, how many of its pods are ready, and why there is none to use", async () => {
    const targets = await json();
    const brief = (path: string) => {
      const { ready, wanted, isUsable, why } = targets.get(path) ?? assert.fail(`no ${path}`);
      return [`${ready}/${wanted}`, isUsable, why];
    };
    assert.deepEqual(brief("deployment/orders"), ["2/2", true, null]);
    assert.deepEqual(brief("deployment/idle"), ["0/0", false, "it is scaled to zero"]);
    assert.deepEqual(brief("statefulset/db"), ["1/1", true, null]);
    assert.deepEqual(brief("service/web"), ["2/2", true, null]);
    assert.deepEqual(brief("cronjob/nightly"), ["0/0", false, "it has no job yet"]);
    assert.deepEqual(brief("pod/db-0"), ["1/1", true, null]);
    assert.deepEqual(brief("pod/imageless"), ["0/1", false, "it waits: ErrImageNeverPull"]);
    assert.match(String(brief("service/bare")), /^null\/null,false,it has no selector/);
    assert.match(String(brief("job/over")), /^0\/0,false,it ended with code 0 \(Completed\)/);
    assert.ok(![...targets.keys()].some((path) => path.startsWith("replicaset/")));
    const { node, createdAt, containers } = targets.get("pod/meshed") ?? assert.fail();
    assert.match(node ?? "", /./);
    assert.ok(Date.parse(createdAt ?? "") > 0);
    assert.deepEqual(
      containers.map(({ path, isChosen, isSidecar }) => [path, isChosen, isSidecar]),
      [
        ["pod/meshed/container/istio-proxy", false, true],
        ["pod/meshed/container/app", true, false],
      ],
    );
    assert.equal(containers[0]?.image, BUSYBOX);
  });

  test("kinds and labels narrow it; ReplicaSets are listed when they are asked for", async () => {
    assert.deepEqual(
      await ls("deploy,sts", "-o", "name"),
      "deployment/idle\ndeployment/orders\nstatefulset/db\n",
    );
    assert.match(await ls("rs", "-o", "name"), /^replicaset\/idle-\w+\nreplicaset\/orders-\w+\n$/);
    assert.equal(
      await ls("pod", "-l", "app in (db,meshed)", "-o", "name"),
      "pod/db-0\npod/meshed\n",
    );
    assert.equal(
      await ls("container", "-l", "app=meshed", "-o", "name"),
      "pod/meshed/container/istio-proxy\npod/meshed/container/app\n",
    );
  });

  test("the table says it to people, and -A has the namespace", async () => {
    const lines = (await ls()).split("\n");
    assert.match(lines[0] ?? "", /^TARGET +READY +AGE +NODE +CONTAINERS +NOT USABLE BECAUSE$/);
    assert.ok(lines.some((line) => /^deployment\/orders +2\/2 +\d+\w +app$/.test(line)));
    assert.ok(lines.some((line) => /^pod\/meshed +2\/2 .* app,istio-proxy$/.test(line)));
    assert.ok(lines.some((line) => /^deployment\/idle .* it is scaled to zero$/.test(line)));
    const everywhere = await runInpod(["ls", "pod", "-A", "-o", "name"]);
    assert.ok(everywhere.stdout.split("\n").includes(`${namespace}\tpod/db-0`));
  });

  test("nothing and no namespace are told apart", async () => {
    const none = await runInpod(["ls", "-n", namespace, "-l", "app=nobody"]);
    assert.deepEqual([none.code, none.stdout], [0, ""]);
    assert.match(none.stderr, /^inpod: nothing with the labels app=nobody in namespace /);
    const nowhere = await runInpod(["ls", "-n", `${namespace}x`]);
    assert.deepEqual([nowhere.code, nowhere.stdout], [4, ""]);
    assert.match(nowhere.stderr, new RegExp(`did you mean ${namespace}`));
  });

  test("who may list pods only sees those, and is told of the rest; a kind asked for is an error", async () => {
    const kubeconfig = await userWith(folder, namespace, "lister", [
      { apiGroups: [""], resources: ["pods"], verbs: ["list"] },
    ]);
    const args = ["ls", "--kubeconfig", kubeconfig, "-n", namespace];
    const some = await runInpod([...args, "-o", "name"]);
    assert.equal(some.code, 0, some.stderr);
    assert.match(some.stdout, /^(pod\/\S+\n)+$/);
    assert.match(some.stderr, /inpod: deployment: not listed: .*may not list deployments/);
    const refused = await runInpod([...args, "deployment"]);
    assert.equal(refused.code, 4);
    assert.match(
      refused.stderr,
      /ask for this Role[\s\S]*resources: \[deployments\], verbs: \[list\]/,
    );
    const everywhere = await runInpod(["ls", "--kubeconfig", kubeconfig, "-A"]);
    assert.match(everywhere.stderr, /ask for this ClusterRole/);
  });

  test("a shell's completion offers what the cluster has, and asks it once for several Tabs", async (t) => {
    const proxy = await startCountingProxy();
    t.after(() => proxy.close());
    const kubeconfig = await kubeconfigWith(folder, "counted", (config) => {
      for (const { cluster } of config.clusters) {
        cluster.server = proxy.url;
        delete cluster["certificate-authority-data"];
      }
      for (const user of config.users) user.user = {};
    });
    const complete = (...words: string[]) => completeOf("exec", ...words);
    const completeOf = async (command: string, ...words: string[]) => {
      const line = [command, "-n", namespace, ...words];
      const { code, stdout, stderr } = await runInpod(["__complete", "fish", "--", ...line], {
        env: { KUBECONFIG: kubeconfig, XDG_RUNTIME_DIR: folder },
      });
      assert.deepEqual([code, stderr], [0, ""]);
      return stdout.split("\n").slice(1, -1);
    };
    assert.deepEqual(await complete("-t", "deployment/"), ["deployment/idle", "deployment/orders"]);
    const { length } = proxy.requests;
    assert.equal(length, 1, proxy.requests.join());
    assert.deepEqual(await complete("--target=deployment/o"), ["--target=deployment/orders"]);
    assert.equal(proxy.requests.length, length);
    assert.deepEqual(await complete("-t", "pod/meshed/"), ["pod/meshed/container/"]);
    assert.deepEqual(await complete("-t", "pod/meshed/container/"), [
      "pod/meshed/container/istio-proxy",
      "pod/meshed/container/app",
    ]);
    assert.deepEqual(await complete("-t", "cronjob/nightly/container/"), [
      "cronjob/nightly/container/app",
    ]);
    assert.deepEqual(await complete("-t", "label/app=me"), ["label/app=meshed"]);
    assert.deepEqual(await complete("-t", "label/app=db,app=m"), ["label/app=db,app=meshed"]);
    assert.ok((await complete("-n", namespace.slice(0, 9))).includes(namespace));
    const services = ["bare", "web"];
    assert.deepEqual(await completeOf("recover", ""), services);
    for (const command of ["exchange", "mesh"]) {
      const offered = await completeOf(command, "");
      assert.deepEqual(offered.slice(0, services.length + 1), [...services, "pod/"]);
      assert.ok(offered.includes("deployment/"));
    }
    assert.deepEqual(await completeOf("exchange", "deployment/o"), ["deployment/orders"]);
  });

  test("it works with Node alone: without the tap, the layer, and Linux", () => {
    const bare = join(folder, "dist");
    const files = readdirSync(dist).filter((name) => /^cli.*\.js$/.test(name));
    // The addon is loaded by the chunk that has its name in it, and the layer is there too.
    const isTap = (name: string) => readFileSync(join(dist, name), "utf8").includes("tap.node");
    const kept = files.filter((name) => !isTap(name));
    assert.ok(kept.length < files.length && kept.includes("cli.js"), files.join());
    spawnSync("mkdir", [bare]);
    for (const name of kept) copyFileSync(join(dist, name), join(bare, name));
    const alone = `Object.defineProperty(process, "platform", { value: "darwin" }); process.dlopen = () => { throw new Error("a .node file was loaded"); };`;
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [
        ...["--import", `data:text/javascript,${encodeURIComponent(alone)}`],
        ...[join(bare, "cli.js"), "ls", "statefulset", "-n", namespace, "-o", "name"],
      ],
      { encoding: "utf8", timeout: 60_000 },
    );
    assert.deepEqual([status, stdout, stderr], [0, "statefulset/db\n", ""]);
  });
});

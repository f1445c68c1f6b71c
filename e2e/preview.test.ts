/** `inpod preview`: a new Service whose requests ports of this machine answer, and nothing of it afterwards. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { type Running, runInpod } from "./support/inpod.ts";
import { kubectl, onCluster, waitFor } from "./support/kubectl.ts";
import { askService, often, useDevServer, useService } from "./support/service-modes.ts";
import { userWith } from "./support/users.ts";

describe("preview", onCluster, () => {
  const folder = mkdtempSync(join(tmpdir(), "inpod-preview-"));
  /** Of who may only look. */
  let kubeconfig = "";
  const scene = useService("inpod-preview", async (namespace) => {
    kubeconfig = await userWith(folder, namespace, "watcher", [
      { apiGroups: [""], resources: ["pods", "services"], verbs: ["get", "list", "watch"] },
    ]);
  });
  const { namespace } = scene;
  const server = useDevServer();
  after(() => rmSync(folder, { recursive: true, force: true }));

  const preview = async (...flags: string[]): Promise<Running> => {
    const ports = `${server.http}:80,${server.echo}:81,${server.http}:82`;
    const run = scene.start("preview", "web-v2", "--expose", ports, ...flags);
    await run.says(/until Ctrl-C/);
    return run;
  };
  const untilHere = (): Promise<unknown> =>
    waitFor("the new Service to lead here", async () => {
      const answers = await askService(
        namespace,
        "web-v2",
        ...often(["http"]),
        ["raw"],
        ["http2"],
        ["raw"],
      ).catch((): string[] => []); // it goes with a pod that is lost, and comes with the next one
      const wanted = [
        ...often(["http"]).map(() => "200 I am here: /"),
        ...["hello", "200 I am here: /", "hello"],
      ];
      return answers.join() === wanted.join() ? true : undefined;
    });

  test("HTTP/1, raw TCP and HTTP/2 of a client on the other node come here; when its pod is lost, too; and it goes with Ctrl-C", async () => {
    const run = await preview("--external");
    assert.match(run.output(), new RegExp(`what is sent to web-v2\\.${namespace}:80 comes to`));
    assert.match(run.output(), /has been asked for an external address/);
    const type = ["get", "service", "web-v2", "-n", namespace, "-o", "jsonpath={.spec.type}"];
    assert.equal(await kubectl(...type), "LoadBalancer");
    await untilHere();
    const agents = ["-l", "app.kubernetes.io/managed-by=inpod", "-n", namespace];
    await kubectl("delete", "pod", ...agents, "--wait=false");
    await run.says(/starting another one/);
    await untilHere();
    run.interrupt();
    const { code, stdout } = await run.done;
    assert.equal(code, 0);
    assert.equal(stdout, "");
    await scene.untilAsBefore();
  });

  test("after kill -9 the Service goes with its agent", async () => {
    const run = await preview();
    await untilHere();
    process.kill(-(run.child.pid ?? 0), "SIGKILL");
    await run.done;
    await scene.untilAsBefore();
  });

  test("a name that is there is refused with whose it is, and who may not make Services with the right to ask for", async () => {
    const taken = await runInpod([
      ...["preview", "web", "--expose", `${server.http}:80`, "-n", namespace],
    ]);
    assert.equal(taken.code, 3, taken.stderr);
    assert.match(taken.stderr, /service "?web"?|service\/web/);
    assert.match(taken.stderr, /inpod exchange web/);
    const forbidden = await runInpod([
      ...["preview", "web-v3", "--expose", `${server.http}:80`],
      ...["-n", namespace, "--kubeconfig", kubeconfig],
    ]);
    assert.notEqual(forbidden.code, 0);
    assert.match(forbidden.stderr, /kind: Role/);
    assert.match(forbidden.stderr, /services|jobs/);
    await scene.untilAsBefore();
  });
});

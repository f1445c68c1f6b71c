/** `inpod preview`: a new Service whose requests ports of this machine answer, and nothing of it afterwards. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { type Running, runInpod, startInpod } from "./support/inpod.ts";
import { kubectl, noCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import {
  type AsItWas,
  asItIs,
  askService,
  briefly,
  type DevServer,
  killLeft,
  makeService,
  often,
  startDevServer,
  untilAsItWas,
  untilPodsAnswer,
} from "./support/service-modes.ts";
import { userWith } from "./support/users.ts";

describe("preview", { skip: noCluster, timeout: 300_000 }, () => {
  const namespace = useNamespace("inpod-preview");
  let folder: string;
  /** Of who may only look. */
  let kubeconfig: string;
  let server: DevServer;
  let before_: AsItWas;
  const running: Running[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "inpod-preview-"));
    await makeService(namespace);
    server = await startDevServer();
    await untilPodsAnswer(namespace);
    kubeconfig = await userWith(folder, namespace, "watcher", [
      { apiGroups: [""], resources: ["pods", "services"], verbs: ["get", "list", "watch"] },
    ]);
    before_ = await asItIs(namespace);
  });
  after(async () => {
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  afterEach(() => killLeft(running));

  const preview = async (...flags: string[]): Promise<Running> => {
    const ports = `${server.http}:80,${server.echo}:81,${server.http}:82`;
    const run = startInpod([
      ...["preview", "web-v2", "--expose", ports, "-n", namespace],
      ...[...briefly, ...flags],
    ]);
    running.push(run);
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
  const untilAsBefore = (): Promise<void> => untilAsItWas(namespace, before_);

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
    await untilAsBefore();
  });

  test("after kill -9 the Service goes with its agent", async () => {
    const run = await preview();
    await untilHere();
    process.kill(-(run.child.pid ?? 0), "SIGKILL");
    await run.done;
    await untilAsBefore();
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
    await untilAsBefore();
  });
});

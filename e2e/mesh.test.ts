/** `inpod mesh` and `inpod mirror`: marked requests come to their developer, all others are answered by the pods. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Running, runInpod } from "./support/inpod.ts";
import { onCluster, untilAgentIsKnown, waitFor } from "./support/kubectl.ts";
import {
  type Asked,
  ask,
  type DevServer,
  often,
  useDevServer,
  useService,
} from "./support/service-modes.ts";

describe("mesh", onCluster, () => {
  const scene = useService("inpod-mesh");
  const { namespace } = scene;
  const alice = useDevServer();
  const bob = useDevServer();

  const mesh = (server: DevServer, mark: string): Running => {
    const ports = `${server.http}:http,${server.http}:82,${server.echo}:81`;
    return scene.start("mesh", "web", "--expose", ports, "--version-mark", mark);
  };
  const marked = (version: string): Asked[] => [
    ...often(["http", { version }]),
    ["http2", { version }],
  ];
  const comesTo = (version: string): string[] =>
    marked(version).map(() => `200 I am here: / ${version}`);
  const comesToPods = [...often(["http"]).map(() => "200 pod"), "200 pod"];

  test("two developers have one Service at once, each by a mark; others and what is not HTTP go to the pods", async () => {
    const one = mesh(alice, "alice");
    await one.says(/until Ctrl-C/);
    assert.match(
      one.output(),
      new RegExp(`curl -H 'VERSION: alice' http://web\\.${namespace}:80/`),
    );
    await untilAgentIsKnown(namespace, "app.kubernetes.io/managed-by=inpod");
    const two = mesh(bob, "bob");
    await two.says(/until Ctrl-C/);
    const [toAlice, toBob, toPods, raw] = await Promise.all([
      ask(namespace, ...marked("alice")),
      ask(namespace, ...marked("bob")),
      ask(namespace, ...marked("carol")),
      ask(namespace, ["raw"]),
    ]);
    assert.deepEqual(toAlice, comesTo("alice"));
    assert.deepEqual(toBob, comesTo("bob"));
    assert.deepEqual(toPods, comesToPods);
    assert.deepEqual(raw, ["pod:hello"]);
    await scene.assertWrittenAsBefore();

    const third = await runInpod([
      ...["mesh", "web", "--expose", `${bob.http}:80`],
      ...["--version-mark", "alice", "-n", namespace],
    ]);
    assert.equal(third.code, 3, third.stderr);
    assert.match(third.stderr, /requests with VERSION: alice to port 80 \(http\) of service\/web/);
    assert.match(third.stderr, /because: .* by /);
    assert.match(third.stderr, /take a mark of your own: --version-mark NAME/);

    one.interrupt();
    assert.equal((await one.done).code, 0);
    assert.deepEqual(await ask(namespace, ...marked("alice")), comesToPods);
    assert.deepEqual(await ask(namespace, ...marked("bob")), comesTo("bob"));
    process.kill(-(two.child.pid ?? 0), "SIGKILL");
    await two.done;
    await waitFor("the pods to answer what was bob's", async () => {
      const answers = await ask(namespace, ...marked("bob"));
      return answers.join() === comesToPods.join() ? true : undefined;
    });
    await scene.untilAsBefore();
  });

  test("copies of HTTP/1, HTTP/2 and raw TCP come here from every pod while the pods answer, until kill -9", async () => {
    const ports = `${alice.http}:80,${alice.echo}:81,${alice.http}:h2`;
    const run = scene.start("mirror", "web", "--expose", ports);
    await run.says(/until Ctrl-C/);
    await run.says(/copying ports (3000, 3001, 3002|4000, 4001, 4002) from 2 pods/);
    const before = alice.output().length;
    const requests: readonly Asked[] = [...often(["http"]), ...often(["http2"])];
    assert.deepEqual(await ask(namespace, ...requests, ["raw"]), [
      ...requests.map(() => "200 pod"),
      "pod:hello",
    ]);
    await waitFor("all copies", async () => {
      const copies = alice.output().slice(before);
      const count = copies.split("request GET /\n").length - 1;
      return count === requests.length && copies.includes("data hello") ? true : undefined;
    });
    await scene.assertWrittenAsBefore();
    process.kill(-(run.child.pid ?? 0), "SIGKILL");
    await run.done;
    await scene.untilAsBefore();
  });
});

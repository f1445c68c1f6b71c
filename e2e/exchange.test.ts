/** `inpod exchange`: all of a Service's traffic comes to ports of this machine; nothing of the Service is changed. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type Running, runInpod } from "./support/inpod.ts";
import { apply, kubectl, onCluster, waitFor } from "./support/kubectl.ts";
import {
  type Asked,
  ask,
  makeService,
  often,
  untilPodsAnswer,
  useDevServer,
  useService,
} from "./support/service-modes.ts";
import { userWith } from "./support/users.ts";
import { service } from "./support/workloads.ts";

describe("exchange", onCluster, () => {
  const scene = useService("inpod-exchange");
  const { namespace } = scene;
  const server = useDevServer();
  const exchange = (...words: string[]): Running => scene.start("exchange", ...words);
  const everything = (): string => `${server.http}:http,${server.echo}:81,${server.http}:h2`;
  const wishes: readonly Asked[] = [...often(["http"]), ["raw"], ["raw"], ["http2"], ["http2"]];
  const allHere = [
    ...often(["http"]).map(() => "200 I am here: /"),
    ...["hello", "hello", "200 I am here: /", "200 I am here: /"],
  ];

  test("HTTP/1, raw TCP and HTTP/2 through the Service come here from every pod, whatever numbers its ports have there", async () => {
    const run = exchange("web", "--expose", everything());
    await run.says(/until Ctrl-C/);
    assert.match(
      run.output(),
      /what is sent to port 80 \(http\) of service\/web comes to 127\.0\.0\.1/,
    );
    assert.deepEqual(await ask(namespace, ...wishes), allHere);
    // What the cluster has written down is the same while it lasts.
    await scene.assertWrittenAsBefore();
    await kubectl("delete", "pod", "web-2", "-n", namespace);
    await run.says(/pod web-2 is gone/);
    await makeService(namespace);
    await run.says(/pod web-2 joined/);
    await waitFor("the new pod's traffic to come here", async () =>
      (await ask(namespace, ...wishes)).join() === allHere.join() ? true : undefined,
    );
    run.interrupt();
    const { code, stdout } = await run.done;
    assert.equal(code, 0);
    assert.equal(stdout, "");
    // Another pod of that name is there now.
    await scene.remember();
    await scene.untilAsBefore();
  });

  test("after kill -9 the pods answer at once and nothing is left", async () => {
    const run = exchange("web", "--expose", everything());
    await run.says(/until Ctrl-C/);
    assert.deepEqual(await ask(namespace, ["http"]), ["200 I am here: /"]);
    process.kill(-(run.child.pid ?? 0), "SIGKILL");
    await run.done;
    await untilPodsAnswer(namespace);
    await scene.untilAsBefore();
  });

  test("a Service that has no pods of its own, or a port that it does not have, is refused with what it has", async (t) => {
    const selector = { app: "nobody" };
    await apply(
      service(namespace, "empty", { selector }),
      service(namespace, "alias", { type: "ExternalName", externalName: "db.example.com" }),
      service(namespace, "headless", {
        clusterIP: "None",
        selector: { app: "web" },
        ports: [{ name: "http", port: 80, targetPort: 3000 }],
      }),
      service(namespace, "dns", {
        selector: { app: "web" },
        ports: [{ name: "dns", port: 53, protocol: "UDP" }],
      }),
      service(namespace, "unnamed", {
        selector: { app: "web" },
        ports: [{ port: 80, targetPort: "nobodys" }],
      }),
    );
    // An agent of this image would never start: what is refused is refused before.
    const early = async (...words: string[]) => {
      const { code, stderr } = await runInpod([
        ...[...words, "-n", namespace],
        ...["--agent-image", "nobodys/image:1"],
      ]);
      assert.doesNotMatch(stderr, /starting an agent/);
      return { code, stderr };
    };
    const refusal = (...words: string[]) => early("exchange", ...words);
    const [empty, alias, noPort, which, missing] = await Promise.all([
      refusal("empty", "--expose", "8080:80"),
      refusal("alias", "--expose", "8080:80"),
      refusal("web", "--expose", "8080:3000"),
      refusal("web", "--expose", "8080"),
      refusal("nowhere", "--expose", "8080"),
    ]);
    for (const { code, stderr } of [empty, alias, noPort, which, missing])
      assert.equal(code, 3, stderr);
    assert.match(empty.stderr, /service\/empty: no pod has these labels/);
    assert.match(alias.stderr, /it is another name for "db\.example\.com" \(ExternalName\)/);
    assert.match(
      noPort.stderr,
      /service\/web has no port 3000.*80 \(http\), 81 \(raw\), 82 \(h2\)/s,
    );
    assert.match(which.stderr, /which port of service\/web is meant\?/);
    assert.match(missing.stderr, /no service "nowhere"|service\/nowhere/);
    const [udp, twice, nowhere, dumped, remote, forwarded] = await Promise.all([
      early("mesh", "dns", "--expose", "5353:53"),
      early("mirror", "web", "--expose", "8080:80,9090:http"),
      early("exchange", "unnamed", "--expose", "8080:80"),
      early("dump", "web", "-p", "8080"),
      early("forward", "-t", "service/web", "-R", "3000:8080"),
      early("forward", "web", "0:3000"),
    ]);
    assert.match(
      udp.stderr,
      /that is UDP port 53 \(dns\) of service\/dns, and datagrams have no mark/,
    );
    assert.match(twice.stderr, /--expose 8080:80 and 9090:http are the same port/);
    assert.match(
      nowhere.stderr,
      /port 80 of service\/unnamed leads nowhere: no pod has a port of that/,
    );
    const ports = /its ports are: 80 \(http\), 81 \(raw\), 82 \(h2\)/;
    assert.match(dumped.stderr, ports);
    assert.match(dumped.stderr, /-p PORT/);
    assert.match(remote.stderr, ports);
    assert.match(remote.stderr, /-R PORT:LOCAL/);
    assert.match(
      forwarded.stderr,
      /service\/web has no port 3000: connections to web:3000 would all/,
    );
    assert.match(forwarded.stderr, ports);
    for (const { code, stderr } of [nowhere, dumped, remote, forwarded])
      assert.equal(code, 3, stderr);
    for (const { code, stderr } of [udp, twice]) assert.equal(code, 2, stderr);

    // Without rights for Services: a target is not found, and a name of -L is not looked up.
    const folder = mkdtempSync(join(tmpdir(), "inpod-exchange-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const blind = await userWith(folder, namespace, "blind", [
      { apiGroups: [""], resources: ["pods"], verbs: ["get", "list", "watch"] },
    ]);
    const [unseen, unchecked] = await Promise.all([
      early("exchange", "web", "--expose", "8080:80", "--kubeconfig", blind),
      runInpod(["forward", "web", "0:3000", "-n", namespace, "--kubeconfig", blind]),
    ]);
    assert.match(unseen.stderr, /may not get services/);
    assert.match(unseen.stderr, /kind: Role[\s\S]*resources: \[services\], verbs: \[get/);
    assert.match(unchecked.stderr, /may not create jobs/);

    const run = exchange("headless", "--expose", `${server.http}:80`, "--replicas", "1");
    await run.says(/until Ctrl-C/);
    assert.match(
      run.output(),
      /service\/headless is headless: its clients reach port 3000 of the pods/,
    );
    run.interrupt();
    await run.done;
  });
});

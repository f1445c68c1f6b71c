/** How a relay pod's hold on a Service ends when nobody ends it, and when somebody else writes the Service. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { rightsFor } from "@inpod/targets";
import { AGENT_IMAGE } from "./support/images.ts";
import { type Running, runInpod, startInpod } from "./support/inpod.ts";
import { apply, applyText, kubectl, onCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import {
  type Asked,
  askService,
  killLeft,
  makeService,
  useDevServer,
} from "./support/service-modes.ts";
import { startAsking } from "./support/steady-client.ts";
import { rulesOf, userWith } from "./support/users.ts";
import { service } from "./support/workloads.ts";

const PORTS = ["http", "raw", "h2"].map((name, index) => ({
  name,
  port: 80 + index,
  targetPort: name,
}));
const ALL: readonly Asked[] = [["http"], ["raw"], ["http2"]];
/** Long enough for requests while nobody knows yet that the session does not come back. */
const PATIENCE = { idle_timeout: 2, resume_timeout: 20 };
const SERVICES = ["killed", "unattended", "applied", "unnoted"];
const PODS = "200 pod,pod:hello,200 pod";
const HERE = "200 I am here: /,hello,200 I am here: /";

/** They wait for most of their time: each has a Service of its own, and all of them the same pods. */
describe("the end of a relay pod", { ...onCluster, concurrency: true }, () => {
  const namespace = useNamespace("inpod-relay-ends");
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-"));
  const server = useDevServer();
  const running: Running[] = [];
  const manifest = (name: string, selector: object = { app: "web" }): object =>
    service(namespace, name, { selector, ports: PORTS });

  before(async () => {
    await makeService(namespace);
    await apply(...SERVICES.map((name) => manifest(name)));
    await kubectl("label", "pods", "-l", "app=web", "version=1", "-n", namespace);
    for (const name of SERVICES) await untilFrom(name, PODS);
  });
  after(async () => {
    await killLeft(running);
    rmSync(folder, { recursive: true, force: true });
  });

  interface Written {
    readonly metadata: Record<string, unknown> & { readonly annotations?: Record<string, string> };
    readonly spec: { readonly selector: Record<string, string> };
  }
  const get = async (name: string, ...flags: string[]): Promise<Written> =>
    JSON.parse(await kubectl("get", "service", name, "-n", namespace, "-o", "json", ...flags));
  /** But for what every write changes, and kubectl's own note, which its server-side apply takes away. */
  async function read(name: string): Promise<object> {
    const all = await get(name);
    const { resourceVersion: _, ...metadata } = all.metadata;
    const { "kubectl.kubernetes.io/last-applied-configuration": __, ...annotations } =
      metadata.annotations ?? {};
    return { ...all, metadata: { ...metadata, annotations } };
  }
  const managersOf = async (name: string): Promise<string> => {
    const { metadata } = await get(name, "--show-managed-fields");
    return JSON.stringify(metadata.managedFields);
  };
  async function isGivenBack(name: string, before: object): Promise<void> {
    assert.deepEqual(await read(name), before);
    // Else it would be inpod with whom who applies another selector is in conflict.
    assert.doesNotMatch(await managersOf(name), /inpod/);
  }
  const from = async (name: string): Promise<string> =>
    (await askService(namespace, name, ...ALL)).join();
  const untilFrom = (name: string, wanted: string): Promise<unknown> =>
    waitFor(`${name} to answer ${wanted}`, async () =>
      (await from(name)) === wanted ? true : undefined,
    );
  /** @returns the session that has the Service now */
  async function holderOf(name: string): Promise<string> {
    const { metadata } = await get(name);
    return JSON.parse(metadata.annotations?.["inpod.dev/held"] ?? "{}").holder;
  }
  const ofSession = (session: string): Promise<string> =>
    kubectl(
      ...["get", "jobs,pods,services,serviceaccounts,roles,rolebindings", "-n", namespace],
      ...["-l", `inpod.dev/session=${session}`, "-o", "name"],
    );
  const untilGone = (session: string, limitMs?: number): Promise<unknown> =>
    waitFor(
      `nothing of session ${session} to be there`,
      async () => ((await ofSession(session)) === "" ? true : undefined),
      limitMs,
    );

  async function exchange(name: string, ...flags: string[]): Promise<Running> {
    const ports = `${server.http}:80,${server.echo}:81,${server.http}:82`;
    const run = startInpod(
      [
        ...["exchange", name, "--expose", ports, "--mode", "selector"],
        ...["-n", namespace, "-i", AGENT_IMAGE, ...flags],
      ],
      { timeoutMs: 200_000 },
    );
    running.push(run);
    await run.says(/until Ctrl-C/);
    return run;
  }
  async function kill(run: Running): Promise<void> {
    process.kill(-(run.child.pid ?? 0), "SIGKILL");
    await run.done;
  }

  test("of a session that is gone for good the relay passes everything on, gives the Service back by itself and ends: no request fails", async () => {
    const before = await read("killed");
    const settings = join(folder, "killed.json");
    writeFileSync(settings, JSON.stringify({ agent: PATIENCE }));
    const run = await exchange("killed", "-f", settings);
    await untilFrom("killed", HERE);
    const session = await holderOf("killed");
    await kill(run);
    await untilFrom("killed", PODS);
    const asking = await startAsking(namespace, "killed");
    await untilGone(session, 150_000);
    const told = await asking.stop();
    assert.deepEqual(Object.keys(told), ["200 pod"], JSON.stringify(told));
    await isGivenBack("killed", before);
    assert.equal(await from("killed"), PODS);
  });

  const takeNoteAway = (name: string): Promise<string> =>
    kubectl("annotate", "service", name, "-n", namespace, "inpod.dev/held-");

  test("a Service whose note somebody takes away is given back as well: by its session, and by a relay whose session is gone", async () => {
    const before = await read("unnoted");
    const settings = join(folder, "unnoted.json");
    writeFileSync(settings, JSON.stringify({ agent: PATIENCE }));
    const first = await startAsking(namespace, "unnoted");
    const living = await exchange("unnoted");
    await untilFrom("unnoted", HERE);
    const session = await holderOf("unnoted");
    await takeNoteAway("unnoted");
    await living.says(
      /the annotation inpod\.dev\/held of service\/unnoted was taken away.*own selector again/,
    );
    await untilFrom("unnoted", PODS);
    living.interrupt();
    assert.equal((await living.done).code, 0);
    await untilGone(session);
    await isGivenBack("unnoted", before);
    const told = await first.stop();
    const both = ["200 I am here: /", "200 pod"];
    assert.deepEqual(Object.keys(told).sort(), both, JSON.stringify(told));

    const dead = await exchange("unnoted", "-f", settings);
    await untilFrom("unnoted", HERE);
    const second = await holderOf("unnoted");
    // A request that the developer has is lost with his machine.
    await kill(dead);
    await untilFrom("unnoted", PODS);
    const asking = await startAsking(namespace, "unnoted");
    await takeNoteAway("unnoted");
    const refused = await runInpod(["exchange", "unnoted", "--expose", "80", "-n", namespace]);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, new RegExp(`leads to the agent of session ${second} of inpod`));
    await untilGone(second, 150_000);
    const then = await asking.stop();
    assert.deepEqual(Object.keys(then), ["200 pod"], JSON.stringify(then));
    await isGivenBack("unnoted", before);
  });

  test("a relay that may not give the Service back goes on for the pods when its session is gone, until recover", async () => {
    const before = await read("unattended");
    const rights = rightsFor(["find service", "place job", "place relay", "clean"]).filter(
      ({ group, resource }) => !/^rbac/.test(group) && resource !== "serviceaccounts",
    );
    const kubeconfig = await userWith(folder, namespace, "modest", rulesOf(rights));
    const settings = join(folder, "inpod.json");
    writeFileSync(
      settings,
      JSON.stringify({
        agent: {
          // Until the first two are over it may be waiting for its first session, and is nobody's to remove.
          ...{ startup_timeout: 30, communication_timeout: 5, ...PATIENCE },
          relay_pod: { unattended: true },
        },
      }),
    );
    const run = await exchange("unattended", "--kubeconfig", kubeconfig, "-f", settings);
    await untilFrom("unattended", HERE);
    const session = await holderOf("unattended");
    assert.doesNotMatch(await ofSession(session), /role|serviceaccount/);
    await kill(run);
    const log = ["logs", `job/inpod-${session}`, "-n", namespace];
    await waitFor(
      "the relay to have nobody any more",
      async () => ((await kubectl(...log)).includes("goes-on") ? true : undefined),
      120_000,
      1000,
    );
    assert.equal(await from("unattended"), PODS);
    assert.equal(await holderOf("unattended"), session);
    // Until then it is one that waits for its first session.
    const GONE = /selector of service\/unattended .*session \S+ of \S+ is gone: /;
    const verified = await waitFor(
      "verify to find it",
      async () => {
        const ran = await runInpod(["verify", "-n", namespace, "--kubeconfig", kubeconfig]);
        return GONE.test(ran.stdout) ? ran : undefined;
      },
      120_000,
    );
    assert.equal(verified.code, 1);
    await takeNoteAway("unattended");
    const unnoted = await runInpod(["verify", "-n", namespace, "--kubeconfig", kubeconfig]);
    assert.match(unnoted.stdout, /the note of session \S+ of \S+ was taken away/);
    const recovered = await runInpod([
      ...["recover", "unattended", "-n", namespace, "--kubeconfig", kubeconfig],
    ]);
    assert.equal(recovered.code, 0, recovered.stderr);
    assert.match(recovered.stdout, /restored service\/unattended: it leads to its own pods again/);
    await untilGone(session);
    await isGivenBack("unattended", before);
    assert.equal(await from("unattended"), PODS);
  });

  test("whoever writes the Service meanwhile has it, and is named: a manifest applied by either way, and a change of one key", async () => {
    const asking = await startAsking(namespace, "applied");
    const before = await read("applied");
    const text = JSON.stringify(manifest("applied"));
    const writers = [
      { name: "kubectl-client-side-apply", write: () => applyText(text) },
      {
        name: "kustomize-controller",
        write: () =>
          applyText(
            text,
            ...["--server-side", "--force-conflicts", "--field-manager=kustomize-controller"],
          ),
      },
    ];
    for (const { name, write } of writers) {
      const run = await exchange("applied");
      await untilFrom("applied", HERE);
      const session = await holderOf("applied");
      await write();
      await run.says(
        new RegExp(
          `service/applied has another selector again, written by "${name}": its requests go to the pods\\. If a controller`,
        ),
      );
      await untilFrom("applied", PODS);
      // As controllers do: they look at it every now and then.
      for (let round = 0; round < 3; round++) await write();
      assert.equal(await from("applied"), PODS);
      run.interrupt();
      const { code, stderr } = await run.done;
      assert.equal(code, 0, stderr);
      await untilGone(session);
      await isGivenBack("applied", before);
    }

    const told = await asking.stop();
    assert.deepEqual(
      Object.keys(told).sort(),
      ["200 I am here: /", "200 pod"],
      JSON.stringify(told),
    );

    const run = await exchange("applied");
    await untilFrom("applied", HERE);
    const session = await holderOf("applied");
    // Beside the relay's own key: of both the Service would lead to nobody.
    await kubectl(
      ...["patch", "service", "applied", "-n", namespace, "--type=merge"],
      ...["-p", JSON.stringify({ spec: { selector: { version: "1" } } })],
    );
    await run.says(/has another selector again, written by "kubectl-patch"/);
    await untilFrom("applied", PODS);
    run.interrupt();
    assert.equal((await run.done).code, 0);
    await untilGone(session);
    assert.deepEqual((await get("applied")).spec.selector, { app: "web", version: "1" });
    assert.doesNotMatch(await managersOf("applied"), /inpod/);
  });
});

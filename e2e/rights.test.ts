/** What docs/rights.md says that a user needs: with just that it works, and without any one of it it does not. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { newSessionKey } from "@inpod/session";
import { type Operation, openKubernetes, type Right, rightsFor } from "@inpod/targets";
import { layCable } from "./support/cable.ts";
import { AGENT_IMAGE, imageOfFiles } from "./support/images.ts";
import { type Ran, runInpod, startInpod } from "./support/inpod.ts";
import {
  apply,
  applyText,
  kubectl,
  onCluster,
  untilAgentIsKnown,
  waitFor,
} from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { NODE_IMAGE, runNodePod } from "./support/pods.ts";
import { binding, kubeconfigOf, rulesOf, userWith } from "./support/users.ts";
import { cronJob, job, pod, service, workload } from "./support/workloads.ts";

interface Finding {
  readonly group: string;
  readonly level: string;
  readonly what: string;
}

const server = (says: string): string =>
  `require("http").createServer((q, r) => r.end("${says}")).listen(3000, () => console.log("up"));\n`;

const least = (...operations: Operation[]): Right[] =>
  rightsFor(operations).filter(({ needed }) => needed === "always");
/** All that one thing consists of, which a session can do without. */
const whole = (operation: Operation): Right[] => rightsFor([operation]);
const nameOf = ({ verb, resource, subresource }: Right): string =>
  `${verb} ${resource}${subresource === undefined ? "" : `/${subresource}`}`;
const without = (rights: readonly Right[], name: string): Right[] => {
  const rest = rights.filter((right) => nameOf(right) !== name);
  assert.equal(rest.length, rights.length - 1, `there is one right to ${name}`);
  return rest;
};
/** The Role that a refusal asks for, as it is to be pasted. */
const printedRole = ({ stderr }: Ran): string =>
  /ask for this Role in namespace "\S+":\n((?: {4}.*\n)+)/
    .exec(stderr)?.[1]
    ?.replace(/^ {4}/gm, "") ?? "";

/** Named in words, and in a rule of the Role. */
function assertRefused(ran: Ran, name: string): void {
  const [verb, resource = ""] = name.split(" ");
  assert.match(ran.stderr, new RegExp(`may not ${name}\\b`));
  const rule = new RegExp(`resources: \\[${resource}\\], verbs: \\[[^\\]]*\\b${verb}\\b`);
  assert.match(printedRole(ran), rule, ran.stderr);
}

describe("rights", { ...onCluster, concurrency: 2 }, () => {
  const namespace = useNamespace("inpod-rights");
  const agents = useNamespace("inpod-rights-agents");
  const folder = mkdtempSync(join(tmpdir(), "inpod-rights-"));
  after(() => rmSync(folder, { recursive: true }));

  before(async () => {
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    const at = (app: string) => ({ labels: { app }, x: app });
    const guarded = workload("Deployment", namespace, "orders", at("orders")) as {
      metadata: object;
    };
    guarded.metadata = { ...guarded.metadata, annotations: { "inpod.dev/policy": "no-steal" } };
    await apply(
      guarded,
      workload("StatefulSet", namespace, "db", at("db")),
      workload("DaemonSet", namespace, "log", at("log")),
      workload("ReplicaSet", namespace, "plain", at("plain")),
      job(namespace, "import", at("import")),
      cronJob(namespace, "nightly", at("nightly")),
      service(namespace, "front", { selector: { app: "db" } }),
      pod(namespace, "web", at("web")),
      pod(namespace, "shared", at("shared")),
    );
    await kubectl("create", "job", "nightly-1", "--from=cronjob/nightly", "-n", namespace);
    await runNodePod({ namespace, name: "server", source: server("the pod") });
    writeFileSync(join(folder, "server.cjs"), server("the user"));
    writeFileSync(join(folder, "elsewhere.json"), JSON.stringify({ agent: { namespace: agents } }));
    for (const app of ["orders", "db", "log", "plain", "import", "nightly", "web", "shared"])
      await waitFor(`a pod of ${app}`, () =>
        kubectl(
          ...["wait", "--for=condition=Ready", "pod", "-l", `app=${app}`],
          ...["-n", namespace, "--timeout=30s"],
        ).catch(() => undefined),
      );
  });

  let count = 0;
  const user = (rights: readonly Right[], name = `user-${++count}`): Promise<string> =>
    userWith(folder, namespace, name, rulesOf(rights));
  const exec = (kubeconfig: string, target: string, ...rest: string[]): Promise<Ran> =>
    runInpod([
      ...["exec", "--kubeconfig", kubeconfig, "-n", namespace, "-t", target],
      ...(rest.length === 0 ? ["--", "printenv", "X"] : rest),
    ]);
  const runsIn = (ran: Ran, x: string): void => {
    assert.deepEqual([ran.code, ran.stdout], [0, `${x}\n`], ran.stderr);
    const lacks = ran.stderr.split("\n").filter((line) => /forbidden|may not|right/.test(line));
    assert.ok(lacks.length <= 1, ran.stderr);
  };

  test("a session on a pod", async () => {
    runsIn(await exec(await user(least("find pod", "place job")), "pod/web"), "web");
  });

  for (const name of [
    "get pods",
    "create jobs",
    "delete jobs",
    "watch pods",
    "get pods/portforward",
    "create pods/portforward",
  ])
    test(`not without: ${name}`, async () => {
      const rights = least("find pod", "place job");
      assert.equal(rights.length, 6);
      const ran = await exec(await user(without(rights, name)), "pod/web");
      assertRefused(ran, name);
      // The program has run by then; an agent that nobody may remove ends by itself.
      const isLate = name === "delete jobs";
      assert.equal(ran.code === 0, isLate, ran.stderr);
      if (isLate) assert.match(ran.stderr, /could not be removed .* it ends by itself/);
    });

  const KINDS = [
    ["deployment", "orders", "deployments"],
    ["statefulset", "db", "statefulsets"],
    ["daemonset", "log", "daemonsets"],
    ["replicaset", "plain", "replicasets"],
    ["job", "import", "jobs"],
    ["cronjob", "nightly", "cronjobs"],
    ["service", "front", "services"],
  ] as const;
  for (const [kind, name] of KINDS)
    test(`a session on a ${kind}`, async () => {
      const kubeconfig = await user(least(`find ${kind}`, "place job"));
      runsIn(await exec(kubeconfig, `${kind}/${name}`), kind === "service" ? "db" : name);
    });

  test("a session on pods with a label, and not without: list pods", async () => {
    const rights = least("find label", "place job");
    runsIn(await exec(await user(rights), "label/app=web"), "web");
    const refused = await exec(await user(without(rights, "list pods")), "label/app=web");
    assertRefused(refused, "list pods");
  });

  test("workloads: not without the right to get them, nor without: list pods", async () => {
    const finds = KINDS.map(([kind]) => `find ${kind}` as const);
    const noGet = await user(least("find label", "place job"));
    const noList = await user(without(least(...finds, "place job"), "list pods"));
    for (const [kind, name, resource] of KINDS) {
      assertRefused(await exec(noGet, `${kind}/${name}`), `get ${resource}`);
      assertRefused(await exec(noList, `${kind}/${name}`), "list pods");
    }
    const noJobs = await user(without(least("find cronjob", "place job"), "list jobs"));
    assertRefused(await exec(noJobs, "cronjob/nightly"), "list jobs");
  });

  test("stealing takes no more than running", async () => {
    const kubeconfig = await user(least("find pod", "place job"));
    const inpod = startInpod(
      [
        ...["exec", "--kubeconfig", kubeconfig, "-n", namespace, "-t", "pod/server", "--steal"],
        ...["--", "node", "server.cjs"],
      ],
      { cwd: folder },
    );
    await inpod.says(/^up$/m);
    const { status } = JSON.parse(
      await kubectl("get", "pod", "server", "-n", namespace, "-o", "json"),
    ) as { status: { podIP: string } };
    const ask = () =>
      kubectl(
        ...["exec", "web", "-n", namespace, "--", "wget", "-qO-"],
        `http://${status.podIP}:3000/`,
      );
    assert.equal(await ask(), "the user");
    inpod.interrupt();
    await inpod.done;
    assert.equal(await ask(), "the pod");
  });

  test("without a target, and not without: create jobs", async () => {
    const rights = least("place job");
    const args = ["--", "hostname"];
    const ran = await exec(await user(rights), "targetless", ...args);
    assert.match(ran.stdout, /^inpod-/, ran.stderr);
    const refused = await exec(await user(without(rights, "create jobs")), "targetless", ...args);
    assertRefused(refused, "create jobs");
  });

  test("an agent in the target's pod, and not without: patch pods/ephemeralcontainers", async () => {
    const rights = least("find pod", "place ephemeral");
    const args = ["-e", "--", "printenv", "X"];
    runsIn(await exec(await user(rights), "pod/web", ...args), "web");
    const name = "patch pods/ephemeralcontainers";
    assertRefused(await exec(await user(without(rights, name)), "pod/web", ...args), name);
  });

  test("who joins needs no right to jobs; who cannot join gets an agent of his own, if he may", async () => {
    const first = startInpod([
      ...["exec", "-n", namespace, "-t", "pod/shared", "--"],
      ...["sh", "-c", "echo in; exec sleep 80"],
    ]);
    await first.says(/^in$/m);
    await untilAgentIsKnown(namespace, "inpod.dev/target=shared");
    const rights = [...least("find pod"), ...whole("join agent")];
    const joins = await user(rightsOnce(rights));
    const ran = await exec(joins, "pod/shared");
    runsIn(ran, "shared");
    assert.match(ran.stderr, /joined the agent of /);
    for (const name of ["patch pods", "list pods"]) {
      const refused = await exec(await user(without(rightsOnce(rights), name)), "pod/shared");
      assertRefused(refused, "create jobs");
      assert.equal(/without the right to patch pods/.test(refused.stderr), name === "patch pods");
    }
    first.interrupt();
    await first.done;
  });

  test("events of the target: with the right to create them, and nothing fails without", async () => {
    const rights = [...least("find pod", "place job"), ...whole("write events")];
    const ran = await exec(await user(rights, "told"), "pod/web");
    runsIn(ran, "web");
    assert.doesNotMatch(ran.stderr, /do not tell of this session/);
    const notes = await kubectl(
      ...["get", "events.events.k8s.io", "-n", namespace, "-o"],
      'jsonpath={range .items[*]}{.reason} {.note}{"\\n"}{end}',
    );
    assert.match(notes, /^InpodSessionStarted system:serviceaccount:\S+:told runs /m);
    assert.match(notes, /^InpodSessionEnded system:serviceaccount:\S+:told ended /m);
  });

  test("a workload's policy: seen by who may get the workload, or names it as the target", async () => {
    const names = await kubectl("get", "pod", "-l", "app=orders", "-n", namespace, "-o", "name");
    const steal = (kubeconfig: string, target: string) =>
      exec(kubeconfig, target, "--steal", "--", "true");
    const rights = least("find pod", "place job");
    const unseen = await steal(await user(rights), names.trim());
    assert.equal(unseen.code, 0, unseen.stderr);
    const readers = [
      await steal(await user([...rights, ...whole("read policy")]), names.trim()),
      await steal(await user(least("find deployment", "place job")), "deployment/orders"),
    ];
    for (const { code, stderr } of readers) {
      assert.equal(code, 4, stderr);
      assert.match(stderr, /of deployment\/orders says no-steal/);
    }
  });

  test("inpod ls: each kind takes the right to list it, and the others are listed all the same", async () => {
    const kinds = ["pod", ...KINDS.map(([kind]) => kind)] as const;
    const ls = async (rights: readonly Right[], ...args: string[]) =>
      runInpod(["ls", "--kubeconfig", await user(rights), "-n", namespace, "-o", "name", ...args]);
    const all = await ls(least(...kinds.map((kind) => `list ${kind}` as const)), ...kinds);
    assert.equal(all.code, 0, all.stderr);
    for (const [kind, name] of KINDS)
      assert.ok(all.stdout.split("\n").includes(`${kind}/${name}`), all.stdout);
    const podsOnly = await ls(least("list pod"));
    assert.match(podsOnly.stdout, /^(pod\/\S+\n)+$/);
    for (const [kind, , resource] of KINDS)
      assert.match(podsOnly.stderr, new RegExp(`${kind}: not listed: .*may not list ${resource} `));
    assertRefused(await ls(least("list service"), "pod"), "list pods");
    assertRefused(await ls(least("list pod"), "service"), "list services");
  });

  test("inpod verify and clean: what takes the right to see, and what to remove", async () => {
    const { publicKey, sessionId } = newSessionKey();
    const target = await openKubernetes({
      target: { kind: "pod", name: "web", container: undefined },
      namespace,
      agent: { image: AGENT_IMAGE },
    });
    await target.place({
      ...{ publicKey, sessionId, startupTimeoutMs: 60_000 },
      ...{ idleTimeoutMs: 600_000, communicationTimeoutMs: 600_000 },
      signal: AbortSignal.timeout(120_000),
      onProgress: () => {},
    });
    target.close();
    const name = `inpod-${sessionId}`;
    await untilAgentIsKnown(namespace, `inpod.dev/session=${sessionId}`);
    const annotate = (what: string) =>
      kubectl("annotate", "--overwrite", "job", name, "-n", namespace, `inpod.dev/${what}`);
    await annotate("starts-until=2026-01-01T00:00:00Z");
    const run = async (command: string, rights: readonly Right[], ...args: string[]) =>
      runInpod([command, "--kubeconfig", await user(rights), "-n", namespace, ...args]);
    const mine = ({ stdout }: Ran) => stdout.split("\n").find((line) => line.includes(name)) ?? "";

    // Nobody speaks with it, which only the agent itself can tell.
    assert.match(mine(await run("verify", least("verify"))), /it does not say/);
    assert.match(mine(await run("verify", whole("verify"))), /no session speaks with it/);
    assert.match(mine(await run("clean", least("clean"), "--dry-run")), /^kept .* it does not say/);
    await annotate("deadline=2026-01-01T00:00:00Z");
    for (const missing of ["list jobs", "list pods"]) {
      assertRefused(await run("clean", without(least("clean"), missing)), missing);
      assertRefused(await run("verify", without(least("verify"), missing)), missing);
    }
    assertRefused(await run("clean", without(least("clean"), "delete jobs")), "delete jobs");
    assert.match(mine(await run("clean", least("clean"))), /^removed /);
  });

  /** A service account that has the Role of its own name, once there is one. */
  async function newcomer(name: string, ...namespaces: string[]): Promise<string> {
    const account = { namespace, name };
    await apply(
      { apiVersion: "v1", kind: "ServiceAccount", metadata: account },
      ...namespaces.map((each) => binding(each, name, account)),
    );
    return kubeconfigOf(folder, namespace, name);
  }
  /** As it stands there, but for its name: others paste theirs at the same time. */
  const paste = (role: string, name: string): Promise<void> =>
    applyText(role.replaceAll("{name: inpod,", `{name: ${name},`));

  test("pasting the Role of each refusal makes the same command work, the agent in another namespace", async () => {
    const kubeconfig = await newcomer("stranger", namespace, agents);
    const run = () =>
      exec(
        ...([kubeconfig, "deployment/orders", "-f", join(folder, "elsewhere.json")] as const),
        ...["--", "printenv", "X"],
      );
    const first = await run();
    assertRefused(first, "get deployments");
    assert.match(printedRole(first), new RegExp(`namespace: ${namespace}}`));
    assert.doesNotMatch(printedRole(first), /resources: \[jobs\]/);
    await paste(printedRole(first), "stranger");
    const second = await run();
    // Both are asked for at once.
    const [, name = ""] = /may not (create jobs|watch pods)/.exec(second.stderr) ?? [];
    assertRefused(second, name);
    assert.match(printedRole(second), new RegExp(`namespace: ${agents}}`));
    assert.doesNotMatch(printedRole(second), /deployments/);
    await paste(printedRole(second), "stranger");
    runsIn(await run(), "orders");
  });

  test("the least in both namespaces is enough for doctor, a cut cable and another agent, too", async (t) => {
    const account = { namespace, name: "split" };
    const rights = least("find deployment");
    assert.ok(![...rights, ...least("place job")].some((right) => nameOf(right) === "get pods"));
    const kubeconfig = await user(rights, "split");
    await apply(
      {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "Role",
        metadata: { name: "split", namespace: agents },
        rules: rulesOf(least("place job")),
      },
      binding(agents, "split", account),
    );
    const cable = await layCable(folder, "cable", kubeconfig);
    t.after(() => cable.close());
    const at = [
      ...["--kubeconfig", cable.kubeconfig, "-n", namespace, "-t", "deployment/orders"],
      ...["-f", join(folder, "elsewhere.json")],
    ];
    const examined = await runInpod(["doctor", ...at, "-o", "json"]);
    const { findings } = JSON.parse(examined.stdout) as { findings: Finding[] };
    const wrong = findings.filter(
      ({ group, level }) => /rights|target|agent/.test(group) && level === "problem",
    );
    assert.deepEqual(wrong, []);
    const inpod = startInpod(["exec", ...at, "--", "sh", "-c", "printenv X; exec sleep 100"]);
    await inpod.says(/^orders$/m);
    cable.reset();
    await inpod.says(/the connection to the agent is lost/);
    cable.mend();
    await inpod.says(/the connection to the agent is back/);
    await kubectl(
      ...["delete", "pod", "-n", agents, "--force", "--grace-period=0"],
      ...["-l", "app.kubernetes.io/managed-by=inpod,inpod.dev/target"],
    );
    await inpod.says(/the agent is gone .*starting another one/);
    await inpod.says(/(is back[\s\S]*){2}/);
    inpod.interrupt();
    await inpod.done;
  });

  test("inpod doctor needs no right, and the Role that it prints is all that a session lacks", async () => {
    const kubeconfig = await newcomer("patient", namespace);
    const doctor = async () => {
      const ran = await runInpod([
        ...["doctor", "--kubeconfig", kubeconfig, "-n", namespace, "-t", "deployment/orders"],
        ...["-o", "json"],
      ]);
      const { findings, role } = JSON.parse(ran.stdout) as {
        findings: Finding[];
        role: string | null;
      };
      const problems = findings.filter(
        ({ group, level }) => group === "rights" && level === "problem",
      );
      return { problems, role: role ?? "" };
    };
    const { problems, role } = await doctor();
    assert.match(JSON.stringify(problems), /deployments/);
    await paste(role, "patient");
    assert.deepEqual((await doctor()).problems, []);
    runsIn(await exec(kubeconfig, "deployment/orders"), "orders");
  });

  test("the Roles of docs/rights.md are taken by the cluster, and the first is enough", async () => {
    const document = readFileSync(new URL("../docs/rights.md", import.meta.url), "utf8");
    const roles = [...document.matchAll(/```\n(apiVersion[\s\S]*?)```/g)].map(([, yaml = ""]) =>
      yaml.replace("namespace: NAMESPACE", `namespace: ${namespace}`),
    );
    assert.equal(roles.length, 6);
    for (const role of roles)
      await applyText(role.replace("AGENTS-NAMESPACE", agents), "--dry-run=server");
    const kubeconfig = await newcomer("developer", namespace);
    await paste(roles[0] ?? "", "developer");
    const ran = await exec(kubeconfig, "statefulset/db");
    runsIn(ran, "db");
    assert.doesNotMatch(ran.stderr, /forbidden|may not/);
  });
});

/** Two operations may name the same one. */
const rightsOnce = (rights: readonly Right[]): Right[] => [
  ...new Map(rights.map((right) => [nameOf(right), right])).values(),
];

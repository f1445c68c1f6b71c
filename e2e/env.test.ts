/** `inpod env` on a cluster: every source that a pod's variables have, and nothing left; docs/environment.md as typed. */
import assert from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { parseEnvFile } from "@inpod/session";
import { type Operation, type Right, rightsFor } from "@inpod/targets";
import { imageOfFiles } from "./support/images.ts";
import { CLI, type Ran, runInpod, startInpod } from "./support/inpod.ts";
import {
  apply,
  inventory,
  kubectl,
  onCluster,
  untilAgentIsKnown,
  waitFor,
} from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { BUSYBOX, createPod } from "./support/pods.ts";
import { rulesOf, userWith } from "./support/users.ts";

/** Values that must be nowhere but on stdout. */
const SECRET = "c4n4ry-of-the-secret";
const PEM = "-----BEGIN KEY-----\nMII+/=\n-----END KEY-----\n";

/** As nginx and PostgreSQL do when they set their title: what was the environment is gone. */
const OVERWRITING = `#include <string.h>
#include <unistd.h>
extern char **environ;
int main(void) {
  for (char **each = environ; *each; each++) memset(*each, 0, strlen(*each));
  for (;;) pause();
}
`;

const ENV = [
  { name: "PLAIN", value: "plain" },
  { name: "CHANGED", value: "before" },
  { name: "GIVEN_UP", value: "x" },
  { name: "FROM_MAP", valueFrom: { configMapKeyRef: { name: "conf", key: "one" } } },
  { name: "TOKEN", valueFrom: { secretKeyRef: { name: "keys", key: "token" } } },
  { name: "BUILT", value: "$(PLAIN)-$(TOKEN)" },
  { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
  { name: "POD_LABEL", valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
  { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu", divisor: "1m" } } },
];
const EXTRA = {
  env: ENV,
  envFrom: [{ prefix: "CONF_", configMapRef: { name: "conf" } }, { secretRef: { name: "pem" } }],
  resources: { limits: { cpu: "250m", memory: "32Mi" } },
};
/** What its shell exports and drops before it becomes the pod's process. */
const CHANGES = `export CHANGED=after LATER='it'"'"'s "quoted" \\ $HOME'; unset GIVEN_UP; exec sleep 3600`;

interface Shown {
  readonly target: string;
  readonly variables: readonly {
    readonly name: string;
    readonly from: string;
    readonly value: string;
  }[];
  readonly removed: readonly { readonly name: string }[];
}

describe("inpod env on a cluster", onCluster, () => {
  const namespace = useNamespace("inpod-env");
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-env-"));
  let found: string[] = [];
  let orders = "";

  before(async () => {
    const source = join(folder, "overwriting.c");
    const program = join(folder, "overwriting");
    writeFileSync(source, OVERWRITING);
    execFileSync("cc", ["-static", "-o", program, source]);
    await imageOfFiles("lab/overwriting:1", [program]);
    await apply(
      {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "conf", namespace },
        data: { one: "1", TWO: "2" },
      },
      {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "keys", namespace },
        stringData: { token: SECRET },
      },
      {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "pem", namespace },
        stringData: { PEM },
      },
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name: "orders", namespace },
        spec: {
          selector: { matchLabels: { app: "orders" } },
          template: {
            metadata: { labels: { app: "orders" } },
            spec: {
              terminationGracePeriodSeconds: 0,
              containers: [
                { name: "app", image: BUSYBOX, command: ["sh", "-c", CHANGES], ...EXTRA },
              ],
            },
          },
        },
      },
    );
    await createPod({
      ...{ namespace, name: "titled", image: "lab/overwriting:1", command: [program] },
      extra: EXTRA,
    });
    await kubectl("rollout", "status", "deployment/orders", "-n", namespace, "--timeout=60s");
    await kubectl("wait", "--for=condition=Ready", "pod/titled", "-n", namespace, "--timeout=60s");
    orders = (
      await kubectl("get", "pods", "-l", "app=orders", "-n", namespace, "-o", "name")
    ).trim();
    // Ready is a shell; its program comes after what it exports.
    await waitFor("the pod's own process", async () => {
      const path = "/proc/1/comm";
      const comm = await kubectl("exec", orders, "-n", namespace, "--", "cat", path);
      return comm.trim() === "sleep" ? true : undefined;
    });
    found = await inventory(namespace);
  });
  after(() => rmSync(folder, { recursive: true }));

  const env = (...args: string[]): Promise<Ran> =>
    runInpod(["env", "-n", namespace, ...args], { cwd: folder, env: { AWS_PROFILE: "mine" } });
  const nothingLeft = async (): Promise<void> => {
    await waitFor("the cluster to be as before", async () => {
      const now = await inventory(namespace);
      return now.join() === found.join() ? true : undefined;
    });
  };
  const valuesOf = (stdout: string): Record<string, string> =>
    Object.fromEntries(
      (JSON.parse(stdout) as Shown).variables.map(({ name, value }) => [name, value]),
    );

  test("ConfigMap, Secret, downward API, references, and what the process changed after its start", async () => {
    const ran = await env("-t", "deployment/orders", "--format", "json", "--show-values");
    assert.equal(ran.code, 0, ran.stderr);
    const { target, variables, removed } = JSON.parse(ran.stdout) as Shown;
    const values = valuesOf(ran.stdout);
    assert.equal(target, `${orders}/container/app`);
    assert.ok(variables.every(({ from }) => from === "pod"));
    assert.ok(removed.some(({ name }) => name === "AWS_PROFILE"));
    const expected = {
      ...{
        PLAIN: "plain",
        BUILT: `plain-${SECRET}`,
        CHANGED: "after",
        FROM_MAP: "1",
        CONF_TWO: "2",
      },
      ...{
        TOKEN: SECRET,
        PEM,
        POD_NAME: orders.replace("pod/", ""),
        POD_LABEL: "orders",
        CPU: "250",
      },
      ...{ LATER: `it's "quoted" \\ $HOME`, KUBERNETES_SERVICE_PORT: "443" },
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(values[name], value, name);
    for (const name of ["GIVEN_UP", "PATH", "HOME", "SHLVL", "PWD"])
      assert.ok(!(name in values), name);
    assert.ok(!ran.stderr.includes(SECRET));
    await nothingLeft();
  });

  test("exec's program has just these", async () => {
    const [ran, printed] = await Promise.all([
      env("-t", orders, "--format", "json", "--show-values", "--all"),
      runInpod(["exec", "-n", namespace, "-t", orders, "--", "env", "-0"], {
        cwd: folder,
        env: { AWS_PROFILE: "mine" },
      }),
    ]);
    const seen = Object.fromEntries(
      printed.stdout.split("\0").flatMap((entry) => {
        const [name = "", ...rest] = entry.split("=");
        return name === "" || name === "INPOD_SESSION" ? [] : [[name, rest.join("=")]];
      }),
    );
    assert.deepEqual(seen, valuesOf(ran.stdout), ran.stderr + printed.stderr);
  });

  test("a process that has written over its environment: the spec's, and what is missing is said", async () => {
    const ran = await env("-t", "pod/titled", "--format", "json", "--show-values");
    assert.equal(ran.code, 0, ran.stderr);
    const values = valuesOf(ran.stdout);
    assert.deepEqual(values, {
      ...{ HOSTNAME: "titled", PLAIN: "plain", BUILT: `plain-${SECRET}`, CHANGED: "before" },
      ...{ GIVEN_UP: "x", FROM_MAP: "1", CONF_one: "1", CONF_TWO: "2", TOKEN: SECRET, PEM },
      ...{ POD_NAME: "titled", POD_LABEL: "titled", CPU: "250" },
    });
    const { variables } = JSON.parse(ran.stdout) as Shown;
    assert.ok(variables.every(({ from }) => from === "spec"));
    assert.match(ran.stderr, /from the pod's spec, since its main process shows none/);
    // What the owners hide does not come by this way either.
    await kubectl(
      "annotate",
      "pod",
      "titled",
      "inpod.dev/policy=deny-env=TOKEN,PE?",
      "-n",
      namespace,
    );
    const hidden = await env("-t", "pod/titled", "--explain");
    assert.doesNotMatch(hidden.stdout + hidden.stderr, /TOKEN|PEM/);
    assert.match(hidden.stderr, /2 that inpod\.dev\/policy hides/);
    await kubectl("annotate", "pod", "titled", "inpod.dev/policy-", "-n", namespace);
  });

  const least = (...operations: Operation[]): Right[] =>
    rightsFor(operations).filter(({ needed }) => needed === "always");

  test("a session's rights are enough; of the spec, without the right to secrets, they are named as missing", async () => {
    const rights = rulesOf(least("find deployment", "find pod", "place job"));
    const kubeconfig = await userWith(folder, namespace, "reader", rights);
    const ran = await env("--kubeconfig", kubeconfig, "-t", "deployment/orders");
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stdout, /^# TOKEN +pod$/m);
    const titled = await env("--kubeconfig", kubeconfig, "-t", "pod/titled");
    assert.equal(titled.code, 0, titled.stderr);
    assert.match(titled.stderr, /TOKEN \(secrets\/keys: you may not read it\)/);
    assert.match(titled.stdout, /^# PLAIN +spec$/m);
    assert.doesNotMatch(titled.stdout, /TOKEN/);
  });

  test("without a target they are the agent's own, without what is inpod's", async () => {
    const ran = await env("-t", "targetless", "--format", "json", "--show-values");
    assert.equal(ran.code, 0, ran.stderr);
    const values = valuesOf(ran.stdout);
    assert.equal(values.KUBERNETES_SERVICE_PORT, "443");
    assert.match(values.HOSTNAME ?? "", /^inpod-/);
    for (const name of Object.keys(values))
      assert.doesNotMatch(name, /^(INPOD_|NODE_|PATH$|HOME$)/);
    await nothingLeft();
  });

  test("beside a session it uses that one's agent, and leaves it there; events tell of both, logs of no value", async () => {
    const session = startInpod([
      ...["exec", "-n", namespace, "-t", orders, "-v", "-l", "trace", "--"],
      ...["sh", "-c", "echo in; exec sleep 80"],
    ]);
    await session.says(/^in$/m);
    await untilAgentIsKnown(namespace, `inpod.dev/target=${orders.replace("pod/", "")}`);
    const ran = await env("-t", orders);
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stderr, /joined the agent of /);
    assert.ok((await inventory(namespace)).length > found.length, "the agent is still there");
    assert.doesNotMatch(session.output(), /agent is gone|is lost/);
    const log = await kubectl(
      ...["logs", "-n", namespace, "-l", "app.kubernetes.io/managed-by=inpod", "--tail=-1"],
    );
    assert.match(log, /session/);
    assert.doesNotMatch(log, new RegExp(`${SECRET}|MII`));
    assert.doesNotMatch(session.output(), new RegExp(`${SECRET}|MII`));
    session.interrupt();
    await session.done;
    const notes = await kubectl(
      ...["get", "events.events.k8s.io", "-n", namespace, "-o"],
      'jsonpath={range .items[*]}{.reason} {.note}{"\\n"}{end}',
    );
    assert.match(notes, /^InpodSessionStarted \S+ reads the environment of pod\/orders-/m);
    assert.match(
      notes,
      /^InpodSessionStarted \S+ runs a process on another machine in the place of /m,
    );
    await nothingLeft();
  });

  test("every command of docs/environment.md, as it is typed", async (t) => {
    const document = readFileSync(new URL("../docs/environment.md", import.meta.url), "utf8");
    const lines = [...document.matchAll(/^ {4}(.*\binpod env .*)$/gm)].map(([, line = ""]) =>
      line.replace(/ {2,}#.*$/, "").replace(" -n shop", ""),
    );
    assert.ok(lines.length >= 8);
    const type = async (line: string): Promise<string> => {
      const shell = line.endsWith("| source") ? "fish" : "sh";
      if (spawnSync(shell, ["-c", "true"]).error) {
        t.diagnostic(`needs ${shell}: ${line}`);
        return "";
      }
      const { stdout } = await promisify(execFile)(shell, ["-c", `${line}\nenv`], {
        cwd: folder,
        env: {
          ...process.env,
          PATH: `${dirname(CLI)}:${process.env.PATH}`,
          INPOD_TARGET_NAMESPACE: namespace,
        },
        timeout: 90_000,
      });
      return stdout;
    };
    for (const line of lines) {
      const printed = await type(line);
      if (/^eval|source$/.test(line) && printed !== "")
        assert.match(printed, /^CHANGED=after$/m, line);
      else assert.doesNotMatch(printed, /^CHANGED=/m, line);
    }
    assert.ok(readdirSync(folder).includes("orders.env"));
    assert.match(
      readFileSync(join(folder, "orders.env"), "utf8"),
      new RegExp(`^TOKEN=${SECRET}$`, "m"),
    );
    const dotenv = Object.fromEntries(parseEnvFile(readFileSync(join(folder, ".env"), "latin1")));
    assert.equal(dotenv.PEM, PEM);
    assert.equal(dotenv.LATER, `it's "quoted" \\ $HOME`);
    await nothingLeft();
  });
});

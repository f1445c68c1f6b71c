/** Several sessions on one pod: one agent, each its own key, and the last one out removes it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { layCable } from "./support/cable.ts";
import { runInpod, startInpod } from "./support/inpod.ts";
import {
  inventory,
  kubectl,
  onCluster,
  untilAgentIsKnown,
  untilInventoryIs,
  waitFor,
} from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { runPod } from "./support/pods.ts";
import { userWith } from "./support/users.ts";

const server = (port: number, says: string): string =>
  `require("http").createServer((q, r) => r.end(${JSON.stringify(says)})).listen(${port}, () => console.log("up"));\n`;

describe("several sessions on one pod", onCluster, () => {
  const namespace = useNamespace("inpod-join");
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-"));
  after(() => rmSync(folder, { recursive: true }));
  let found: string[] = [];

  before(async () => {
    await runPod({ namespace, name: "web", command: ["sleep", "3600"] });
    await runPod({ namespace, name: "client", command: ["sleep", "3600"] });
    writeFileSync(join(folder, "one.cjs"), server(8081, "one"));
    writeFileSync(join(folder, "two.cjs"), server(8082, "two"));
    writeFileSync(join(folder, "same.cjs"), server(8081, "same"));
    found = await inventory(namespace);
  });

  const start = (script: string, ...flags: string[]) =>
    startInpod(
      ["exec", "-t", "pod/web", "-n", namespace, "--steal", ...flags, "--", "node", script],
      { cwd: folder },
    );
  const jobs = async (): Promise<string[]> =>
    (await inventory(namespace)).filter((name) => name.startsWith("job"));
  const agentIsSeen = (): Promise<unknown> =>
    untilAgentIsKnown(namespace, "app.kubernetes.io/managed-by=inpod");
  const ask = async (port: number): Promise<string> => {
    const ip = await kubectl(
      "get",
      "pod",
      "web",
      "-n",
      namespace,
      "-o",
      "jsonpath={.status.podIP}",
    );
    return kubectl(
      "exec",
      "client",
      "-n",
      namespace,
      "--",
      "wget",
      "-qO-",
      `http://${ip}:${port}/`,
    );
  };
  /** The agent waits a minute for a session that was lost: it may come back. */
  const untilAsBefore = (): Promise<unknown> => untilInventoryIs(namespace, found);

  test("the second joins the first one's agent; whoever made it may go first", async () => {
    const one = start("one.cjs");
    await one.says(/^up$/m);
    await agentIsSeen();
    const two = start("two.cjs");
    await two.says(/joined the agent of /);
    await two.says(/^up$/m);
    assert.equal((await jobs()).length, 1);
    assert.deepEqual([await ask(8081), await ask(8082)], ["one", "two"]);
    one.interrupt();
    await one.done;
    assert.equal((await jobs()).length, 1, "the agent stays for the second");
    assert.equal(await ask(8082), "two");
    two.interrupt();
    await two.done;
    await untilAsBefore();
  });

  test("who ends while his connection is cut asks whom his agent serves, and leaves it to them", async (t) => {
    const cable = await layCable(folder, "cable");
    t.after(() => cable.close());
    const one = start("one.cjs", "--kubeconfig", cable.kubeconfig);
    await one.says(/^up$/m);
    await agentIsSeen();
    const two = start("two.cjs");
    await two.says(/joined the agent of /);
    await two.says(/^up$/m);
    cable.reset();
    await one.says(/the connection to the agent is lost/);
    one.interrupt();
    // Its program has ended, and it has given up its tunnel: only now the way is free again.
    await one.says(/asking the agent whether it serves others/);
    cable.mend();
    await one.done;
    assert.equal((await jobs()).length, 1, "the agent stays for the second");
    assert.equal(await ask(8082), "two");
    assert.doesNotMatch(two.output(), /agent is gone|is lost/);
    two.interrupt();
    await two.done;
    await untilAsBefore();
  });

  test("a port that is taken already is refused with the name of who has it", async () => {
    const one = start("one.cjs");
    await one.says(/^up$/m);
    await agentIsSeen();
    const same = start("same.cjs");
    assert.equal((await same.done).code, 3);
    assert.match(same.output(), /8081 is stolen by \S+ since/);
    assert.equal(await ask(8081), "one");
    one.interrupt();
    await one.done;
    await untilAsBefore();
  });

  test("after kill -9 of the first, the second goes on, and a third gets an agent of its own or joins", async () => {
    const one = start("one.cjs");
    await one.says(/^up$/m);
    await agentIsSeen();
    const two = start("two.cjs");
    await two.says(/^up$/m);
    process.kill(one.child.pid ?? 0, "SIGKILL");
    await one.done;
    assert.equal(await ask(8082), "two");
    const third = await runInpod(["exec", "-t", "pod/web", "-n", namespace, "--", "hostname"]);
    assert.equal(third.stdout, "web\n", third.stderr);
    two.interrupt();
    await two.done;
    await untilAsBefore();
  });

  test("without the right to patch pods a session gets an agent of its own, and one line says so", async () => {
    const limited = await userWith(folder, namespace, "limited", [
      { apiGroups: [""], resources: ["pods"], verbs: ["get", "list", "watch", "create"] },
      { apiGroups: [""], resources: ["pods/portforward"], verbs: ["get", "create"] },
      { apiGroups: ["batch"], resources: ["jobs"], verbs: ["create", "delete"] },
    ]);
    const one = start("one.cjs");
    await one.says(/^up$/m);
    await agentIsSeen();
    const ran = await runInpod([
      ...["exec", "-t", "pod/web", "-n", namespace, "--kubeconfig", limited, "--", "hostname"],
    ]);
    assert.equal(ran.stdout, "web\n", ran.stderr);
    assert.match(ran.stderr, /without the right to patch pods this session gets one of its own/);
    one.interrupt();
    await one.done;
    await waitFor("the Jobs to be gone", async () =>
      (await jobs()).length === 0 ? true : undefined,
    );
  });
});

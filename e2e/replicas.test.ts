/** A workload of several pods behind a Service: traffic is taken from all of them, whatever becomes of them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { startCountingProxy } from "./support/counting-proxy.ts";
import { imageOfFiles } from "./support/images.ts";
import { type Running, runInpod, startInpod } from "./support/inpod.ts";
import {
  apply,
  FILE_TIMEOUT_MS,
  inventory,
  kubectl,
  noCluster,
  waitFor,
} from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { NODE_IMAGE, runNodePod } from "./support/pods.ts";
import {
  commandOf,
  kill9,
  notOnThisKernel,
  parentOf,
  processesOfPod,
} from "./support/this-kernel.ts";
import { service, workload } from "./support/workloads.ts";

/** Goes on for a while when its end is asked for, as a server behind a Service has to. */
const POD_SERVER = `
require("http").createServer((q, r) => r.end("pod")).listen(3000);
process.on("SIGTERM", () => setTimeout(() => process.exit(0), 4000));`;
const LOCAL_SERVER = `
require("http").createServer((q, r) => r.end("local")).listen(3000, () => console.log("up"));`;
/** In the client's pod: connections of their own, one after the other, and how often who answered. */
const ASK = `
const http = require("http"), fs = require("fs");
const [url, count, stop, header] = process.argv.slice(1);
const seen = {};
const once = () => new Promise((done) => {
  const options = { agent: false, timeout: 10000, headers: header ? { "x-user": header } : {} };
  const request = http.get(url, options, (response) => {
    let body = "";
    response.on("data", (each) => (body += each)).on("end", () => done(body)).on("error", (e) => done("error " + e.code));
  });
  request.on("timeout", () => request.destroy(new Error("timeout")));
  request.on("error", (error) => done("error " + (error.code || error.message)));
});
(async () => {
  for (let i = 0; i < Number(count) && !(stop && fs.existsSync(stop)); i++) {
    const answer = await once();
    seen[answer] = (seen[answer] || 0) + 1;
    if (stop) await new Promise((next) => setTimeout(next, 20));
  }
  console.log(JSON.stringify(seen));
})();`;
const SHAPE = {
  labels: { app: "web" },
  image: NODE_IMAGE,
  command: [process.execPath, "-e", POD_SERVER],
  container: { readinessProbe: { tcpSocket: { port: 3000 }, periodSeconds: 1 } },
  pod: { terminationGracePeriodSeconds: 20 },
};
const COUNTING_SERVER = `
let count = 0;
require("http").createServer((q, r) => { r.end(); console.log(++count + " requests"); }).listen(3000);`;
type Answers = Record<string, number>;

describe("a workload of several pods", {
  skip: noCluster || notOnThisKernel,
  timeout: FILE_TIMEOUT_MS,
}, () => {
  const namespace = useNamespace("inpod-replicas");
  const folder = mkdtempSync(join(tmpdir(), "inpod-replicas-"));
  let found: string[] = [];
  let url = "";

  const scale = async (replicas: number): Promise<void> => {
    await kubectl("scale", "deployment/web", `--replicas=${replicas}`, "-n", namespace);
    await kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s");
    await waitFor(`${replicas} pods`, async () =>
      (await pods()).length === replicas ? true : undefined,
    );
  };
  const pods = async (): Promise<string[]> => {
    const names = await kubectl("get", "pods", "-n", namespace, "-l", "app=web", "-o", "name");
    return names.split("\n").filter((name) => name !== "");
  };
  /** Without the names of the workload's pods, which come and go. */
  const objects = async (): Promise<string[]> =>
    (await inventory(namespace)).filter((name) => !name.startsWith("pod/web-")).sort();

  before(async () => {
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    writeFileSync(join(folder, "server.js"), LOCAL_SERVER);
    writeFileSync(join(folder, "counting.js"), COUNTING_SERVER);
    await apply(
      workload("Deployment", namespace, "web", SHAPE, { replicas: 3 }),
      service(namespace, "web", {
        selector: { app: "web" },
        ports: [{ port: 80, targetPort: 3000 }],
      }),
    );
    await runNodePod({ namespace, name: "client", source: "setInterval(() => {}, 1000)" });
    await scale(3);
    const ip = ["get", "service", "web", "-n", namespace, "-o", "jsonpath={.spec.clusterIP}"];
    url = `http://${await kubectl(...ip)}/`;
    found = await objects();
  });
  after(() => rmSync(folder, { recursive: true }));

  const inClient = (...args: string[]): Promise<string> =>
    kubectl("exec", "client", "-n", namespace, "--", process.execPath, "-e", ...args);
  const ask = async (count = 40, header = ""): Promise<Answers> =>
    JSON.parse(await inClient(ASK, url, String(count), "", header)) as Answers;
  /** Until nobody else has answered 40 times. */
  const untilAll = (who: string): Promise<unknown> =>
    waitFor(
      `all answers to be of ${who}`,
      async () => (Object.keys(await ask()).join() === who ? true : undefined),
      40_000,
    );

  const running: Running[] = [];
  afterEach(async () => {
    for (const { child, done } of running.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      process.kill(-(child.pid as number), "SIGINT");
      await done;
    }
  });
  const start = (target: string, ...flags: string[]): Running => {
    const args = ["exec", "-t", target, "-n", namespace, "--steal", ...flags, "--"];
    const inpod = startInpod([...args, "node", "server.js"], { cwd: folder, timeoutMs: 300_000 });
    running.push(inpod);
    return inpod;
  };
  const end = async (inpod: Running): Promise<void> => {
    inpod.interrupt();
    const { signal, code, stderr } = await inpod.done;
    assert.ok(signal === "SIGINT" || code === 130, `${signal} ${code} ${stderr}`);
    await untilAll("pod");
    await waitFor(
      "the namespace to be as before",
      async () => ((await objects()).join() === found.join() ? true : undefined),
      90_000,
    ).catch(async () => assert.deepEqual(await objects(), found, stderr));
  };

  test("every request to its Service is the program's, and one line says from which pods", async () => {
    const inpod = start("deployment/web");
    await inpod.says(/^up$/m);
    await inpod.says(/taking port 3000 from 3 pods: web-\S+, web-\S+, web-\S+$/m);
    assert.deepEqual(await ask(60), { local: 60 });
    await end(inpod);
  });

  test("a Service is as good a target, and a filter holds for all pods", async () => {
    const file = join(folder, "filter.json");
    const header_filter = "^x-user: ada$";
    writeFileSync(
      file,
      JSON.stringify({
        feature: { network: { incoming: { mode: "steal", http_filter: { header_filter } } } },
      }),
    );
    const inpod = start("service/web", "-f", file);
    await inpod.says(/taking port 3000 from 3 pods/);
    assert.deepEqual(await ask(40, "ada"), { local: 40 });
    assert.deepEqual(await ask(40, "eve"), { pod: 40 });
    await end(inpod);
  });

  test("copies come from all pods, which go on answering", async () => {
    const inpod = startInpod(
      ["exec", "-t", "deployment/web", "-n", namespace, "--", "node", "counting.js"],
      { cwd: folder, timeoutMs: 120_000 },
    );
    running.push(inpod);
    await inpod.says(/copying port 3000 from 3 pods: web-\S+, web-\S+, web-\S+$/m);
    assert.deepEqual(await ask(40), { pod: 40 });
    await inpod.says(/^40 requests$/m);
    await end(inpod);
  });

  test("--replicas 1 is one pod, and a line says of how many", async () => {
    const inpod = start("deployment/web", "--replicas", "1");
    await inpod.says(/^up$/m);
    const { local = 0, pod = 0, ...others } = await ask(90);
    assert.deepEqual(others, {});
    assert.ok(local > 0 && pod > local, JSON.stringify({ local, pod }));
    await end(inpod);
  });

  test("of seven pods five are taken, --replicas all takes seven", async () => {
    await scale(7);
    const five = start("deployment/web");
    await five.says(/taking port 3000 from 5 of 7 pods of deployment\/web: .*--replicas all/);
    const { local = 0, pod = 0, ...others } = await ask(140);
    assert.deepEqual(others, {});
    assert.ok(pod > 0 && local > pod, JSON.stringify({ local, pod }));
    await end(five);
    const all = start("deployment/web", "--replicas", "all");
    await all.says(/taking port 3000 from 7 pods/);
    assert.deepEqual(await ask(70), { local: 70 });
    await end(all);
    await scale(3);
  });

  test("what is scaled up is joined, what is scaled down goes, with a line for each change", async () => {
    const inpod = start("deployment/web");
    await inpod.says(/taking port 3000 from 3 pods/);
    await scale(5);
    await inpod.says(/joined: taking port 3000 from 5 pods/);
    assert.deepEqual(await ask(60), { local: 60 });
    await scale(2);
    await inpod.says(/gone: taking port 3000 from 2 pods/);
    assert.deepEqual(await ask(60), { local: 60 });
    await scale(3);
    await inpod.says(/joined: taking port 3000 from 3 pods/);
    await end(inpod);
  });

  test("a rollout under traffic costs no request, and all is taken again afterwards", async () => {
    const inpod = start("deployment/web");
    await inpod.says(/taking port 3000 from 3 pods/);
    const before = await pods();
    const asking = inClient(ASK, url, "100000", "/tmp/stop");
    await kubectl("rollout", "restart", "deployment/web", "-n", namespace);
    await kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=90s");
    await waitFor("the old pods to be gone", async () =>
      (await pods()).some((name) => before.includes(name)) ? undefined : true,
    );
    await untilAll("local");
    await inClient('require("fs").writeFileSync("/tmp/stop", "")');
    const answers = JSON.parse(await asking) as Answers;
    assert.deepEqual(
      Object.keys(answers).filter((each) => each.startsWith("error")),
      [],
      `${JSON.stringify(answers)} ${inpod.output()}`,
    );
    assert.ok((answers.local ?? 0) > 50, JSON.stringify(answers));
    await end(inpod);
  });

  test("an agent that is killed is followed by another one, and the others go on", async () => {
    const inpod = start("deployment/web");
    await inpod.says(/taking port 3000 from 3 pods/);
    const jobs = (await inventory(namespace)).filter((name) => /^job.*-r\d+$/.test(name));
    assert.equal(jobs.length, 2, jobs.join());
    const uid = await kubectl(
      ...["get", "pod", "-n", namespace, "-l", `job-name=${jobs[0]?.replace(/^.*\//, "")}`],
      ...["-o", "jsonpath={.items[0].metadata.uid}"],
    );
    const isEnter = (pid: number): boolean => commandOf(pid).startsWith("/inpod/inpod-enter ");
    const enters = processesOfPod(uid).filter(isEnter);
    // Its children have its name, and end with it.
    const [victim] = enters.filter((pid) => !enters.includes(parentOf(pid)));
    assert.ok(victim, `no enter in ${uid}`);
    kill9(victim);
    await inpod.says(/pod web-\S+: the agent is gone .*starting another one/);
    await inpod.says(/pod web-\S+: the connection to its agent is back/);
    await untilAll("local");
    await end(inpod);
  });

  test("a pod that a colleague holds is named, and the others are taken", async () => {
    const [first = ""] = await pods();
    const one = start(first);
    await one.says(/^up$/m);
    await waitFor("its agent to be known", async () => {
      const path = "jsonpath={.items[*].status.containerStatuses[*].state.running.startedAt}";
      const selector = "app.kubernetes.io/managed-by=inpod";
      const states = await kubectl("get", "pods", "-n", namespace, "-l", selector, "-o", path);
      return states === "" ? undefined : true;
    });
    const two = start("deployment/web");
    await two.says(/taking port 3000 from 2 of 3 pods of deployment\/web/);
    await two.says(/pod web-\S+: port 3000 is not taken: .*stolen by/);
    two.interrupt();
    await two.done;
    const { local = 0, pod = 0 } = await ask(60);
    assert.ok(local > 0 && pod > 0, JSON.stringify({ local, pod }));
    await end(one);
  });

  test("Ctrl-Z gives every pod its traffic back, and fg takes it again", async () => {
    const inpod = start("deployment/web");
    await inpod.says(/taking port 3000 from 3 pods/);
    process.kill(-(inpod.child.pid as number), "SIGTSTP");
    await untilAll("pod");
    process.kill(-(inpod.child.pid as number), "SIGCONT");
    await untilAll("local");
    await end(inpod);
  });

  test("kill -9 of the CLI: the pods answer at once, and nothing stays", async () => {
    const inpod = start("deployment/web");
    await inpod.says(/taking port 3000 from 3 pods/);
    process.kill(inpod.child.pid as number, "SIGKILL");
    await inpod.exited;
    await untilAll("pod");
    await inpod.done;
    await waitFor(
      "the namespace to be as before",
      async () => ((await objects()).join() === found.join() ? true : undefined),
      110_000,
    );
  });

  test("a workload of one pod costs no request more than a pod, and nothing while it is idle", async () => {
    await scale(1);
    const proxy = await startCountingProxy();
    try {
      const kubeconfig = join(folder, "counting");
      writeFileSync(
        kubeconfig,
        JSON.stringify({
          "current-context": "c",
          contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
          clusters: [{ name: "c", cluster: { server: proxy.url } }],
          users: [{ name: "u", user: {} }],
        }),
      );
      const flags = ["-n", namespace, "--steal", "--kubeconfig", kubeconfig];
      const ran = await runInpod(["exec", "-t", "deployment/web", ...flags, "--", "true"]);
      assert.equal(ran.code, 0, ran.stderr);
      // An agent that does not listen yet is asked again.
      const dials = proxy.requests.filter((each) => each.includes("/portforward?"));
      const again = dials.length - new Set(dials).size;
      assert.ok(proxy.requests.length - again <= 15, proxy.requests.join("\n"));
      const inpod = start("deployment/web", "--no-canary", "--kubeconfig", kubeconfig);
      await inpod.says(/^up$/m);
      await waitFor("the watch of its pods", async () =>
        proxy.requests.some((each) => /\/pods\?.*labelSelector=app%3Dweb.*watch=1/.test(each))
          ? true
          : undefined,
      );
      // The beginning is over: what it tells the cluster (an Event, for one) is told behind the program's first words.
      let count = -1;
      await waitFor(
        "the session to be idle",
        async () => {
          const before = count;
          count = proxy.requests.length;
          return before === count ? true : undefined;
        },
        90_000,
        2000,
      );
      assert.deepEqual(await ask(200), { local: 200 });
      assert.equal(proxy.requests.length, count, proxy.requests.slice(count).join("\n"));
      await end(inpod);
    } finally {
      await proxy.close();
    }
  });

  test("a StatefulSet's pod and its successor of the same name", async () => {
    const stop = ["delete", "deployment/web", "-n", namespace];
    await kubectl(...stop, "--cascade=foreground");
    const more = { replicas: 2, serviceName: "web", podManagementPolicy: "Parallel" };
    await apply(workload("StatefulSet", namespace, "web", SHAPE, more));
    await kubectl("rollout", "status", "statefulset/web", "-n", namespace, "--timeout=60s");
    await untilAll("pod");
    const inpod = start("statefulset/web");
    await inpod.says(/taking port 3000 from 2 pods: web-0, web-1$/m);
    for (const name of ["web-1", "web-0"]) {
      await kubectl("delete", "pod", name, "-n", namespace);
      await kubectl("rollout", "status", "statefulset/web", "-n", namespace, "--timeout=60s");
      await untilAll("local");
    }
    await end(inpod);
  });
});

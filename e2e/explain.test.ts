/** `inpod explain -t` and `exec --trace` on a cluster: what is said before is what is decided then. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { runInpod } from "./support/inpod.ts";
import { inventory, onCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { runPod } from "./support/pods.ts";
import { runWeb } from "./support/web.ts";

interface Explained {
  readonly target: string;
  readonly explanations: readonly {
    readonly subject: string;
    readonly answers: readonly {
      readonly about: string;
      readonly verdict: string;
      readonly why: string;
      readonly key: string | null;
    }[];
    readonly notes: readonly string[];
    readonly pod: readonly string[];
  }[];
}

const SERVER = `require("http").createServer((q, r) => r.end("pod")).listen(3000)`;

describe("inpod explain on a cluster", onCluster, () => {
  const namespace = useNamespace("inpod-explain");
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-explain-"));
  let found: string[] = [];

  before(async () => {
    await runWeb(namespace, SERVER);
    await runPod({
      namespace,
      name: "app",
      command: ["sleep", "3600"],
      env: { GREETING: "c4n4ry" },
      extra: { securityContext: { runAsUser: 4242, runAsGroup: 4242 } },
    });
    found = await inventory(namespace);
  });
  after(() => rmSync(folder, { recursive: true }));

  const explain = async (...words: string[]): Promise<Explained> => {
    const { code, stdout, stderr } = await runInpod(
      ["explain", "-t", "pod/app", "-n", namespace, "-o", "json", ...words],
      { cwd: folder },
    );
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stdout + stderr, /c4n4ry/);
    return JSON.parse(stdout) as Explained;
  };
  const said = ({ explanations }: Explained, subject: string): string => {
    const one = explanations.find((each) => each.subject === subject);
    assert.ok(one, subject);
    const answers = one.answers.map(({ about, verdict }) => `${about} ${verdict}`);
    return [...answers, ...one.notes, ...one.pod].join(" | ");
  };

  const nothingLeft = (): Promise<true> =>
    waitFor("the cluster to be as before", async () => {
      const now = await inventory(namespace);
      return now.join() === found.join() ? true : undefined;
    });

  test("the pod says what a file, a name, a port and a variable are there", async () => {
    const token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    const all = await explain(
      "/etc/hosts",
      token,
      "/nowhere/x",
      "web:80",
      "web:81",
      "nobody.example",
      ":3000",
      "GREETING=",
    );
    assert.match(said(all, "/etc/hosts"), /read remote.*the program gets the pod's.*owner \d+:\d+/);
    assert.match(said(all, token), /read remote.*links lead to .*may be read/);
    assert.match(said(all, "/nowhere/x"), /the program finds nothing \(ENOENT\)/);
    assert.match(
      said(all, "web:80"),
      new RegExp(`name remote.*web\\.${namespace}\\.svc\\.[a-z.]+: [0-9.]+ .*:80 is connected to`),
    );
    assert.match(said(all, "web:81"), /:81 (cannot be connected to|does not answer)/);
    assert.match(said(all, "nobody.example"), /it does not resolve: .*NXDOMAIN/);
    assert.match(
      said(all, ":3000"),
      /listen take.*127\.0\.0\.1:3000 cannot be connected to from the pod: ECONNREFUSED/,
    );
    assert.match(said(all, "GREETING="), /variable pod.*its main process has it/);
    await nothingLeft();
  });

  test("what is explained is what a session decides, and its trace says what came of it", async () => {
    const file = join(folder, "trace.jsonl");
    const script = "cat /etc/hosts /nowhere/x; wget -qO- http://web/ || curl -s http://web/; true";
    const { code, stderr } = await runInpod(
      ["exec", "-t", "pod/app", "-n", namespace, "--trace", file, "--", "sh", "-c", script],
      { cwd: folder },
    );
    assert.equal(code, 0, stderr);
    const text = readFileSync(file, "utf8");
    assert.doesNotMatch(text, /c4n4ry/);
    const calls = text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const [begin] = calls;
    assert.equal(begin?.target, "pod/app");
    const call = (name: string, subject: RegExp) =>
      calls.find((each) => each.call === name && subject.test(String(each.subject)));
    const connected = call("connect", /^tcp .*:80$/);
    assert.deepEqual([connected?.verdict, connected?.result], ["remote", "ok"]);
    assert.equal(call("resolve", new RegExp(`web\\.${namespace}\\.svc`))?.verdict, "remote");
    const all = await explain("/etc/hosts", "web:80");
    for (const { subject, answers } of all.explanations) {
      const about = subject === "web:80" ? "tcp, udp" : "read";
      const answer = answers.find((each) => each.about === about);
      const decided = subject === "web:80" ? connected : call("open", /^\/etc\/hosts$/);
      assert.deepEqual(
        [decided?.verdict, decided?.why, decided?.key],
        [answer?.verdict, answer?.why, answer?.key],
        subject,
      );
    }
    const { code: summed, stdout } = await runInpod(["trace", file], { cwd: folder });
    assert.equal(summed, 0);
    assert.match(stdout, /^sh in the place of pod\/app, /);
    assert.match(stdout, /\nfile \/nowhere\/x: neither the pod nor this machine has it/);
    await nothingLeft();
  });
});

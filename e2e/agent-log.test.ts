/** The agent's log is an audit trail: who, which session, which ports, why. Nothing that passed through it is there. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { imageOfFiles } from "./support/images.ts";
import { startInpod } from "./support/inpod.ts";
import { kubectl, noCluster } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { NODE_IMAGE, runNodePod, runPod } from "./support/pods.ts";

/** Where each of them is; none may be in the log. */
const SECRETS = {
  variable: "hunter2-variable",
  file: "hunter2-file",
  headerIn: "hunter2-header-in",
  queryIn: "hunter2-query-in",
  bodyIn: "hunter2-body-in",
  bodyBack: "hunter2-body-back",
  headerOut: "hunter2-header-out",
} as const;

describe("the agent's log", { skip: noCluster, timeout: 180_000 }, () => {
  const namespace = useNamespace("inpod-log");
  const folder = mkdtempSync(join(tmpdir(), "inpod-log-"));
  after(() => rmSync(folder, { recursive: true }));
  let podIp = "";
  let clientIp = "";

  before(async () => {
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    await runNodePod({
      namespace,
      name: "web",
      source: `
        require("fs").mkdirSync("/srv-data", { recursive: true });
        require("fs").writeFileSync("/srv-data/token-of-the-pod", "${SECRETS.file}");
        require("http").createServer((q, r) => r.end(String(q.headers["x-out"]))).listen(4000);`,
      env: { DB_PASSWORD: SECRETS.variable },
    });
    await runPod({ namespace, name: "client", command: ["sleep", "1000"] });
    const ip = (name: string) =>
      kubectl("get", "pod", name, "-n", namespace, "-o", "jsonpath={.status.podIP}");
    [podIp, clientIp] = await Promise.all([ip("web"), ip("client")]);
    writeFileSync(
      join(folder, "program.cjs"),
      `const { createServer, get } = require("http");
       createServer((q, r) => {
         q.resume().on("end", () => r.end("${SECRETS.bodyBack} " + process.env.DB_PASSWORD));
       }).listen(3000, () => {
         const file = require("fs").readFileSync("/srv-data/token-of-the-pod", "utf8");
         get({ host: "${podIp}", port: 4000, headers: { "x-out": "${SECRETS.headerOut}" } }, (r) =>
           r.on("data", (data) => console.log("got", String(data), file)));
       });`,
    );
  });

  test("names session, owner, ports and reasons, and no value, file, header, body or client", async () => {
    const owner = (
      await kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    ).trim();
    const config = join(folder, "config.json");
    writeFileSync(config, JSON.stringify({ agent: { json_log: true, log_level: "trace" } }));
    const inpod = startInpod(
      [
        ...["exec", "-f", config, "-n", namespace, "-t", "pod/web", "--steal"],
        ...["--", "node", "program.cjs"],
      ],
      { cwd: folder },
    );
    await inpod.says(new RegExp(`^got ${SECRETS.headerOut} ${SECRETS.file}$`, "m"));
    const answer = await kubectl(
      ...["exec", "client", "-n", namespace, "--", "wget", "-qO-"],
      ...["--header", `Authorization: Bearer ${SECRETS.headerIn}`, "--post-data", SECRETS.bodyIn],
      `http://${podIp}:3000/?key=${SECRETS.queryIn}`,
    );
    assert.equal(answer, `${SECRETS.bodyBack} ${SECRETS.variable}`);
    const agents = await kubectl(
      ...["get", "pods", "-n", namespace, "-l", "app.kubernetes.io/managed-by=inpod"],
      ...["-o", "jsonpath={.items[*].metadata.name}"],
    );
    // The kubelet may not have told yet that what we speak with is running.
    await kubectl(
      ...["wait", `pod/${agents.trim()}`, "-n", namespace, "--timeout=30s"],
      "--for=jsonpath={.status.phase}=Running",
    );
    // Until the end: releasing is logged too.
    const logs = startLogs(namespace, agents.trim());
    inpod.interrupt();
    await inpod.done;
    const text = await logs;

    for (const [where, secret] of Object.entries(SECRETS))
      assert.ok(!text.includes(secret), `${where}: ${text}`);
    assert.doesNotMatch(text, /token-of-the-pod|DB_PASSWORD|Bearer|x-out/i);

    const lines = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const session = /^inpod-([a-z0-9]+)-/.exec(agents)?.[1];
    const of = (event: string) => lines.find((line) => line.event === event);
    assert.deepEqual([of("session")?.session, of("session")?.owner], [session, owner]);
    assert.deepEqual([of("steal")?.session, of("steal")?.port], [session, 3000]);
    assert.deepEqual([of("release")?.session, of("release")?.port], [session, 3000]);
    assert.equal(typeof of("release")?.why, "string");
    // Where the program connects to is told to who asks for it; who came is nobody's.
    assert.ok(lines.some(({ event, host, port }) => event === "stream" && host && port === 4000));
    const usual = lines.filter(({ level }) => level !== "debug" && level !== "trace");
    assert.ok(!JSON.stringify(usual).includes(podIp), text);
    assert.ok(!text.includes(clientIp), text);
  });
});

/** Follows it until the container ends. */
const startLogs = (namespace: string, pod: string): Promise<string> =>
  kubectl("logs", "--follow", pod, "-n", namespace);

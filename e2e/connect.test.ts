/** `inpod connect` on a real cluster, without any right on this machine: by its proxy, and for one command. */
import assert from "node:assert/strict";
import { hostname } from "node:os";
import { before, describe, test } from "node:test";
import { killAgent, runAllProtocols } from "./support/all-protocols.ts";
import { runInpod, startInpod } from "./support/inpod.ts";
import { inventory, kubectl, noCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { useSteps } from "./support/steps.ts";

describe("the cluster's network", { skip: noCluster, timeout: 300_000 }, () => {
  const namespace = useNamespace("inpod-connect");
  let found: string[] = [];
  before(async () => {
    await runAllProtocols(namespace);
    found = await inventory(namespace);
  });
  const untilAsBefore = (limitMs = 100_000): Promise<unknown> =>
    waitFor(
      "the namespace to be as before",
      async () => ((await inventory(namespace)).join() === found.join() ? true : undefined),
      limitMs,
    );

  test("by a proxy: names of the namespace and of others, HTTP/1, HTTP/2, raw TCP and UDP; a killed agent has a successor, and kill -9 leaves nothing", async () => {
    const inpod = startInpod(["connect", "-n", namespace, "--mode", "proxy", "--port", "0"]);
    await inpod.says(/until Ctrl-C/);
    const port = Number(/listens on \S+?:(\d+)\n/.exec(inpod.output())?.[1]);
    const dns = await kubectl(
      ...["get", "service", "kube-dns", "-n", "kube-system", "-o", "jsonpath={.spec.clusterIP}"],
    );
    const question = Buffer.concat([
      Buffer.from([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
      ...`web.${namespace}.svc.cluster.local`
        .split(".")
        .map((label) => Buffer.from([label.length, ...Buffer.from(label)])),
      Buffer.from([0, 0, 1, 0, 1]),
    ]);
    const get = "GET /s HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
    const steps = [
      { do: "http", port, url: "http://web/plain" },
      { do: "http2", port, path: "/two", via: `web.${namespace}:80` },
      { do: "socks", port, to: { host: "web", port: 80 }, send: get },
      { do: "socks", port, to: { host: `web.${namespace}.svc`, port: 4000 }, send: "raw" },
      { do: "connect", port, to: "web:4000", send: "raw" },
      { do: "socks-udp", port, to: { host: "web", port: 5300 }, send: "ping" },
    ];
    const expected = [
      /^pod 1\.1 \/plain$/,
      /^pod 2\.0 \/two$/,
      /\r\n\r\n(?:.*\r\n)?pod 1\.1 \/s/,
      /^pod raw$/,
      /\r\n\r\npod raw$/,
      /^pod ping$/,
    ];
    const check = async (): Promise<void> => {
      const told = await useSteps(...steps);
      for (const [at, words] of expected.entries()) assert.match(told[at]?.text ?? "", words);
    };
    await check();
    const [asked, none, kubernetes] = await useSteps(
      { do: "socks-udp", port, to: { host: dns, port: 53 }, send: question.toString("latin1") },
      { do: "socks", port, to: { host: "nobody", port: 80 } },
      { do: "connect", port, to: "kubernetes.default:443", ends: true },
    );
    assert.equal(asked?.from, `${dns}:53`);
    assert.equal(none?.reply, 4);
    assert.match(kubernetes?.text ?? "", /^HTTP\/1\.1 200 Connection established/);
    await killAgent(namespace);
    await inpod.says(/the connection to the agent is back/);
    await check();
    inpod.child.kill("SIGKILL");
    await inpod.exited;
    await untilAsBefore(150_000);
  });

  test("a command and what it starts: names and connections are the cluster's, the rest is this machine's", async () => {
    const script = `
      const { execFileSync } = require("node:child_process");
      const child = 'require("node:http").get("http://web.${namespace}.svc/child", (r) => r.pipe(process.stdout))';
      fetch("http://web/own").then((r) => r.text()).then((text) => {
        console.log(text);
        console.log(execFileSync(process.execPath, ["-e", child], { encoding: "utf8" }));
        console.log(require("node:os").hostname(), process.env.KUBERNETES_SERVICE_HOST ?? "none", process.env.OWN);
        process.exit(3);
      });`;
    const { code, stdout, stderr } = await runInpod(
      ["connect", "-n", namespace, "--", process.execPath, "-e", script],
      { env: { OWN: "mine" } },
    );
    assert.equal(stdout, `pod 1.1 /own\npod 1.1 /child\n${hostname()} none mine\n`, stderr);
    assert.equal(code, 3);
    await untilAsBefore();
  });
});

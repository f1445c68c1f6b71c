/** `inpod connect` on a real cluster, without any right on this machine: by its proxy, and for one command. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { hostname } from "node:os";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { killAgent, useAllProtocols } from "./support/all-protocols.ts";
import { runInpod, startInpod } from "./support/inpod.ts";
import { kubectl, onCluster } from "./support/kubectl.ts";
import { useSteps } from "./support/steps.ts";

describe("the cluster's network", onCluster, () => {
  const { namespace, away, untilAsBefore } = useAllProtocols("inpod-connect");

  const startProxy = () =>
    startInpod(["connect", "-n", namespace, "--mode", "proxy", "--port", "0", ...away()]);

  test("by a proxy: names of the namespace and of others, HTTP/1, HTTP/2, raw TCP and UDP; a killed agent has a successor, and nothing of this machine is changed", async () => {
    const machine = await machineState();
    const inpod = startProxy();
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
    assert.equal(await machineState(), machine);
    inpod.interrupt();
    assert.equal((await inpod.done).code, 0);
    await untilAsBefore();
    assert.equal(await machineState(), machine);
  });

  test("a command and what it starts: names and connections are the cluster's, the rest is this machine's", async () => {
    const script = `
      const { execFileSync } = require("node:child_process");
      const child = 'require("node:http").get("http://web.${namespace}.svc/child", (r) => r.pipe(process.stdout))';
      const http2 = () => new Promise((done, failed) => {
        const session = require("node:http2").connect("http://web").on("error", failed);
        let text = "";
        session.request({ ":path": "/two" }).setEncoding("utf8").on("data", (t) => (text += t)).on("error", failed)
          .on("end", () => { session.close(); done(text); });
      });
      const raw = () => new Promise((done, failed) => {
        let text = "";
        const socket = require("node:net").connect({ host: "web", port: 4000, allowHalfOpen: true }, () => socket.end("raw"));
        socket.setEncoding("utf8").on("data", (t) => (text += t)).on("error", failed).on("end", () => done(text));
      });
      const udp = () => new Promise((done) => {
        const socket = require("node:dgram").createSocket("udp4", (m) => { socket.close(); done(String(m)); });
        socket.send("ping", 5300, "web");
      });
      (async () => {
        console.log(await (await fetch("http://web/own")).text());
        for (const ask of [http2, raw, udp]) console.log(await ask());
        console.log(execFileSync(process.execPath, ["-e", child], { encoding: "utf8" }));
        console.log(require("node:os").hostname(), process.env.KUBERNETES_SERVICE_HOST ?? "none", process.env.OWN);
        process.exit(3);
      })();`;
    const machine = await machineState();
    const { code, stdout, stderr } = await runInpod(
      ["connect", "-n", namespace, ...away(), "--", process.execPath, "-e", script],
      { env: { OWN: "mine" } },
    );
    assert.deepEqual(
      stdout.split("\n"),
      [
        ...["pod 1.1 /own", "pod 2.0 /two", "pod raw", "pod ping", "pod 1.1 /child"],
        ...[`${hostname()} none mine`, ""],
      ],
      stderr,
    );
    assert.equal(code, 3);
    await untilAsBefore();
    assert.equal(await machineState(), machine);
  });

  test("after kill -9 of either nothing is left, in the cluster or here", async () => {
    const machine = await machineState();
    const script =
      "setInterval(() => {}, 1e6); fetch('http://web/').then(() => console.log('got it'))";
    const both = [
      startProxy(),
      startInpod(["connect", "-n", namespace, ...away(), "--", process.execPath, "-e", script]),
    ];
    await Promise.all([both[0]?.says(/until Ctrl-C/), both[1]?.says(/got it/)]);
    for (const { child } of both) process.kill(-(child.pid ?? 0), "SIGKILL");
    await Promise.all(both.map(({ done }) => done));
    await untilAsBefore();
    assert.equal(await machineState(), machine);
  });
});

/** What programs of this machine find the network by. */
async function machineState(): Promise<string> {
  const files = "/etc/resolv.conf /etc/hosts /etc/nsswitch.conf";
  const routes = "ip rule; ip -6 rule; ip route; ip -6 route";
  const { stdout } = await promisify(execFile)("sh", ["-c", `cat ${files}; ${routes}`]);
  return stdout;
}

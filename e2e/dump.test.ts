/** `inpod dump` on a real cluster: what a client on another node sends to a Service is printed, and the pod answers it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { askFromClient, POD_ANSWERS, useAllProtocols } from "./support/all-protocols.ts";
import { startInpod } from "./support/inpod.ts";
import { kubectl, onCluster } from "./support/kubectl.ts";

interface Line {
  readonly [key: string]: unknown;
}

describe("a dump on a cluster", onCluster, () => {
  const { namespace, away, untilAsBefore } = useAllProtocols("inpod-dump");

  const jsonpath = (what: string, path: string): Promise<string> =>
    kubectl("get", what, "-n", namespace, "-o", `jsonpath=${path}`);

  test("all ports that a Service names: HTTP/1, HTTP/2, raw TCP and UDP, with the client's own address", async () => {
    const client = await jsonpath("pod/client", "{.status.podIP}");
    const inpod = startInpod(["dump", "web", "-n", namespace, "-o", "json"]);
    await inpod.says(/until Ctrl-C/);
    for (const port of ["port 80 (http)", "port 4000 (raw)", "UDP port 5300 (udp)"])
      assert.ok(inpod.output().includes(`what is sent to ${port} of service/web is printed`), port);
    assert.deepEqual(await askFromClient(namespace), POD_ANSWERS);
    for (const words of [/"\/one"/, /"\/two"/, /"protocol":"tcp".*"base64"/, /"protocol":"udp"/])
      await inpod.says(words);
    inpod.interrupt();
    const { code, stdout, stderr } = await inpod.done;
    assert.equal(code, 0, stderr);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Line);
    const told = lines
      .filter((line) => String(line.client).startsWith(`${client}:`))
      .map((line) => {
        const text = Buffer.from(String(line.base64 ?? ""), "base64").toString();
        const { kind, protocol, version, method, target } = line;
        return kind === "request" ? `${version} ${method} ${target}` : `${protocol} ${text}`;
      });
    assert.deepEqual(told.sort(), [
      "HTTP/1.1 GET /one",
      "HTTP/2 GET /two",
      "tcp raw",
      "udp datagram",
    ]);
    await untilAsBefore();
  });

  test("after kill -9 the pod answers, and nothing is left", async () => {
    const inpod = startInpod(["dump", "web", "-n", namespace, ...away()]);
    await inpod.says(/until Ctrl-C/);
    assert.deepEqual(await askFromClient(namespace), POD_ANSWERS);
    await inpod.says(/\/two/);
    process.kill(-(inpod.child.pid ?? 0), "SIGKILL");
    await inpod.done;
    await untilAsBefore();
  });
});

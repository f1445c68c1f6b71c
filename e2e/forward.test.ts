/** `inpod forward` on a real cluster: the developer's ports for what the cluster has, and the other way round. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { createServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { after, before, describe, test } from "node:test";
import { askFromClient, killAgent, POD_ANSWERS, useAllProtocols } from "./support/all-protocols.ts";
import { type Running, startInpod } from "./support/inpod.ts";
import { kubectl, onCluster, waitFor } from "./support/kubectl.ts";
import { useSteps } from "./support/steps.ts";

describe("ports on a cluster", onCluster, () => {
  const { namespace, away, untilAsBefore } = useAllProtocols("inpod-forward");

  const forward = (...words: string[]): Running =>
    startInpod(["forward", "-n", namespace, ...words]);
  async function ready(inpod: Running): Promise<number[]> {
    await inpod.says(/until Ctrl-C/);
    return [...inpod.output().matchAll(/inpod: (?:UDP port )?\S+:(\d+) goes to/g)].map(([, port]) =>
      Number(port),
    );
  }
  test("without a target: HTTP/1, HTTP/2, raw TCP and UDP of a Service whose pod is on another node, and the cluster's DNS; an agent that is killed has a successor", async () => {
    // A Service would be known not to have the port.
    const pod = await kubectl(
      ...["get", "pod", "web", "-n", namespace, "-o", "jsonpath={.status.podIP}"],
    );
    const inpod = forward(
      ...away(),
      ...["web", "0:80", "0:4000", "0:5300/udp"],
      ...["-L", "0:kube-dns.kube-system:53/udp", "-L", `0:${pod}:81`],
    );
    const [http, raw, udp, dns, refused] = await ready(inpod);
    const steps = [
      { do: "http", port: http, path: "/a" },
      { do: "http2", port: http, path: "/b" },
      { do: "tcp", port: raw, send: "half-closed" },
      { do: "udp", port: udp, send: "ping" },
      { do: "dns", port: dns, name: `web.${namespace}.svc.cluster.local` },
    ];
    const told = await useSteps(...steps, { do: "tcp", port: refused, ends: false });
    assert.deepEqual(
      told.slice(0, 4).map(({ text }) => text),
      ["pod 1.1 /a", "pod 2.0 /b", "pod half-closed", "pod ping"],
    );
    assert.match(told[4]?.addresses?.[0] ?? "", /^198\.19\.|^\d/);
    assert.equal(told[5]?.how, "ECONNRESET");
    await inpod.says(/:81: .*(refuses|does not answer|cannot connect)/);
    await killAgent(namespace);
    await inpod.says(/the connection to the agent is back/);
    const again = await useSteps(...steps);
    assert.deepEqual(
      again.slice(0, 4).map(({ text }) => text),
      ["pod 1.1 /a", "pod 2.0 /b", "pod half-closed", "pod ping"],
    );
    inpod.interrupt();
    assert.equal((await inpod.done).code, 0);
    await untilAsBefore();
  });

  describe("with the developer's servers", () => {
    const answer = (request: { httpVersion: string; url?: string | undefined }) =>
      `here ${request.httpVersion} ${request.url}`;
    const one = createServer((q, r) => r.end(answer(q)));
    const two = createHttp2Server((q, r) => r.end(answer(q)));
    const both = createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", (first) => {
        socket.pause();
        socket.unshift(first);
        const isTwo = String(first).startsWith("PRI ");
        (isTwo ? two : one).emit("connection", socket);
        if (!isTwo) socket.resume(); // node:http2 reads what is in it itself
      });
    });
    const echo = createTcpServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => {});
      socket.write("here ");
      socket.pipe(socket);
    });
    const udp = createSocket("udp4");
    udp.on("message", (m, r) => udp.send(`here ${m}`, r.port, r.address));
    const port = (server: Server): number => (server.address() as AddressInfo).port;
    before(async () => {
      await Promise.all([
        new Promise<void>((resolve) => both.listen(0, "127.0.0.1", resolve)),
        new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve)),
        new Promise<void>((resolve) => udp.bind(0, "127.0.0.1", resolve)),
      ]);
    });
    after(() => {
      both.close();
      echo.close();
      udp.close();
    });
    const ours = POD_ANSWERS.map((line) => line.replace("pod", "here"));
    const taken = async (...words: string[]): Promise<Running> => {
      const inpod = forward(
        ...[...away(), "-t", "pod/web", ...words],
        ...["-R", `3000:${port(both)},4000:${port(echo)},5300:${udp.address().port}/udp`],
      );
      await inpod.says(/until Ctrl-C/);
      return inpod;
    };

    test("a client of another node reaches them by the target's ports, and the pod's loopback is reached from here", async () => {
      const inpod = await taken("-L", "0:9999");
      assert.deepEqual(await askFromClient(namespace), ours);
      const [sidecar] = await ready(inpod);
      const [echoed] = await useSteps({ do: "tcp", port: sidecar, send: "sidecar" });
      assert.equal(echoed?.text, "sidecar");
      inpod.interrupt();
      assert.equal((await inpod.done).code, 0);
      assert.deepEqual(await askFromClient(namespace), POD_ANSWERS);
      await untilAsBefore();
    });

    test("after kill -9 the pod answers its clients again, and nothing is left", async () => {
      const inpod = await taken();
      assert.deepEqual(await askFromClient(namespace), ours);
      inpod.child.kill("SIGKILL");
      await inpod.exited;
      await waitFor("the pod to answer", async () =>
        (await askFromClient(namespace)).join() === POD_ANSWERS.join() ? true : undefined,
      );
      await untilAsBefore();
    });
  });
});

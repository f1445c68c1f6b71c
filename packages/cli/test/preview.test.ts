import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import { neededName, previewPorts } from "../src/preview/ports.ts";
import { judgeService } from "../src/recover/services.ts";
import { readExpose } from "../src/services/expose.ts";

const ports = (text: string) => previewPorts(readExpose(text));
const refused = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
  return "it was taken";
};

test("a new Service has the port that is said, or that of the same number", () => {
  assert.deepEqual(ports("8080:9090,9000"), [
    { local: 8080, port: 9090, agentPort: 9090 },
    { local: 9000, port: 9000, agentPort: 9000 },
  ]);
});

test("the agent listens on a high port for one that only root may have, and for its own", () => {
  assert.deepEqual(
    ports("1:80,2:20080,3:61337").map(({ port, agentPort }) => [port, agentPort]),
    [
      [80, 20081],
      [20080, 20080],
      [61337, 20921],
    ],
  );
});

test("names, UDP and a port that is said twice are refused", () => {
  assert.match(
    refused(() => ports("8080:http")),
    /ports have numbers/,
  );
  assert.match(
    refused(() => ports("5353:53/udp")),
    /TCP only/,
  );
  assert.match(
    refused(() => ports("8080:80,8081:80")),
    /port 80 is said twice/,
  );
});

test("a name that no Service may have is refused before the cluster is asked", () => {
  assert.equal(neededName("orders-v2"), "orders-v2");
  for (const wrong of ["Orders", "1st", "a_b", "a.b", "-a", "a-", "a".repeat(64), ""])
    assert.match(
      refused(() => neededName(wrong)),
      /no name for a Service/,
      wrong,
    );
  assert.match(
    refused(() => neededName(undefined)),
    /needs a name/,
  );
});

test("a Service is given back whose lease is over or whose relay is gone, and no other", () => {
  const service = (untilMs: number) => ({
    namespace: "shop",
    name: "web",
    note: { holder: "k3x", owner: "ada", selector: { a: "b" }, relay: { c: "d" }, untilMs },
    isRemembered: false,
    restore: async () => "",
  });
  const verdict = (untilMs: number, agents: [] | undefined) =>
    judgeService(service(untilMs), agents, 1000).verdict;
  assert.equal(verdict(999, undefined), "left");
  assert.equal(verdict(2000, []), "left");
  assert.equal(verdict(2000, undefined), "unknown");
  const remembered = { ...service(2000), isRemembered: true };
  assert.equal(judgeService(remembered, undefined, 1000).verdict, "left");
  assert.equal(judgeService({ ...service(1), note: undefined }, [], 1000).verdict, "unknown");
});

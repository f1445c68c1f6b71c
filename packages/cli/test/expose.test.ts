import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import { parseArguments } from "../src/arguments.ts";
import type { ExchangeArguments } from "../src/exchange/arguments.ts";
import { fullTarget } from "../src/services/target.ts";

const exchange = (...words: string[]): ExchangeArguments => {
  const parsed = parseArguments(["exchange", ...words]);
  assert.equal(parsed.kind, "exchange");
  return parsed as ExchangeArguments;
};
const ports = (...words: string[]) =>
  exchange("web", ...words).expose.map(({ local, remote, protocol }) =>
    [local, remote, protocol].filter((part) => part !== undefined).join(" "),
  );
const refusal = (...words: string[]): UserError => {
  try {
    exchange(...words);
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return error;
  }
  return assert.fail("nothing was refused");
};

test("--expose is LOCAL[:REMOTE] as ktctl has it: a list, repeated, numbers or names, TCP or UDP", () => {
  assert.deepEqual(ports("--expose", "8080:80"), ["8080 80"]);
  assert.deepEqual(ports("--expose", "8080"), ["8080"]);
  assert.deepEqual(ports("--expose", "8080:80,9000:http", "--expose=5353:53/udp"), [
    "8080 80",
    "9000 http",
    "5353 53 udp",
  ]);
  assert.deepEqual(ports("--expose", "5353/UDP, 80:8080/tcp"), ["5353 udp", "80 8080 tcp"]);
});

test("what is no port is refused with what is one", () => {
  for (const text of [
    "",
    "0",
    "65536",
    "http",
    "80:",
    ":80",
    "80:0",
    "80:Http",
    "1:2:3",
    "80/sctp",
    "80,,81",
  ]) {
    const { code, message, hints } = refusal("web", "--expose", text);
    assert.equal(code, "USAGE_INVALID", text);
    assert.match(message, /is no port, or pair of ports/);
    assert.match(hints.join("\n"), /LOCAL\[:REMOTE\], your port first: --expose 8080:80/);
  }
  assert.match(refusal("web").message, /inpod exchange needs a port of this machine: --expose/);
});

test("a bare name is a Service; kinds are understood as kubectl does, targets as --target has them", () => {
  for (const [text, target] of [
    ["web", "service/web"],
    ["svc/web", "service/web"],
    ["deploy/web/container/app", "deployment/web/container/app"],
    ["label/app=web", "label/app=web"],
    ["process/12", "process/12"],
    ["podman/web", "podman/web"],
    ["targetless", "targetless"],
  ] as const)
    assert.equal(fullTarget(text), target);
});

test("the alias is the command, and its unknown flags are its own", () => {
  const parsed = parseArguments(["intercept", "web", "--expose", "80"]);
  assert.equal(parsed.kind, "exchange");
  assert.throws(() => parseArguments(["intercept", "web", "--expos", "80"]), {
    message: /unknown flag '--expos'/,
    hints: ["did you mean --expose?", "see all: inpod exchange --help"],
  });
});

/**
 * What the arguments and the target's own description refuse is refused before an agent is started. Here with a process of
 * this machine; what a cluster's Services say: packages/targets/test/{exposed-ports,check-service}.test.ts, e2e/exchange.test.ts.
 */
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { Writable } from "node:stream";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import { parseArguments } from "../src/arguments.ts";
import { runConnect } from "../src/connect/run.ts";
import { runDump } from "../src/dump/run.ts";
import { runExchange } from "../src/exchange/run.ts";
import { runForward } from "../src/forward/run.ts";
import type { Io } from "../src/io.ts";
import { runMesh } from "../src/mesh/run.ts";
import { runMirror } from "../src/mirror/run.ts";
import { runPreview } from "../src/preview/run.ts";

const TARGET = `process/${process.pid}`;

/** @returns the message and the hints, and what was said until then */
async function refused(line: string): Promise<{ error: string; hints: string; said: string }> {
  let said = "";
  const stream = new Writable({
    write: (chunk, _, done) => {
      said += String(chunk);
      done();
    },
  }) as unknown as Io["stderr"];
  const io: Io = {
    stdout: stream,
    stderr: stream,
    env: { PATH: process.env.PATH },
    directory: tmpdir(),
  };
  try {
    const parsed = parseArguments(line.split(" "));
    if (parsed.kind === "exchange") await runExchange(parsed, io);
    else if (parsed.kind === "mesh") await runMesh(parsed, io);
    else if (parsed.kind === "mirror") await runMirror(parsed, io);
    else if (parsed.kind === "dump") await runDump(parsed, io);
    else if (parsed.kind === "forward") await runForward(parsed, io);
    else if (parsed.kind === "connect") await runConnect(parsed, io);
    else if (parsed.kind === "preview") await runPreview(parsed, io);
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return { error: error.message, hints: error.hints.join("\n"), said };
  }
  return assert.fail(`${line} was not refused`);
}

const CASES: Readonly<
  Record<string, readonly (readonly [line: string, error: RegExp, hint: RegExp])[]>
> = {
  "a port that is said twice": [
    [
      `exchange ${TARGET} --expose 8080:80,9090:80`,
      /--expose 8080:80 and 9090:80 are the same port/,
      /leave one of them out/,
    ],
    [
      `mesh ${TARGET} --expose 80,8080:80`,
      /--expose 80 and 8080:80 are the same port/,
      /leave one/,
    ],
    [`mirror ${TARGET} --expose 80 --expose 80/tcp`, /are the same port/, /leave one/],
    [`forward -t ${TARGET} -R 80:8080,80:9090`, /-R 80:8080 and 80:9090 are the same/, /leave one/],
    [
      "preview new --expose 8080:80,9090:80",
      /8080:80 and 9090:80 are the same port/,
      /leave one of them out/,
    ],
    ["preview new --expose 80,8080:80", /the Service's port 80 is said twice/, /--expose 8080:80/],
    ...["80:a:1,80:b:1", "80:a:1,127.0.0.1:80:b:1", "[::1]:80:a:1,80:b:1", "*:80:a:1,80:b:1"].map(
      (ports) =>
        [
          `forward -t ${TARGET} -L ${ports}`,
          /port 80 of this machine is to go to two places/,
          /b:1/,
        ] as const,
    ),
  ],
  "a target to which nobody sends": [
    ...["exchange", "mesh", "mirror"].map(
      (command) =>
        [
          `${command} targetless --expose 80`,
          /nobody sends anything to a pod of inpod's own/,
          new RegExp(`inpod ${command} orders`),
        ] as const,
    ),
    ["dump targetless -p 80", /nobody sends anything/, /inpod dump orders/],
    [
      "forward -t targetless -R 80",
      /no target: of whom are the ports that -R takes/,
      /inpod preview/,
    ],
  ],
  "a container in nobody's pod": [
    ["connect --mode proxy --port 0 -e", /-e: without a target there is no pod/, /leave it out/],
    ["forward -L 0:orders:80 -e", /-e: without a target there is no pod/, /-t pod\/NAME/],
    ["preview new --expose 80 -e", /-e: without a target there is no pod/, /leave it out/],
  ],
  "a target that is said twice": [
    ...["exchange", "mesh", "mirror", "dump"].map(
      (command) =>
        [
          `${command} orders -t pod/x${command === "dump" ? "" : " --expose 80"}`,
          /two targets: "orders" and -t "pod\/x"/,
          new RegExp(`one ${command} is of one target`),
        ] as const,
    ),
  ],
  "a file that cannot be written": [
    [`dump ${TARGET} -p 80 --file /nowhere/x.har`, /cannot write \/nowhere\/x.har/, /--file FILE/],
    [`dump ${TARGET} -p 80 --file /`, /cannot write \//, /--file FILE/],
  ],
  "words of another flag": [
    ["forward orders 0", /^"0" says no ports/, /inpod forward orders 8080:80/],
    [
      "exchange orders --expose 80 --mode none",
      /--mode none is not known/,
      /there are: selector, ephemeral$/m,
    ],
    [
      "recover deployment/orders",
      /"deployment\/orders" is no name of a Service/,
      /inpod recover orders/,
    ],
    [
      "exchange orders --expose 80 -n ",
      /it is empty: is a variable of your shell not set/,
      /--help/,
    ],
  ],
  "a subnet that is none": [
    [
      `connect -t ${TARGET} --include 10.96/12`,
      /--include 10.96\/12: that is no subnet/,
      /as CIDR/,
    ],
    [`connect -t ${TARGET} --exclude shop`, /--exclude shop: that is no subnet/, /as CIDR/],
  ],
  "a protocol that cannot be": [
    [
      `mesh ${TARGET} --expose 53/udp`,
      /--expose 53\/udp: datagrams have no mark/,
      /without a mark: inpod exchange/,
    ],
    [`mirror ${TARGET} --header a=b --expose 53/udp`, /datagrams have no mark/, /without a mark/],
    ["preview new --expose 53/udp", /a preview takes TCP only/, /--expose 8080:80/],
    [`exchange ${TARGET} --expose 80/sctp`, /is no port, or pair of ports/, /LOCAL\[:REMOTE\]/],
  ],
  "a number that is none": [
    [`exchange ${TARGET} --expose 8080:65536`, /is no port/, /LOCAL\[:REMOTE\]/],
    [`dump ${TARGET} -p 0`, /-p "0" is no port/, /-p 8080/],
    [`forward -t ${TARGET} -R 0:80`, /says no ports/, /-R 80:8080/],
    ["preview new --expose 8080:http", /a new Service's ports have numbers/, /--expose 8080:80/],
  ],
  "a name where ports have numbers only": [
    [`exchange ${TARGET} --expose 8080:http`, /only ports of a cluster have names/, /its number/],
    [`mirror ${TARGET} --expose 8080:http`, /only ports of a cluster have names/, /its number/],
    [`dump ${TARGET} -p http`, /only ports of a cluster have names/, /say its number: -p 8080/],
    [`dump ${TARGET}`, /which ports of process\/\d+ are meant\? It names none/, /-p 8080/],
  ],
};

for (const [what, cases] of Object.entries(CASES))
  test(`${what} is refused with what to type, and no agent is started`, async () => {
    for (const [line, error, hint] of cases) {
      const was = await refused(line);
      assert.match(was.error, error, line);
      assert.match(was.hints, hint, line);
      assert.doesNotMatch(was.said, /starting an agent/, line);
    }
  });

/** TCP servers in every way: sandbox/witness/talk/in.c and its clients see the same in the pod and through inpod. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import { Run, startInpod, useSandbox } from "./exec-support.ts";
import { casesOf, NO_IPV6, program, SETTINGS } from "./talk-support.ts";

const { sandbox } = await useSandbox({ hasIPv6: !NO_IPV6 });

interface Seen {
  readonly told: Map<string, string>;
  /** What each client got, in order. */
  readonly clients: readonly string[];
  readonly stderr: string;
}

/** @returns what it got, or how it failed. */
async function visit(host: string, port: number): Promise<string> {
  try {
    const connection = await sandbox.connect({ host, port, timeoutMs: 60_000 });
    await connection.send(`to ${port}`);
    await connection.end();
    const got = await connection.receive();
    await connection.close();
    return got;
  } catch (error) {
    // The whole port is taken, so who finds nobody of his family is reset after the fact.
    const text = String(error);
    return /ECONN(REFUSED|RESET)/.test(text) ? "nobody" : text;
  }
}

/** A client comes whenever one is called for. */
async function served(run: Run): Promise<Seen> {
  const clients: string[] = [];
  let failure: unknown;
  let turn = Promise.resolve();
  let seen = 0;
  run.child.stdout?.on("data", () => {
    const calls = [...run.stdout.matchAll(/^connect (\d+)( by IPv6)?\n/gm)];
    for (const [, port, isIPv6] of calls.slice(seen)) {
      const host = isIPv6 ? NETWORK.pod.addressIPv6 : NETWORK.pod.address;
      turn = turn
        .then(async () => {
          clients.push(`${port}: ${await visit(host, Number(port))}`);
        })
        .catch((error: unknown) => {
          failure ??= error;
        });
    }
    seen = calls.length;
  });
  const { stdout, stderr, code } = await run.ended;
  await turn;
  assert.equal(code, 0, stderr);
  assert.equal(failure, undefined, `${failure}\n${stdout}\n${stderr}`);
  return { told: casesOf(stdout), clients, stderr };
}

const path = await program("talk-servers");
const settings = Object.entries(SETTINGS).map(([key, value]) => `${key}=${value}`);
const inside = await sandbox.copyIntoPod(path);
const inPod = await served(new Run(sandbox.inPod(["env", ...settings, inside])));
const through = await served(
  await startInpod(sandbox, ["env", ...settings, path], { flags: ["--steal"] }),
);

const CASES: readonly (readonly [name: string, what: string, shows: RegExp])[] = [
  ["v4", "on 0.0.0.0", /^accepted: 198\.18\.200\.9 PORT$/m],
  ["dual", "on ::, for IPv4 as well", /^accepted: ::ffff:198\.18\.200\.9 PORT$/m],
  ["address", "on the pod's address", /^local: 198\.18\.200\.2 8103$/m],
  ["twice", "listen twice, bind twice, connect on a listener", /^connect on a listener: EISCONN$/m],
  ["free", "any free port, and listen without bind", /^connect to it: 0\naccept: 0$/m],
  ["own", "its own clients, by loopback, address and name", /^read: me$/m],
  [
    "timeouts",
    "SO_RCVTIMEO, signals with and without SA_RESTART",
    /^accept with a signal: EINTR$/m,
  ],
  [
    "shut",
    "shutdown by another thread, and listen again",
    /^accept while it is shut down: EINVAL$/m,
  ],
  ["shared", "SO_REUSEPORT, and prefork", /^connect 8109$/m],
  [
    "closed",
    "close by another thread while accept waits",
    /^close: 0\nanother on the same: EADDRINUSE\nconnect 8113\naccept, closed meanwhile: 0$/m,
  ],
  ["inherited", "a listener over exec (LISTEN_FDS) and over SCM_RIGHTS", /^take: 1$/m],
];
for (const [name, what, shows] of CASES) {
  test(`as in the pod, a server: ${what}`, () => {
    assert.match(inPod.told.get(name) ?? "", shows);
    assert.equal(through.told.get(name), inPod.told.get(name));
  });
}

test("as in the pod, a server: of IPv6 only, alone and beside one of IPv4", {
  skip: NO_IPV6,
}, () => {
  assert.match(inPod.told.get("v6only") ?? "", /^accepted: 2001:2:[\da-f:]+ PORT$/m);
  assert.equal(through.told.get("v6only"), inPod.told.get("v6only"));
  assert.match(through.stderr, /a client came to port 8111 by IPv4, and your process listens for/);
});

test("each client is greeted and answered with what it sent, over half-closed connections", () => {
  assert.ok(inPod.clients.length >= 10);
  assert.deepEqual(through.clients, inPod.clients);
});

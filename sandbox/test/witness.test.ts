import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  buildWitness,
  NETWORK,
  type Sandbox,
  startSandbox,
  type WitnessName,
  witnessNames,
} from "../src/index.ts";
import { type Outcome, outcome } from "./run.ts";

let sandbox: Sandbox;
before(async () => {
  sandbox = await startSandbox();
});
after(() => sandbox?.stop());

const named = (suffix: string): WitnessName[] =>
  witnessNames.filter((name) => name.endsWith(suffix));

test("c-client prints the answer and both addresses, and the errno of a refused port", async (t) => {
  const witness = await buildWitness("c-client");
  if (witness.kind === "missing") return t.skip(witness.why);
  const { address, httpPort } = NETWORK.pod;
  const run = (port: number): Promise<Outcome> =>
    outcome(sandbox.inClient([...witness.argv, address, String(port), "/path"]));
  const good = await run(httpPort);
  assert.equal(good.code, 0, good.stderr + good.stdout);
  assert.match(
    good.stdout,
    /^I am the pod, you are 198\.18\.200\.9\nGET \/path\npeer 198\.18\.200\.2:3000\nlocal 198\.18\.200\.9:\d+\n$/,
  );
  const refused = await run(81);
  assert.deepEqual([refused.code, refused.stdout], [1, "ECONNREFUSED\n"], refused.stderr);
});

test("the facts programs observe the same in the pod", async (t) => {
  const { files, names } = sandbox;
  const asked = [
    ...["env", "GREETING", "env", "NOT_SET", "file", files.greeting, "file", "/not/there"],
    ...[
      "stat",
      files.settings,
      "stat",
      files.large,
      "resolve",
      "greetings",
      "resolve",
      names.orders,
    ],
    ...["resolve", "nobody.example"],
  ];
  const seen: unknown[] = [];
  for (const name of named("-facts")) {
    const witness = await buildWitness(name);
    if (witness.kind === "missing") {
      t.diagnostic(`${name}: ${witness.why}`);
      continue;
    }
    const argv = [...witness.argv];
    argv.push(await sandbox.copyIntoPod(argv.pop() as string));
    const { code, stdout, stderr } = await outcome(sandbox.inPod([...argv, ...asked]));
    assert.equal(code, 0, stderr);
    seen.push(JSON.parse(stdout));
  }
  const [first, ...others] = seen as [Record<string, Record<string, unknown>>];
  assert.equal(first.hostname, NETWORK.pod.hostname);
  assert.equal(first.nodename, NETWORK.pod.hostname);
  assert.deepEqual(first.env, { GREETING: "hello-from-the-pod", NOT_SET: null });
  assert.equal(first.file?.[files.greeting], "greetings from the pod's file\n");
  assert.deepEqual(first.file?.["/not/there"], { errno: "ENOENT" });
  assert.deepEqual(first.resolve?.greetings, [NETWORK.services.greetings]);
  assert.deepEqual(first.resolve?.["nobody.example"], { errno: "EAI_NONAME" });
  for (const other of others) assert.deepEqual(other, first);
});

for (const name of named("-nonblock50")) {
  test(`${name} counts 50 connects, good and refused`, async (t) => {
    const witness = await buildWitness(name);
    if (witness.kind === "missing") return t.skip(witness.why);
    const run = async (port: number): Promise<unknown> => {
      const argv = [...witness.argv, NETWORK.pod.address, String(port)];
      const { stdout, stderr } = await outcome(sandbox.inClient(argv));
      assert.match(stdout, /^\{/, stderr);
      return JSON.parse(stdout).results;
    };
    assert.deepEqual(await run(NETWORK.pod.httpPort), { ok: 50 });
    assert.deepEqual(await run(81), { ECONNREFUSED: 50 });
  });
}

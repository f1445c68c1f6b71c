/** Who has what, by which command, and the end of it from another terminal or another machine. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { type Running, runInpod, startInpod } from "./support/inpod.ts";
import { inventory, onCluster, untilAgentIsKnown, untilInventoryIs } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { inClient, runWeb } from "./support/web.ts";

const LOCAL = `require("http").createServer((q, r) => r.end("local")).listen(3000, () => console.log("up"));`;

describe("who has what", onCluster, () => {
  const namespace = useNamespace("inpod-who");
  // Sessions of other tests are this user's, too.
  const runtime = mkdtempSync(join(tmpdir(), "inpod-who-"));
  const env = { XDG_RUNTIME_DIR: runtime };
  const elsewhere = { XDG_RUNTIME_DIR: mkdtempSync(join(runtime, "elsewhere-")) };
  let found: string[] = [];
  let running: Running[] = [];

  before(async () => {
    await runWeb(namespace, 'require("http").createServer((q, r) => r.end("pod")).listen(3000)');
    found = await inventory(namespace);
  });
  afterEach(async () => {
    for (const session of running) session.child.kill("SIGKILL");
    await Promise.all(running.map(({ done }) => done));
    running = [];
  });
  after(() => rmSync(runtime, { recursive: true, force: true }));

  const start = (...args: string[]): Running => {
    const session = startInpod([...args, "-n", namespace], { env });
    running.push(session);
    return session;
  };
  const inpod = (...args: string[]) => runInpod([...args, "-n", namespace], { env });
  const ask = (): Promise<string> => inClient(namespace, "wget -qO- http://web/");

  test("status and birdseye tell modes, machines and Services; leave ends one by its name, and through the agent one elsewhere", async () => {
    const exec = startInpod(
      [
        "exec",
        "-t",
        "service/web",
        "-n",
        namespace,
        "--steal",
        "--",
        process.execPath,
        "-e",
        LOCAL,
      ],
      { env },
    );
    running.push(exec);
    await exec.says(/connections to port 3000 of the target now arrive/);
    await untilAgentIsKnown(namespace, "inpod.dev/target=web");
    const exchange = start("exchange", "pod/web", "--expose", "18555:4000");
    const copies = startInpod(["env", "-t", "pod/client", "-n", namespace], { env });
    await exchange.says(/until Ctrl-C/);
    assert.equal((await copies.done).code, 0);

    const status = await inpod("status");
    assert.equal(status.code, 0, status.stderr);
    const [titles = "", ...rows] = status.stdout.trim().split("\n");
    assert.match(titles, /^TARGET +WHO +MODE +AS +PORT +TAKES +FOR +CONNECTIONS +MACHINE$/);
    const machine = hostname().slice(0, 64);
    const row = (mode: string): string => rows.find((each) => each.includes(` ${mode} `)) ?? "";
    assert.match(row("exec"), /^pod\/web\S* +\S.* +exec +service\/web +3000 +all +\d+s +\d+ /);
    assert.match(row("exchange"), /^pod\/web\S* +\S.* +exchange +4000 +all +\d+s +0 /);
    for (const mode of ["exec", "exchange"]) assert.ok(row(mode).endsWith(machine), status.stdout);

    const birdseye = await inpod("birdseye", "--hideNaturalService", "--sortBy", "status");
    assert.equal(birdseye.code, 0, birdseye.stderr);
    const services = birdseye.stdout.trim().split("\n").slice(1);
    assert.match(
      services.join("\n"),
      /^web +80\/TCP +exchange .* 4000: all\nweb +80\/TCP +exec .* 3000: all$/,
    );

    assert.equal(await ask(), "local");
    const left = await inpod("leave", "service/web");
    assert.equal(left.code, 0, left.stderr);
    assert.match(left.stderr, /^inpod: left session [0-9a-f]{10}: exec service\/web \(pod\/web/);
    assert.equal(await ask(), "pod");
    assert.equal((await exec.done).signal, "SIGTERM");

    const away = await runInpod(["leave", "web", "-n", namespace], { env: elsewhere });
    assert.equal(away.code, 1);
    assert.match(
      away.stderr,
      /^error: not on this machine\n {2}because: session [0-9a-f]{10}: exchange pod\/web/,
    );
    assert.ok(away.stderr.includes(` on ${machine}\n`), away.stderr);
    assert.match(away.stderr, /with --force\n$/);
    const forced = await runInpod(["leave", "--force", "web", "-n", namespace], { env: elsewhere });
    assert.equal(forced.code, 0, forced.stderr);
    assert.match(forced.stderr, /^inpod: asked to leave: session [0-9a-f]{10}: exchange pod\/web/);
    const ended = await exchange.done;
    assert.equal(ended.code, 0);
    assert.ok(ended.stderr.includes(`asked to leave from ${machine} by you`), ended.stderr);

    const none = await inpod("leave", "web");
    assert.equal(none.code, 1);
    assert.match(none.stderr, /you have no session that is called web/);
    // An agent that is ending is listed until its pod is gone.
    await untilInventoryIs(namespace, found);
    assert.match((await inpod("birdseye", "--held")).stdout, /^nobody has a Service in namespace/);
  });
});

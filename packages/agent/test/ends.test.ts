import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { Cgroup, noCgroups } from "./support/cgroup.ts";
import { Agent, gone, Pod, skipUnless, type Who } from "./support/pod.ts";

const TIMEOUT = 40_000;

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: TIMEOUT, skip: skipUnless(who) };

  test(`${who}: SIGTERM ends enter with code 0, and the pod answers again`, options, async (t) => {
    const pod = await Pod.start(who);
    t.after(() => pod.stop());
    const agent = await Agent.start(who, pod);
    await agent.call("steal", 8080, "a");
    const children = agent.children();
    agent.process.kill("SIGTERM");
    assert.deepEqual(await agent.event(), { event: "ended", why: "SIGTERM" });
    assert.equal(await agent.ended(), 0);
    for (const child of children) await gone(child);
    assert.equal(pod.run("nft", "list", "tables"), "");
    assert.equal(await pod.once(), "pod");
  });

  test(`${who}: at its deadline enter ends, whatever goes on`, options, async (t) => {
    const pod = await Pod.start(who);
    t.after(() => pod.stop());
    const agent = await Agent.start(who, pod, ["--deadline", "4"]);
    await agent.call("steal", 8080, "a");
    assert.deepEqual(await agent.event(), { event: "ended", why: "deadline" });
    assert.equal(await agent.ended(), 0);
    assert.equal(pod.run("nft", "list", "tables"), "");
  });

  test(
    `${who}: told to end with its stdin, enter ends at its EOF and at nothing before`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.start(who, pod, ["--exit-on-stdin-eof"], { stdin: "pipe" });
      t.after(() => agent.stop());
      await agent.call("steal", 8080, "a");
      await new Promise((resolve) => agent.process.stdin?.write("x".repeat(10_000), resolve));
      assert.match(await pod.once(), /^stolen/);
      const children = agent.children();
      agent.process.stdin?.end();
      assert.deepEqual(await agent.event(), { event: "ended", why: "stdin" });
      assert.equal(await agent.ended(), 0);
      for (const child of children) await gone(child);
      assert.equal(pod.run("nft", "list", "tables"), "");
    },
  );

  test(
    `${who}: an nft that does not answer is an error, and its other ports are told to be lost`,
    options,
    async (t) => {
      const pod = await Pod.start(who);
      t.after(() => pod.stop());
      const agent = await Agent.start(who, pod);
      t.after(() => agent.stop());
      await agent.call("steal", 8080, "a");
      process.kill(agent.child("nft"), "SIGSTOP");
      await assert.rejects(agent.call("steal", 8081, "a"), /ETIMEDOUT nft does not answer/);
      assert.equal(pod.run("nft", "list", "tables"), "");
      assert.deepEqual(await agent.call("events"), ["rules-lost", "steal-lost 8080"]);
      assert.equal(await pod.once(), "pod");
      await agent.call("steal", 8080, "a");
      assert.match(await pod.once(), /^stolen/);
    },
  );

  test(`${who}: a client of ::1 is stolen as one of 127.0.0.1 is`, options, async (t) => {
    const pod = await Pod.start(who);
    t.after(() => pod.stop());
    if (!existsSync("/proc/net/if_inet6")) return t.skip("needs IPv6");
    const agent = await Agent.start(who, pod);
    t.after(() => agent.stop());
    assert.equal(await pod.once(8080, "::1"), "pod");
    await agent.call("steal", 8080, "a");
    assert.equal(await pod.once(8080, "::1"), "stolen ::1");
    const relay = /8080 : (\d+)/.exec(pod.run("nft", "list", "ruleset"))?.[1];
    assert.equal(await pod.once(Number(relay), "::1"), "ECONNREFUSED");
    await agent.call("release", 8080, "a");
    assert.equal(await pod.once(8080, "::1"), "pod");
  });
}

test("without nft, stealing fails in words, and the description says it before", {
  timeout: TIMEOUT,
  skip: skipUnless("root"),
}, async (t) => {
  const pod = await Pod.start("root");
  t.after(() => pod.stop());
  // A mount namespace of its own, in which every nft is a file that nobody can execute.
  const hide = `for each in $(echo "$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/bin" | tr : ' '); do
    [ ! -x $each/nft ] || mount --bind /dev/null $each/nft; done; exec "$@"`;
  const agent = await Agent.start("root", pod, [], {
    prefix: ["unshare", "--mount", "sh", "-c", hide, "sh"],
  });
  t.after(() => agent.stop());
  const { missing } = await agent.call<{ missing: Record<string, string> }>("describe");
  assert.equal(missing.incoming, "nft not found");
  await assert.rejects(agent.call("steal", 8080, "a"), /ENOENT nft not found/);
  assert.equal(await pod.once(), "pod");
});

test("a container is found by its id: its first process, not an older or younger one beside it", {
  timeout: TIMEOUT,
  skip: skipUnless("root") || noCgroups,
}, async (t) => {
  const id = randomBytes(32).toString("hex");
  const podUid = "11111111_2222_3333_4444_555555555555";
  const cgroup = new Cgroup(`inpod-test-pod${podUid}-${id}.scope`);
  const beside: ChildProcess[] = [];
  let pod: Pod | undefined;
  t.after(async () => {
    pod?.stop();
    for (const child of beside) child.kill("SIGKILL");
    for (const pid of [pod?.pid, ...beside.map((child) => child.pid)]) if (pid) await gone(pid);
    await cgroup.remove();
  });
  const sleep = (): number => {
    const child = spawn("sleep", ["60"], { stdio: "ignore" });
    beside.push(child);
    return child.pid as number;
  };

  // It starts before its container does, and waits.
  const early = Agent.spawn("root", ["--container-id", `containerd://${id}`]);
  t.after(() => early.stop());
  const older = sleep();
  pod = await Pod.start("root");
  cgroup.enroll(pod.pid);
  assert.equal(await early.found(), pod.pid);
  assert.equal((await early.call<{ hostname: string }>("describe")).hostname, "pod-x");
  cgroup.enroll(older);
  cgroup.enroll(sleep());

  const late = Agent.spawn("root", ["--container-id", id]);
  t.after(() => late.stop());
  assert.equal(await late.found(), pod.pid);

  // The container is between two lives: the pod's network can still be joined.
  const other = randomBytes(32).toString("hex");
  const byPod = ["--container-id", other, "--find-timeout", "0"];
  const network = Agent.spawn("root", [...byPod, "--pod-uid", podUid.replaceAll("_", "-")]);
  t.after(() => network.stop());
  assert.equal(await network.found(), pod.pid);
  const { missing } = await network.call<{ missing: Record<string, string> }>("describe");
  assert.deepEqual(missing, {
    files: "the container is not running",
    environment: "the container is not running",
  });
});

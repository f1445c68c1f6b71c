/** A target whose container ends and is started again in its pod, and who may not take its place. */
import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { AgentNotice } from "@inpod/protocol";
import { connectTunnel, rawFromPublicKey } from "@inpod/tunnel";
import { Cgroup, noCgroups } from "./support/cgroup.ts";
import { FileClient } from "./support/file-client.ts";
import { Agent, gone, Pause, Pod, skipUnless } from "./support/pod.ts";

const agentJs = join(dirname(fileURLToPath(import.meta.url)), "../../../dist/agent.js");
const options = { timeout: 120_000, skip: skipUnless("root") || noCgroups };

const newId = (): string => randomBytes(32).toString("hex");
const newUid = (): string => `${randomBytes(4).toString("hex")}-2222-3333-4444-555555555555`;

interface Container {
  readonly id: string;
  readonly pod: Pod;
}

/** A pod whose containers come and go. Everything of it goes with the test. */
class TestPod {
  readonly uid = newUid();
  readonly pause: Pause;
  readonly #t: TestContext;
  #lives = 0;

  private constructor(t: TestContext, pause: Pause) {
    this.#t = t;
    this.pause = pause;
    t.after(() => pause.stop());
  }

  static async start(t: TestContext): Promise<TestPod> {
    return new TestPod(t, await Pause.start());
  }

  /** `/mnt/life` and $LIFE tell which it is. @param uid of the pod that its cgroup names */
  async run(execAs = "", uid = this.uid): Promise<Container> {
    const life = `life ${++this.#lives}`;
    const setup = `mount -t tmpfs none /mnt && yes '${life}' | head -c 3000000 >/mnt/big && echo ${life} >/mnt/life`;
    const pod = await Pod.start("root", setup, execAs, { LIFE: life }, this.pause.pid);
    const id = newId();
    // As systemd's driver spells it, and as cgroupfs does.
    const cgroup = new Cgroup(
      `inpod-test-pod${this.#lives % 2 ? uid : uid.replaceAll("-", "_")}-${id}`,
    );
    cgroup.enroll(pod.pid);
    this.#t.after(async () => {
      pod.stop();
      await gone(pod.pid);
      await cgroup.remove();
    });
    return { id, pod };
  }

  async agent(id: string, options: string[] = []): Promise<Agent> {
    const agent = Agent.spawn("root", ["--container-id", id, "--pod-uid", this.uid, ...options]);
    this.#t.after(() => agent.stop());
    await agent.found();
    return agent;
  }
}

/** Until enter has told for the `count`th time that the main process has ended. */
async function toldGone(agent: Agent, count = 1): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    const events = await agent.call<string[]>("events");
    if (events.filter((event) => event === "target-gone").length >= count) return;
  }
  throw new Error("enter did not tell that the target is gone");
}

const lifeOf = async (agent: Agent): Promise<string | undefined> => {
  const { environment } = await agent.call<{ environment: [string, string][] }>("describe");
  return new Map(environment).get("LIFE");
};

test(
  "a container that is started again is found: its files, variables and ids; what is stolen stays so",
  options,
  async (t) => {
    const pod = await TestPod.start(t);
    const first = await pod.run();
    const agent = await pod.agent(first.id);
    await agent.call("steal", 8080, "a");
    assert.equal(await agent.call("read", "/mnt/life", 100), "life 1\n");
    first.pod.stop();
    await toldGone(agent);
    await assert.rejects(agent.call("read", "/mnt/life", 100), /ESTALE .*container has ended/);

    const second = await pod.run("setpriv --reuid 1234 --regid 1234 --clear-groups");
    assert.match(await second.pod.once(), /^stolen/, "the rules have outlived the container");
    await assert.rejects(agent.call("read", "/mnt/life", 100), /ESTALE/);
    await agent.call("container", second.id);
    assert.equal(await agent.call("read", "/mnt/life", 100), "life 2\n");
    assert.equal(await lifeOf(agent), "life 2");
    assert.equal((await agent.call<{ uid: number }>("describe")).uid, 1234);
    assert.match(await second.pod.once(), /^stolen/);
    await agent.call("container", second.id);
    assert.equal(await agent.call("read", "/mnt/life", 100), "life 2\n");
    await agent.call("release", 8080, "a");
    assert.equal(await second.pod.once(), "pod");
  },
);

test(
  "while the container runs no other is taken in its place, not one of its own pod",
  options,
  async (t) => {
    const pod = await TestPod.start(t);
    const first = await pod.run();
    const agent = await pod.agent(first.id);
    const beside = newId();
    await assert.rejects(agent.call("rawContainer", beside), /EBUSY .*still runs/);
    await agent.call("rawContainer", first.id);
    assert.equal(await agent.call("read", "/mnt/life", 100), "life 1\n");
  },
);

test(
  "a container of another pod is refused, whatever its cgroup is called, and so is what is no id",
  options,
  async (t) => {
    const pod = await TestPod.start(t);
    const first = await pod.run();
    const agent = await pod.agent(first.id);
    first.pod.stop();
    await toldGone(agent);

    const other = await TestPod.start(t);
    const foreign = await other.run();
    await assert.rejects(agent.call("rawContainer", foreign.id), /ESRCH/);
    const alone = await Agent.start("root", foreign.pod);
    t.after(() => alone.stop());
    await assert.rejects(alone.call("rawContainer", foreign.id), /EPERM/);
    foreign.pod.stop();
    await gone(foreign.pod.pid);
    const disguised = await other.run("", pod.uid);
    await assert.rejects(agent.call("rawContainer", disguised.id), /ESTALE .*network/);
    const inOurNetwork = await pod.run("", other.uid);
    await assert.rejects(agent.call("rawContainer", inOurNetwork.id), /ESRCH/);
    await assert.rejects(agent.call("rawContainer", newId()), /ESRCH/);
    for (const id of ["", "abc", "../../../../1", "A".repeat(64), `${"0".repeat(63)}/`, pod.uid]) {
      await assert.rejects(agent.call("rawContainer", id), /EINVAL/, id);
    }
    await assert.rejects(agent.call("read", "/mnt/life", 100), /ESTALE/);
  },
);

test(
  "beside a crash-looping container the agent begins without files, and has them with its next life",
  options,
  async (t) => {
    const pod = await TestPod.start(t);
    const cgroup = new Cgroup(`inpod-test-pod${pod.uid}-pause`);
    cgroup.enroll(pod.pause.pid);
    t.after(async () => {
      pod.pause.stop();
      await gone(pod.pause.pid);
      await cgroup.remove();
    });
    const agent = await pod.agent(newId(), ["--find-timeout", "0"]);
    await assert.rejects(agent.call("read", "/mnt/life", 100), /EIO the container is not running/);
    for (let life = 1; life <= 3; life++) {
      const container = await pod.run();
      await agent.call("container", container.id);
      assert.equal(await agent.call("read", "/mnt/life", 100), `life ${life}\n`);
      container.pod.stop();
      await toldGone(agent, life);
      await assert.rejects(agent.call("read", "/mnt/life", 100), /ESTALE/);
    }
  },
);

test(
  "no answer of a container that has ended is taken for one of the next, though it ended in the middle of it",
  options,
  async (t) => {
    const pod = await TestPod.start(t);
    let container = await pod.run();
    const agent = await pod.agent(container.id);
    for (let life = 1; life <= 8; life++) {
      const reading = Array.from({ length: 6 }, () =>
        agent.call<string>("read", "/mnt/big", 4_000_000).then(
          (content) => content.slice(0, 7),
          (error: Error) => error.message.slice(0, 6),
        ),
      );
      await agent.call("look", "/mnt/life");
      container.pod.stop();
      container = await pod.run();
      await agent.call("container", container.id);
      assert.equal(await agent.call("read", "/mnt/life", 100), `life ${life + 1}\n`);
      for (const result of await Promise.all(reading)) {
        // Asked of the one life, or already of the next; never a mixture, never no answer.
        assert.match(result, new RegExp(`^(life ${life}\n|life ${life + 1}\n|ESTALE|EIO.*)`));
      }
    }
  },
);

test(
  "a session is told that the container has ended, stays, and has the files of the next one",
  options,
  async (t) => {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const pod = await TestPod.start(t);
    const first = await pod.run();
    const flags = ["--public-key", rawFromPublicKey(publicKey), "--communication-timeout-ms"];
    const times = ["20000", "--idle-timeout-ms", "300", "--resume-timeout-ms", "300"];
    const agent = Agent.spawn("root", ["--container-id", first.id, "--pod-uid", pod.uid], {
      program: [agentJs, ...flags, ...times],
    });
    t.after(() => agent.stop());
    await agent.found();
    let tell: (notice: AgentNotice) => void = () => {};
    const noticed = new Promise<AgentNotice>((resolve) => {
      tell = resolve;
    });
    const tunnel = await connectTunnel(agent.dial(), {
      sessionId: "session-a",
      privateKey,
      build: "test",
      handlers: { onStream: () => undefined, onNotice: tell },
    });
    const files = new FileClient(tunnel);
    const big = { handle: 1, path: "/mnt/big", flags: 0, mode: 0 };
    await files.ask("open", big);
    const listing = { cookie: 0n, maxEntries: 10, maxBytes: 0, inlineLimit: 0, lease: true };
    assert.equal((await files.ask("list", { path: "/mnt", ...listing })).isLeased, true);
    const reads = Array.from({ length: 20 }, () =>
      files.ask("read", { handle: 1, offset: 0, size: 1_000_000 }).then(
        ({ content }) => Buffer.from(content.subarray(0, 7)).toString(),
        (error: Error) => error.message,
      ),
    );
    first.pod.stop();
    assert.equal((await noticed).kind, "target-gone");
    assert.equal(await files.over, "ESTALE");
    for (const read of await Promise.all(reads)) assert.match(read, /^(life 1\n|ESTALE)$/);
    assert.equal(await new FileClient(tunnel).over, "ESTALE");
    const second = await pod.run();
    await tunnel.call("target.container", { id: second.id });
    const next = new FileClient(tunnel);
    const { content } = await next.ask("look", { path: "/mnt/life", inlineLimit: 100 });
    assert.equal(Buffer.from(content ?? []).toString(), "life 2\n");
    await assert.rejects(next.ask("read", { handle: 1, offset: 0, size: 1 }), /EBADF/);
    await next.ask("open", big);
    assert.equal((await next.ask("list", { path: "/mnt", ...listing })).isLeased, true);
    second.pod.run("nsenter", "-m", "-t", String(second.pod.pid), "touch", "/mnt/new");
    await next.event(({ kind }) => kind === "invalidate");
    second.pod.stop();
    tunnel.close("without a word of the end");
    assert.equal(await agent.ended(), 0, "nobody came back");
  },
);

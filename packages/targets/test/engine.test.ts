/** What engines say of a container, and byte streams through their commands. With real engines: cli/test/exec-engine.test.ts. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import { lastWords } from "../src/engine/engine-cli.ts";
import { dialCommand } from "../src/engine/exec-stream.ts";
import { describeContainer } from "../src/engine/find.ts";

const ID = "9f03a392f24c5063de4459433ddf70e3cb0dd48bd8aa4899144c7e771ca4378e";
const inspected = (more: object = {}, state: object = {}): string =>
  JSON.stringify([
    {
      Id: ID,
      Name: "/web",
      State: { Status: "running", Pid: process.pid, ExitCode: 0, ...state },
      Config: { Env: ["PATH=/bin", "EMPTY=", "URL=a=b", "=odd", "odd"] },
      Mounts: [{ Destination: "/data/" }, { Destination: "/etc/../srv" }, { Type: "odd" }],
      ...more,
    },
  ]);
const failure = (make: () => unknown): UserError => {
  try {
    make();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  return assert.fail("it did not throw");
};

test("a running container has its process, variables and volumes, by the name that it really has", () => {
  const container = describeContainer("docker", ID.slice(0, 12), inspected());
  assert.deepEqual(container, {
    engine: "docker",
    id: ID,
    name: "web",
    path: "docker/web",
    pid: process.pid,
    // There is such a process here, but it is no container's: the engine's machine is another.
    isLocal: false,
    environment: { PATH: "/bin", EMPTY: "", URL: "a=b" },
    volumeMounts: ["/data", "/srv"],
  });
});

test("what an older engine leaves out is not there", () => {
  const { environment, volumeMounts } = describeContainer(
    "nerdctl",
    "web",
    inspected({ Config: null, Mounts: null, Name: "web" }),
  );
  assert.deepEqual([environment, volumeMounts], [{}, []]);
});

test("a container that does not run says what it does instead, and what to type", () => {
  const said = (state: object) => {
    const error = failure(() => describeContainer("docker", "web", inspected({}, state)));
    assert.equal(error.code, "TARGET_NOT_RUNNING");
    return `${error.message}; ${error.hints[0]}`;
  };
  assert.equal(
    said({ Status: "exited", Pid: 0, ExitCode: 137 }),
    'container "web" of docker is not running: it ended with code 137; start it: docker start web',
  );
  assert.match(said({ Status: "paused" }), /it is paused; let it go on: docker unpause web$/);
  assert.match(said({ Status: "restarting", Pid: 0 }), /it is restarting;/);
  assert.match(said({ Pid: 0 }), /it is running;/);
});

test("an answer that is none is told as the engine's", () => {
  for (const text of ["", "null", "[]", "{}", "[null]", "not JSON"])
    assert.equal(failure(() => describeContainer("podman", "web", text)).code, "ENGINE_FAILED");
});

test("of what an engine writes the line that says what went wrong is told, without what moves a cursor", () => {
  assert.equal(
    lastWords(
      'time="2026" level=warning msg="x"\nError response from daemon: no such container: \u001b[31mweb\n',
    ),
    "no such container:  [31mweb",
  );
  assert.equal(lastWords("Error: no container with name web\n"), "no container with name web");
});

const shell = (script: string): string[] => ["sh", "-c", script];
const signal = (): AbortSignal => AbortSignal.timeout(60_000);

test("bytes go through a command and come back as they went", async () => {
  const stream = await dialCommand(shell("printf .; exec cat"), signal());
  const sent = Buffer.alloc(3_000_000, "0123456789abcdef");
  stream.write(sent);
  const got: Buffer[] = [];
  for (let length = 0; length < sent.length; ) {
    const [chunk] = (await once(stream, "data")) as [Buffer];
    got.push(chunk);
    length += chunk.length;
  }
  assert.ok(Buffer.concat(got).equals(sent));
  const closed = once(stream, "close");
  stream.end();
  await closed;
});

test("one that does not read stops the writer, one that is not read is stopped", async () => {
  const deaf = await dialCommand(shell("printf .; exec sleep 1000"), signal());
  let written = 0;
  const block = Buffer.alloc(65_536);
  const write = (): boolean => deaf.write(block, () => (written += block.length));
  while (write());
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
  assert.ok(written <= 1_048_576, `${written} bytes went into a pipe`);
  deaf.destroy();

  const loud = await dialCommand(shell("printf .; exec cat /dev/zero"), signal());
  await once(loud, "readable");
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
  assert.ok(loud.readableLength <= 1_048_576, `${loud.readableLength} bytes are held`);
  const closed = once(loud, "close");
  loud.destroy();
  await closed;
});

test("a command that ends before it connects is told in its words, and one that is cut is an error", async () => {
  await assert.rejects(
    dialCommand(shell("echo 'Error: no such exec' >&2; exit 1"), signal()),
    /^Error: no such exec$/,
  );
  await assert.rejects(dialCommand(["/nowhere/docker"], signal()), /ENOENT/);
  const stream = await dialCommand(shell("printf .; read x; exit 3"), signal());
  const failed = once(stream, "error");
  stream.write("x\n");
  assert.match(String(await failed), /cut \(code 3\)/);
});

test("nothing is left of a command when nobody waits for it any more", async () => {
  const stopping = new AbortController();
  const dialling = dialCommand(shell("echo $$ >&2; exec sleep 1000"), stopping.signal);
  stopping.abort(new Error("Ctrl-C"));
  await assert.rejects(dialling, /Ctrl-C/);
  const stream = await dialCommand(shell("printf '.%s' $$; exec sleep 1000"), signal());
  const [pid] = await once(stream, "data");
  const closed = once(stream, "close");
  stream.destroy();
  await closed;
  for (const end = Date.now() + 60_000; existsSync(`/proc/${pid}`); ) {
    assert.ok(Date.now() < end, "it runs on");
    await new Promise(setImmediate);
  }
});

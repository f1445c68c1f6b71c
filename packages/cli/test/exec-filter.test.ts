import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import { podAnswers, type Run, startInpod, useSandbox } from "./exec-support.ts";

const { sandbox, inventory, folder } = await useSandbox();

const { httpPort } = NETWORK.pod;

/** A server that says its name and whom it sees. */
async function server(name: string): Promise<string[]> {
  const path = join(folder, `${name}.mjs`);
  await writeFile(
    path,
    `import http from "node:http";
    http.createServer((request, response) => {
      response.end("${name} " + request.url + " " + request.socket.remoteAddress.replace("::ffff:", ""));
    }).listen(${httpPort}, () => console.log("listening"));`,
  );
  return ["node", path];
}

async function start(name: string, http_filter: unknown, more: object = {}): Promise<Run> {
  const config = { ...more, feature: { network: { incoming: { mode: "steal", http_filter } } } };
  const run = await startInpod(sandbox, await server(name), { config });
  await run.said("listening");
  return run;
}

async function interrupted(run: Run): Promise<void> {
  run.signalGroup("SIGINT");
  await run.ended;
  await inventory.assertAsBefore(folder);
}

const whose = async (user: string, path = "/"): Promise<string> => {
  const { body } = await sandbox.request({ path, headers: { "X-User": user }, connection: "kept" });
  return body.startsWith("I am the pod") ? "the pod" : body;
};

test("with a filter the program gets what matches, over the same connection as the pod gets the rest", async () => {
  const run = await start("mine", { header_filter: "^x-user: me$" });
  await run.said(
    `requests to port ${httpPort} of the target now arrive at your process if they match: header x-user = me`,
    "stderr",
  );
  const { address } = NETWORK.client;
  for (let each = 0; each < 3; each++) {
    assert.equal(await whose("me", `/${each}`), `mine /${each} ${address}`);
    assert.equal(await whose("somebody"), "the pod");
  }
  const { isReused } = await sandbox.request({ connection: "kept" });
  assert.equal(isReused, true);
  await interrupted(run);
  assert.ok(await podAnswers(sandbox));
});

test("the pod's server sees the client's address under a filter", async () => {
  const run = await start("mine", { path_filter: { prefix: "/mine" } });
  await run.said("now arrive", "stderr");
  const { body } = await sandbox.request({ path: "/other" });
  assert.match(body, /^I am the pod, you are (::ffff:)?([\d.]+)\n/);
  assert.ok(body.includes(`${NETWORK.client.address}\n`), body);
  await interrupted(run);
});

test("responses say who answered, where agent.inject_headers wants it", async () => {
  const run = await start(
    "mine",
    { header_filter: "^x-user: me$" },
    { agent: { inject_headers: true } },
  );
  await run.said("now arrive", "stderr");
  const by = async (user: string): Promise<string | undefined> =>
    (await sandbox.request({ headers: { "X-User": user } })).headers["inpod-answered-by"];
  assert.deepEqual([await by("me"), await by("somebody")], ["developer", "pod"]);
  await interrupted(run);
  assert.equal(await by("me"), undefined);
});

test("a client that keeps its connection is with the pod, and without inpod, after the end", async () => {
  const run = await start("mine", { header_filter: "^x-user: me$" });
  await run.said("now arrive", "stderr");
  assert.equal(await whose("somebody"), "the pod");
  assert.match(await whose("me"), /^mine /);
  await interrupted(run);
  const { isReused, body } = await sandbox.request({
    headers: { "X-User": "me" },
    connection: "kept",
  });
  assert.deepEqual([isReused, body.startsWith("I am the pod")], [false, true]);
});

test("a filter that cannot be used is refused with its place", async () => {
  const config = {
    feature: { network: { incoming: { http_filter: { any_of: [{ path: "a(?!b)" }] } } } },
  };
  const run = await startInpod(sandbox, ["true"], { config });
  await run.ended;
  assert.match(run.stderr, /http_filter\.any_of\[0\]\.path.*none_of is another way/s);
});

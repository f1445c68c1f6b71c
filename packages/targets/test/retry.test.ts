/** An API server that does not answer at once, and how often it is asked. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { UserError } from "@inpod/protocol";
import { ApiClient } from "../src/kubernetes/reach/api-client.ts";
import { ApiError, unreachable } from "../src/kubernetes/reach/api-errors.ts";
import { loadAccess } from "../src/kubernetes/reach/kubeconfig.ts";
import { isWorthRetrying, type Retry, retryDelayMs } from "../src/kubernetes/reach/retry.ts";
import { kubeconfig } from "./api-server.ts";

const QUICK: Retry = { minMs: 1, maxMs: 4, maxRetries: 3 };

async function listening(t: TestContext, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** @param failed called at each failure */
async function client(
  port: number,
  retry: Retry | undefined,
  failed = () => {},
): Promise<ApiClient> {
  const path = kubeconfig({ token: "t" }, { server: `http://127.0.0.1:${port}` });
  return new ApiClient(await loadAccess({ kubeconfig: path }), [], () => {
    failed();
    return retry;
  });
}
const GET = { verb: "get", group: "", resource: "pods", name: "a", namespace: "n" } as const;
const CREATE = { verb: "create", group: "", resource: "pods", namespace: "n" } as const;

/** Answers with each status in turn, then with 200. */
async function answering(t: TestContext, ...statuses: number[]) {
  let asked = 0;
  const server = createServer((_, response) => {
    response.statusCode = statuses[asked++] ?? 200;
    response.end('{"message": "not now"}');
  });
  const port = await listening(t, server);
  return { port, asked: () => asked };
}

test("the wait doubles up to its limit, and the tries are counted", () => {
  const retry = { minMs: 500, maxMs: 1500, maxRetries: 4 };
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((failed) => retryDelayMs(retry, failed)),
    [500, 1000, 1500, 1500, undefined],
  );
  assert.equal(retryDelayMs({ ...retry, maxRetries: 0 }, 1), undefined);
  assert.equal(retryDelayMs({ ...retry, maxRetries: 1000 }, 900), 1500);
});

test("what changes nothing is asked again where the answer may be another; what may have been done is not", () => {
  const errno = (code: string) =>
    unreachable(new URL("https://a"), "c", Object.assign(new Error(code), { code }));
  for (const [error, get, create] of [
    [errno("ECONNREFUSED"), true, true],
    [errno("EAI_AGAIN"), true, true],
    [errno("ECONNRESET"), true, false],
    [errno("CERT_HAS_EXPIRED"), false, false],
    [new ApiError(GET, 429, ""), true, true],
    [new ApiError(GET, 503, ""), true, false],
    [new ApiError(GET, 404, ""), false, false],
    [new ApiError(GET, 403, ""), false, false],
    [new UserError("OTHER", ""), false, false],
    [new Error("x"), false, false],
  ] as const)
    assert.deepEqual(
      [isWorthRetrying(error, "get"), isWorthRetrying(error, "create")],
      [get, create],
      String(error),
    );
});

test("a busy API server is asked until it answers", async (t) => {
  const server = await answering(t, 503, 429, 500);
  const api = await client(server.port, QUICK);
  await api.request(GET);
  assert.equal(server.asked(), 4);
  api.close();
});

test("it is not asked more often than it may be, nor at all without a retry", async (t) => {
  for (const [retry, times] of [
    [QUICK, 4],
    [undefined, 1],
  ] as const) {
    const server = await answering(t, 503, 503, 503, 503, 503);
    const api = await client(server.port, retry);
    await assert.rejects(api.request(GET), ApiError);
    assert.equal(server.asked(), times);
    api.close();
  }
});

test("something is made once: a failure after it was asked for is told", async (t) => {
  const server = await answering(t, 503);
  const api = await client(server.port, QUICK);
  await assert.rejects(api.request(CREATE, { body: {} }), ApiError);
  assert.equal(server.asked(), 1);
  api.close();
});

test("a server that is not there yet is reached when it is", async (t) => {
  const port = await freePort();
  const server = createServer((_, response) => response.end("{}"));
  t.after(() => server.close());
  let failures = 0;
  const api = await client(port, { minMs: 20, maxMs: 20, maxRetries: 500 }, () => {
    failures++;
    if (!server.listening) server.listen(port, "127.0.0.1");
  });
  await api.request(CREATE, { body: {} });
  assert.ok(failures > 0);
  api.close();
});

test("whoever gives up does not wait", async () => {
  const abort = new AbortController();
  const api = await client(
    await freePort(),
    { minMs: 60_000, maxMs: 60_000, maxRetries: 2 },
    // By then it waits.
    () => setImmediate(() => abort.abort(new Error("enough"))),
  );
  await assert.rejects(api.request(GET, { signal: abort.signal }), /enough/);
  api.close();
});

async function freePort(): Promise<number> {
  const server = createTcpServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

test("what answers in the API server's place and speaks no JSON is told as such, with its first line", async (t) => {
  const server = createServer((_, response) => response.end("<html>\x1b[2J<b>Please log in</b>"));
  const api = await client(await listening(t, server), undefined);
  await assert.rejects(api.request(GET), (error: UserError) => {
    assert.match(
      error.message,
      /^what answers at http:\/\/127\.0\.0\.1:\d+ for the API server .* is none$/,
    );
    assert.equal(String(error.cause), "Error: it says: <html> [2J<b>Please log in</b>");
    return error instanceof UserError;
  });
});

test("an empty kubeconfig is one without a context, and what cannot be used says what to type", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "inpod-kubeconfig-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const told = async (text: string): Promise<string> => {
    const path = join(folder, "config");
    writeFileSync(path, text);
    const error = await loadAccess({ kubeconfig: path }).catch((each: unknown) => each);
    assert.ok(error instanceof UserError, String(error));
    return [error.message, ...error.hints].join(" | ");
  };
  for (const text of ["", "\n"])
    assert.match(await told(text), /^the kubeconfig has no current context \| .*--kubeconfig FILE/);
  assert.match(await told("{{{"), /^cannot use the kubeconfig .*--kubeconfig FILE/);
  const context = "contexts: [{name: a, context: {cluster: c, user: eve}}]";
  const cluster = "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]";
  assert.match(
    await told(`current-context: a\n${context}\n${cluster}\nusers: []\n`),
    /no user "eve" in the kubeconfig \| .*kubectl config view \| .*--context NAME/,
  );
});

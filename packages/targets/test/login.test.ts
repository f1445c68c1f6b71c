/** Logins of a kubeconfig, each with a real program, file or certificate. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { ApiClient } from "../src/kubernetes/reach/api-client.ts";
import { loadAccess } from "../src/kubernetes/reach/kubeconfig.ts";
import { asked, asking, at, base64, failure, kubeconfig, server } from "./api-server.ts";

let count = 0;
const V1 = "client.authentication.k8s.io/v1";
/** A login program that counts its runs in a file beside it, and prints what `body` does. */
function loginProgram(body: string): { command: string; runs: () => number; input: () => string } {
  const command = at(`login${count++}`);
  writeFileSync(
    command,
    `#!/bin/sh\nprintf x >>"$0.runs"\nprintf %s "$KUBERNETES_EXEC_INFO" >"$0.input"\n${body}\n`,
    { mode: 0o755 },
  );
  const read = (name: string): string => (existsSync(name) ? readFileSync(name, "utf8") : "");
  return {
    command,
    runs: () => read(`${command}.runs`).length,
    input: () => read(`${command}.input`),
  };
}
const credential = (status: object): string =>
  `printf %s '${JSON.stringify({ apiVersion: V1, kind: "ExecCredential", status })}'`;
const exec = (command: string, more: object = {}) => ({
  exec: { apiVersion: V1, command, interactiveMode: "Never", ...more },
});

test("a login program is asked once for a token without an end, also by requests at the same time", async () => {
  const program = loginProgram(credential({ token: "given" }));
  const ask = await asking({ kubeconfig: kubeconfig(exec(program.command)) });
  assert.deepEqual(await Promise.all([ask(), ask(), ask()]), Array(3).fill("Bearer given"));
  assert.equal(await ask(), "Bearer given");
  assert.equal(program.runs(), 1);
  assert.deepEqual(JSON.parse(program.input()), {
    apiVersion: V1,
    kind: "ExecCredential",
    spec: { interactive: false },
  });
});

test("a token that has expired is asked for again in the middle of a session", async () => {
  const expired = new Date(Date.now() - 1000).toISOString();
  const program = loginProgram(
    `n=$(wc -c <"$0.runs" | tr -d " ")
    printf '{"apiVersion":"${V1}","kind":"ExecCredential","status":{"token":"t%s","expirationTimestamp":"${expired}"}}' "$n"`,
  );
  const ask = await asking({ kubeconfig: kubeconfig(exec(program.command)) });
  assert.equal(await ask(), "Bearer t1");
  assert.equal(await ask(), "Bearer t2");
});

test("a token that the API server accepts no longer is asked for again, once", async () => {
  const program = loginProgram(
    `if [ "$(wc -c <"$0.runs")" -gt 1 ]; then ${credential({ token: "fresh" })}; else ${credential({ token: "stale" })}; fi`,
  );
  const ask = await asking({ kubeconfig: kubeconfig(exec(program.command)) });
  assert.equal(await ask(), "Bearer fresh");
  assert.equal(program.runs(), 2);
  const stubborn = loginProgram(credential({ token: "stale" }));
  const client = new ApiClient(
    await loadAccess({ kubeconfig: kubeconfig(exec(stubborn.command)) }),
  );
  await assert.rejects(client.request({ verb: "get", group: "", resource: "pods" }), {
    status: 401,
  });
  assert.equal(stubborn.runs(), 2);
  client.close();
});

test("a login program can give a certificate", async () => {
  const program = loginProgram(
    credential({
      clientCertificateData: readFileSync(at("developer"), "utf8"),
      clientKeyData: readFileSync(at("developer.key"), "utf8"),
    }),
  );
  assert.equal(
    await asked({ kubeconfig: kubeconfig(exec(program.command)) }),
    "certificate of eve",
  );
});

test("a login program has its arguments and variables, is found beside its kubeconfig, and learns about the cluster if it wants to", async () => {
  mkdirSync(at("tools"));
  writeFileSync(
    at("tools/login"),
    `#!/bin/sh\nprintf %s "$KUBERNETES_EXEC_INFO" >"$0.input"\nprintf '{"apiVersion":"${V1}","kind":"ExecCredential","status":{"token":"%s-%s"}}' "$1" "$REALM"\n`,
    { mode: 0o755 },
  );
  const config = kubeconfig(
    exec("./tools/login", {
      args: ["one"],
      env: [{ name: "REALM", value: "two" }],
      provideClusterInfo: true,
    }),
    { extensions: [{ name: "client.authentication.k8s.io/exec", extension: { audience: "a" } }] },
  );
  assert.equal(await asked({ kubeconfig: config }), "Bearer one-two");
  const { spec } = JSON.parse(readFileSync(at("tools/login.input"), "utf8"));
  assert.deepEqual(spec.cluster, {
    server,
    "certificate-authority-data": base64("ca"),
    config: { audience: "a" },
  });
});

test("a login program that fails is told in its own words", async () => {
  const program = loginProgram("echo 'session expired: run sso login' >&2; exit 3");
  const said = await failure(
    asked({ kubeconfig: kubeconfig(exec(program.command)) }),
    "LOGIN_FAILED",
  );
  assert.match(
    said,
    /^cannot log in to the cluster as "eve" by its login program\nbecause: session expired: run sso login\nhint: see what the login program says: /,
  );
});

test("a login program that is not there is named, with how to install it", async () => {
  const config = kubeconfig(exec("no-such-login", { installHint: "get it from the shop" }));
  const said = await failure(asked({ kubeconfig: config }), "LOGIN_FAILED");
  assert.match(
    said,
    /^the login program "no-such-login" of user "eve" is not on this machine\n.*\nhint: get it from the shop/,
  );
});

test("an answer that is none is told without what is in it", async () => {
  const bad: [string, RegExp][] = [
    ["echo secret", /no JSON/],
    ['echo \'{"token":"secret"}\'', /no ExecCredential/],
    [credential({}), /neither a token nor a certificate/],
    [credential({ clientCertificateData: "secret" }), /neither a token nor a certificate/],
    [credential({ token: "secret", expirationTimestamp: "later" }), /no time/],
    [
      credential({ token: "secret" }).replace("k8s.io/v1", "k8s.io/v1beta1"),
      /k8s.io\/v1beta1, the kubeconfig says/,
    ],
  ];
  for (const [body, words] of bad) {
    const { command } = loginProgram(body);
    const said = await failure(asked({ kubeconfig: kubeconfig(exec(command)) }), "LOGIN_FAILED");
    assert.match(said, words);
    assert.doesNotMatch(said, /secret/);
  }
});

test("one that must ask its user is not started without a terminal, one that may is told that there is none", async () => {
  const always = loginProgram(credential({ token: "given" }));
  const must = kubeconfig(exec(always.command, { interactiveMode: "Always" }));
  assert.match(await failure(asked({ kubeconfig: must }), "LOGIN_FAILED"), /no terminal for it/);
  assert.equal(always.runs(), 0);
  assert.equal(await asked({ kubeconfig: must, takeTerminal: () => true }), "Bearer given");
  assert.equal(JSON.parse(always.input()).spec.interactive, true);
  const may = kubeconfig(exec(always.command, { interactiveMode: "IfAvailable" }));
  assert.equal(await asked({ kubeconfig: may }), "Bearer given");
  assert.equal(JSON.parse(always.input()).spec.interactive, false);
});

test("a login program ends with the last one who waits for it", async () => {
  const program = loginProgram('echo $$ >"$0.pid.new"; mv "$0.pid.new" "$0.pid"; exec sleep 1000');
  const access = await loadAccess({ kubeconfig: kubeconfig(exec(program.command)) });
  const ending = new AbortController();
  const waiting = access.credentials(ending.signal);
  const end = Date.now() + 60_000;
  while (!existsSync(`${program.command}.pid`)) {
    assert.ok(Date.now() < end, "it did not start");
    await new Promise((resolve) => setImmediate(resolve));
  }
  const pid = Number(readFileSync(`${program.command}.pid`, "utf8"));
  ending.abort(new Error("Ctrl-C"));
  await assert.rejects(waiting, /Ctrl-C/);
  while (existsSync(`/proc/${pid}`)) {
    assert.ok(Date.now() < end, "it did not end");
    await new Promise((resolve) => setImmediate(resolve));
  }
});

test("a token file is read for each request: its token is renewed by others", async () => {
  mkdirSync(at("tokens"));
  writeFileSync(at("tokens/token"), "first\n");
  const ask = await asking({ kubeconfig: kubeconfig({ tokenFile: "tokens/token" }) });
  assert.equal(await ask(), "Bearer first");
  writeFileSync(at("tokens/token"), "second\n");
  assert.equal(await ask(), "Bearer second");
  rmSync(at("tokens/token"));
  assert.match(await failure(ask(), "LOGIN_FAILED"), /ENOENT.*tokens\/token/);
});

test("client certificates are those of files, relative to the kubeconfig, or of its data", async () => {
  for (const user of [
    { "client-certificate": "developer", "client-key": "developer.key" },
    {
      "client-certificate-data": base64("developer"),
      "client-key-data": base64("developer.key"),
    },
  ])
    assert.equal(await asked({ kubeconfig: kubeconfig(user) }), "certificate of eve");
});

test("a password, and somebody whose place a user takes", async () => {
  assert.equal(
    await asked({ kubeconfig: kubeconfig({ username: "eve", password: "p" }) }),
    `Basic ${Buffer.from("eve:p").toString("base64")}`,
  );
  const user = { token: "t", as: "bob", "as-groups": ["a", "b"] };
  assert.equal(await asked({ kubeconfig: kubeconfig(user) }), "Bearer t as bob in a,b");
});

test("several files: context, cluster and user can each be in another, with paths of its own", async () => {
  const before = process.env.KUBECONFIG;
  mkdirSync(at("other"));
  writeFileSync(at("other/token"), "other");
  writeFileSync(
    at("other/users"),
    JSON.stringify({ users: [{ name: "eve", user: { tokenFile: "token" } }] }),
  );
  const split = JSON.parse(readFileSync(kubeconfig({ token: "last" }, {}, "whole"), "utf8"));
  writeFileSync(at("contexts"), JSON.stringify({ ...split, users: [], clusters: [] }));
  process.env.KUBECONFIG = [at("contexts"), at("other/users"), at("whole")].join(":");
  try {
    assert.equal(await asked({}), "Bearer other");
  } finally {
    if (before === undefined) delete process.env.KUBECONFIG;
    else process.env.KUBECONFIG = before;
  }
});

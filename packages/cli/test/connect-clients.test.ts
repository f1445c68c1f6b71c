/** Programs that people point at the proxy of `inpod connect`, as docs/connect.md says. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isThere, Run, startCli, useSandbox } from "./exec-support.ts";

const { sandbox, inventory, folder } = await useSandbox();

const JAVA = `import java.io.*; import java.net.*;
public class Get { public static void main(String[] words) throws Exception {
  try (InputStream in = new URL(words[0]).openStream()) { System.out.write(in.readAllBytes()); System.out.flush(); }
} }`;
const PYTHON =
  "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode(), end='')";
const URL_THERE = "http://greetings/";

test("curl, Python, Java and git find a Service by its name with what is printed for them", async (t) => {
  const connect = ["connect", "-t", `process/${sandbox.pid}`, "--mode", "proxy", "--port", "0"];
  const run = startCli(sandbox, [...connect, "--format", "json"]);
  await run.said("until Ctrl-C", "stderr");
  await run.said(/\}\n$/);
  const variables = JSON.parse(run.stdout) as Record<string, string>;
  const { host, hostname, port } = new URL(variables.http_proxy ?? "");
  const plain = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/_proxy$/i.test(name)),
  );
  writeFileSync(join(folder, "Get.java"), JAVA);
  const greeting = `greetings to ${sandbox.podAddress}\n`;
  const git = "is this a git repository"; // the server's answer came
  const clients: readonly (readonly [string, readonly string[], boolean])[] = [
    [greeting, ["curl", "-sS", URL_THERE], true],
    [greeting, ["curl", "-sS", "--socks5-hostname", host, URL_THERE], false],
    [greeting, ["curl", "-sS", "--proxytunnel", "-x", `http://${host}`, URL_THERE], false],
    [greeting, ["python3", "-c", PYTHON, URL_THERE], true],
    [
      greeting,
      [
        ...["java", `-DsocksProxyHost=${hostname}`, `-DsocksProxyPort=${port}`],
        ...[join(folder, "Get.java"), URL_THERE],
      ],
      false,
    ],
    [git, ["git", "ls-remote", `${URL_THERE}x.git`], true],
    [git, ["git", "-c", `http.proxy=socks5h://${host}`, "ls-remote", `${URL_THERE}x.git`], false],
  ];
  const tried = clients.filter(([, [program = ""]]) => isThere(program));
  await Promise.all(
    tried.map(async ([expected, words, byVariables]) => {
      const env = { ...plain, ...(byVariables ? variables : {}) };
      const client = new Run(
        sandbox.inLaptop(words, { env, cwd: folder, stdio: ["ignore", "pipe", "pipe"] }),
      );
      const { stdout, stderr } = await client.ended;
      assert.ok(`${stdout}${stderr}`.includes(expected), `${words.join(" ")}: ${stdout}${stderr}`);
    }),
  );
  t.diagnostic(`tried: ${[...new Set(tried.map(([, [program]]) => program))].join(", ")}`);
  assert.ok(tried.length > 0 || !isThere("curl"));
  run.signalGroup("SIGINT");
  assert.equal((await run.ended).code, 0, run.stderr);
  await inventory.assertAsBefore();
});

/** The developer's cloud credentials under the built `inpod exec`: hidden, said once, and brought back by a key. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runInpod, useSandbox } from "./exec-support.ts";

const { sandbox, folder: home } = await useSandbox();

const FILES = [
  ...[".aws/credentials", ".azure/msal_token_cache.json", ".config/gcloud/credentials.db"],
  ...[".kube/config", ".docker/config.json"],
];
const VARIABLES = {
  AWS_PROFILE: "mine",
  AZURE_CLIENT_SECRET: "mine",
  GOOGLE_APPLICATION_CREDENTIALS: "/mine.json",
  KUBECONFIG: "/mine",
};
const CAT = `cd ~; for file in ${FILES.join(" ")}; do test -e $file && echo $file; done; env | sed -n 's/=mine$//p;s/=.mine.*//p' | sort`;

for (const file of FILES) {
  mkdirSync(join(home, file, ".."), { recursive: true });
  writeFileSync(join(home, file), "mine");
}

async function seen(feature?: object, home_ = home) {
  const { code, stdout, stderr } = await runInpod(sandbox, ["sh", "-c", CAT], {
    cwd: "/",
    env: { PATH: process.env.PATH, HOME: home_, ...VARIABLES },
    ...(feature === undefined ? {} : { config: { feature } }),
  });
  assert.equal(code, 0, stderr);
  const notices = stderr.split("\n").filter((line) => line.includes("are hidden from the program"));
  return { seen: stdout.trim().split("\n"), notices };
}

test("variables and files of every cloud are hidden, which is said in one line; a registry's login is not", async () => {
  const { seen: found, notices } = await seen();
  assert.deepEqual(found, [".docker/config.json"]);
  assert.equal(notices.length, 1);
  for (const what of [
    ...Object.keys(VARIABLES),
    "~/.aws",
    "~/.azure",
    "~/.config/gcloud",
    "~/.kube",
  ])
    assert.ok(notices[0]?.includes(what), `${what}: ${notices[0]}`);
  assert.doesNotMatch(notices.join(), /mine/);
});

test("feature.local_credentials brings back what it names, variables and files", async () => {
  const { seen: found, notices } = await seen({ local_credentials: ["aws", "kubernetes"] });
  assert.deepEqual(found, [
    ...[".aws/credentials", ".kube/config", ".docker/config.json", "AWS_PROFILE", "KUBECONFIG"],
  ]);
  assert.doesNotMatch(notices.join(), /AWS|KUBE|kube/);
  const all = await seen({ local_credentials: true });
  assert.deepEqual(all.seen, [...FILES, ...Object.keys(VARIABLES).sort()]);
  assert.deepEqual(all.notices, []);
});

test("mirrord's magic.aws: false is the same for AWS, and a path or a variable can be given by itself", async () => {
  assert.deepEqual((await seen({ magic: { aws: false } })).seen, [
    ...[".aws/credentials", ".docker/config.json", "AWS_PROFILE"],
  ]);
  const { seen: found } = await seen({
    fs: { local: ["/\\.kube/config$"] },
    env: { override: { KUBECONFIG: "mine" } },
  });
  assert.deepEqual(found, [".kube/config", ".docker/config.json", "KUBECONFIG"]);
});

test("where all files are the developer's only variables are hidden; nothing there, nothing said", async () => {
  const { seen: found, notices } = await seen({ fs: "local" });
  assert.deepEqual(found, FILES);
  assert.doesNotMatch(notices.join(), /~/);
  const { code, stderr } = await runInpod(sandbox, ["true"], {
    env: { PATH: process.env.PATH, HOME: "/nonexistent" },
  });
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(stderr, /hidden/);
});

/** On a real cluster: filters inside TLS, with a certificate out of a Secret that the user may, or may not, read. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeCertificate } from "@inpod/sandbox";
import { type Right, sessionRights } from "@inpod/targets";
import { imageOfFiles } from "./support/images.ts";
import { runInpod, startInpod } from "./support/inpod.ts";
import {
  apply,
  inventory,
  kubectl,
  onCluster,
  untilInventoryIs,
  waitFor,
} from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { NODE_IMAGE, runNodePod } from "./support/pods.ts";
import { rulesOf, userWith } from "./support/users.ts";

const PORT = 8443;

/** HTTPS that says its name, what was asked and by whom; `CERT` and `KEY` are variables. */
const server = (name: string): string => `
require("https").createServer({ cert: process.env.CERT, key: process.env.KEY }, (q, r) => {
  r.end("${name} " + q.url + " from " + q.socket.remoteAddress.replace("::ffff:", ""));
}).listen(${PORT}, () => console.log("${name} listens"));
`;
/** Written for `node -e`: asks as this user, and trusts the certificate of CERT only. */
const CLIENT = `const [,host,user]=process.argv;require("https").get({host,port:${PORT},path:"/"+user,servername:"orders.test",
  ca:process.env.CERT,headers:{"x-user":user}},r=>r.on("data",b=>process.stdout.write(b))).on("error",e=>console.log(e.code))`;

describe("TLS on a cluster", onCluster, () => {
  const namespace = useNamespace("inpod-tls");
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-"));
  const { cert, key } = makeCertificate({ names: ["orders.test"] });
  const own = makeCertificate({ names: ["mine.test"] });
  let address = "";
  let client = "";
  let found: string[] = [];

  before(async () => {
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    const base64 = (text: string): string => Buffer.from(text).toString("base64");
    await apply(
      {
        apiVersion: "v1",
        kind: "Secret",
        type: "kubernetes.io/tls",
        metadata: { name: "orders-tls", namespace },
        data: { "tls.crt": base64(cert), "tls.key": base64(key) },
      },
      {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "other", namespace },
        data: { password: base64("sesame") },
      },
    );
    const env = { CERT: cert, KEY: key };
    await runNodePod({ namespace, name: "web", source: server("pod"), env });
    await runNodePod({ namespace, name: "client", source: "setInterval(() => {}, 1e6)", env });
    const ip = (name: string): Promise<string> =>
      kubectl("get", "pod", name, "-n", namespace, "-o", "jsonpath={.status.podIP}");
    [address, client] = await Promise.all([ip("web"), ip("client")]);
    await waitFor("the pod to answer", async () =>
      (await ask("x")).startsWith("pod") ? true : undefined,
    );
    found = await inventory(namespace);
    writeFileSync(join(folder, "server.js"), server("mine"));
  });
  after(() => rmSync(folder, { recursive: true }));

  const ask = (user: string): Promise<string> =>
    kubectl(
      ...["exec", "client", "-n", namespace, "--"],
      ...[process.execPath, "-e", CLIENT, address, user],
    );

  /** The words of a session by that user, with that Secret. */
  function words(name: string, secret: string): string[] {
    const config = join(folder, `${name}.json`);
    const incoming = {
      mode: "steal",
      http_filter: { header_filter: "^x-user: me$" },
      tls: [{ ports: [PORT], secret }],
    };
    const env = { override: { CERT: own.cert, KEY: own.key } };
    writeFileSync(config, JSON.stringify({ feature: { network: { incoming }, env } }));
    return ["exec", "-f", config, "-t", "pod/web", "-n", namespace, "--", "node", "server.js"];
  }

  /** How often each of its lines stands in the namespace's objects, but for Secrets. */
  async function placesOfKey(): Promise<number[]> {
    const all = await kubectl("get", "pods,jobs,events,configmaps", "-n", namespace, "-o", "json");
    const lines = key.split("\n").slice(1, -2);
    return lines.map((line) => all.split(line).length - 1);
  }

  const rights = (readsCertificates: boolean): readonly Right[] =>
    sessionRights({
      kind: "pod",
      namespace,
      agentNamespace: undefined,
      isEphemeral: false,
      readsCertificates,
    }).flatMap((at) => at.rights);

  test("with the Secret's certificate and just the rights for it, requests inside TLS are filtered", async () => {
    const needed = rights(true).filter((right) => right.needed === "always");
    const KUBECONFIG = await userWith(folder, namespace, "reader", rulesOf(needed));
    const before = await placesOfKey();
    const inpod = startInpod(words("reader", "orders-tls"), { cwd: folder, env: { KUBECONFIG } });
    await inpod.says(/mine listens/);
    await inpod.says(/requests to port 8443 of the target now arrive/);
    for (let each = 0; each < 3; each++) {
      assert.equal(await ask("me"), `mine /me from ${client}`);
      assert.equal(await ask("you"), `pod /you from ${client}`);
    }
    // The two pods of this test have the key as a variable.
    assert.deepEqual(await placesOfKey(), before);
    for (const line of key.split("\n").slice(1, -2)) assert.ok(!inpod.output().includes(line));
    inpod.interrupt();
    await inpod.done;
    assert.equal(await ask("me"), `pod /me from ${client}`);
    await untilInventoryIs(namespace, found);
  });

  test("without the right, without the Secret and with another kind of it nothing is begun", async () => {
    const KUBECONFIG = await userWith(folder, namespace, "blind", rulesOf(rights(false)));
    const env = { KUBECONFIG };
    const blind = await runInpod(words("blind", "orders-tls"), { cwd: folder, env });
    assert.notEqual(blind.code, 0);
    assert.match(blind.stderr, /may not get secrets/);
    assert.match(blind.stderr, /resources: \[secrets\], verbs: \[get\]/);
    const none = await runInpod(words("none", "nowhere"), { cwd: folder });
    assert.match(none.stderr, /no secret\/nowhere in namespace "inpod-tls/);
    const other = await runInpod(words("other", "other"), { cwd: folder });
    assert.match(
      other.stderr,
      /secret\/other .* is none for TLS: it is of type Opaque and has password/,
    );
    assert.doesNotMatch(other.stderr, /sesame/);
    assert.deepEqual(await inventory(namespace), found);
  });
});

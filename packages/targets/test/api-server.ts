/** An HTTPS server in the place of an API server, that says who came, and kubeconfigs for it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { after, before } from "node:test";
import type { TLSSocket } from "node:tls";
import { UserError } from "@inpod/protocol";
import { ApiClient } from "../src/kubernetes/reach/api-client.ts";
import { type KubeconfigOptions, loadAccess } from "../src/kubernetes/reach/kubeconfig.ts";

const folder = mkdtempSync(join(tmpdir(), "inpod-login-"));
after(() => rmSync(folder, { recursive: true }));
export const at = (name: string): string => join(folder, name);

const openssl = (...args: string[]): void => {
  execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
};
openssl(
  ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca".split(
    " ",
  ),
);
writeFileSync(at("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:api.test");
for (const [name, subject] of [
  ["server", "/CN=server"],
  ["developer", "/O=developers/CN=eve"],
]) {
  openssl(
    ..."req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(" "),
    ...["-subj", subject ?? "", "-keyout", `${name}.key`, "-out", `${name}.request`],
  );
  openssl(
    ..."x509 -req -CA ca -CAkey ca.key -CAcreateserial -days 2 -extfile names".split(" "),
    ...["-in", `${name}.request`, "-out", name ?? ""],
  );
}
export const base64 = (name: string): string => readFileSync(at(name)).toString("base64");

/** Says who asks; "stale" is nobody. */
export const api = createHttpsServer({
  key: readFileSync(at("server.key")),
  cert: readFileSync(at("server")),
  ca: readFileSync(at("ca")),
  requestCert: true,
  rejectUnauthorized: false,
});
const who = (request: IncomingMessage): string => {
  const socket = request.socket as TLSSocket;
  const subject = socket.authorized ? socket.getPeerCertificate().subject : undefined;
  const as = request.headersDistinct["impersonate-user"]?.join() ?? "";
  const groups = request.headersDistinct["impersonate-group"]?.join() ?? "";
  return [
    request.headers.authorization ?? (subject ? `certificate of ${subject.CN}` : "nobody"),
    ...(as === "" ? [] : [`as ${as} in ${groups}`]),
  ].join(" ");
};
api.on("request", (request, response) => {
  const isStale = request.headers.authorization === "Bearer stale";
  response.statusCode = isStale ? 401 : 200;
  response.end(JSON.stringify(isStale ? { message: "Unauthorized" } : { who: who(request) }));
});
api.on("upgrade", (request, socket: Duplex) => {
  socket.on("error", () => {});
  socket.write(
    `HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n${who(request)}`,
  );
});
export let server = "";
before(async () => {
  api.listen(0, "127.0.0.1");
  await once(api, "listening");
  server = `https://127.0.0.1:${(api.address() as AddressInfo).port}`;
});
after(() => api.closeAllConnections());
after(() => api.close());

let count = 0;
/** A kubeconfig of one user. Path. */
export function kubeconfig(user: object, cluster: object = {}, name = `config${count++}`): string {
  const path = at(name);
  writeFileSync(
    path,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "dev",
      clusters: [
        { name: "c", cluster: { server, "certificate-authority-data": base64("ca"), ...cluster } },
      ],
      users: [{ name: "eve", user }],
      contexts: [{ name: "dev", context: { cluster: "c", user: "eve", namespace: "shop" } }],
    }),
  );
  return path;
}

/** Each call is a request: whom the server saw. */
export async function asking(options: KubeconfigOptions): Promise<() => Promise<string>> {
  const client = new ApiClient(await loadAccess(options));
  after(() => client.close());
  return async () =>
    (
      await client.request<{ who: string }>({
        ...{ verb: "get", group: "", resource: "pods", namespace: "shop", name: "orders" },
      })
    ).who;
}
export const asked = async (options: KubeconfigOptions): Promise<string> =>
  (await asking(options))();

export async function failure(work: Promise<unknown>, code: string): Promise<string> {
  const error = await work.then(
    () => undefined,
    (thrown) => thrown,
  );
  assert.ok(error instanceof UserError, String(error));
  assert.equal(error.code, code, error.message);
  const cause = error.cause instanceof Error ? error.cause.message : "";
  return [error.message, `because: ${cause}`, ...error.hints.map((hint) => `hint: ${hint}`)].join(
    "\n",
  );
}

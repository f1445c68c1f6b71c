/** A pod "web" that speaks HTTP/1, HTTP/2, raw TCP and UDP behind a Service, and a pod "client" on another node. */
import assert from "node:assert/strict";
import { before } from "node:test";
import { awayFrom } from "./another-node.ts";
import { imageOfFiles } from "./images.ts";
import { apply, inventory, kubectl, waitFor, written } from "./kubectl.ts";
import { useNamespace } from "./namespace.ts";
import { NODE_IMAGE, runNodePod } from "./pods.ts";

const SOURCE = `const net = require("net"), http = require("http"), http2 = require("http2");
const answer = (q, r) => q.resume().on("end", () => r.end("pod " + q.httpVersion + " " + q.url));
const one = http.createServer(answer), two = http2.createServer(answer);
net.createServer({ noDelay: true }, (s) => { s.on("error", () => {}); s.once("data", (d) => {
  s.pause(); s.unshift(d); const isTwo = String(d).startsWith("PRI ");
  (isTwo ? two : one).emit("connection", s); if (!isTwo) s.resume();
}); }).listen(3000);
net.createServer({ allowHalfOpen: true }, (s) => { s.on("error", () => {}); s.write("pod "); s.pipe(s); }).listen(4000);
net.createServer({ allowHalfOpen: true }, (s) => s.pipe(s)).listen(9999, "127.0.0.1");
const u = require("dgram").createSocket("udp4");
u.on("message", (m, r) => u.send("pod " + m, r.port, r.address)); u.bind(5300);`;

/** What a client of the cluster is told. Each answer is a line; "none" where it is an error. */
const ASK = (
  host: string,
): string => `const net = require("net"), http = require("http"), http2 = require("http2");
const host = ${JSON.stringify(host)}; const say = (what, text) => console.log(what + " " + text);
http.get({ host, path: "/one", agent: false }, (r) => { let t = ""; r.on("data", (d) => t += d).on("end", () => say("http1", t)); })
  .on("error", () => say("http1", "none"));
const h = http2.connect("http://" + host); h.on("error", () => say("http2", "none"));
const q = h.request({ ":path": "/two" }); let t = ""; q.on("data", (d) => t += d); q.on("error", () => {});
q.on("end", () => { say("http2", t); h.close(); });
const s = net.connect(4000, host, () => s.end("raw")); let d = ""; s.on("data", (b) => d += b);
s.on("error", () => say("raw", "none")); s.on("end", () => say("raw", d));
const u = require("dgram").createSocket("udp4"); const late = setTimeout(() => { say("udp", "none"); u.close(); }, 3000);
u.on("message", (m) => { clearTimeout(late); say("udp", m); u.close(); }); u.send("datagram", 5300, host);`;

export interface AllProtocols {
  readonly namespace: string;
  /** Flags with which an agent without a target is on the client's node ("web" is on another), and none outlives its session. */
  away(): readonly string[];
  /** Nothing is in the namespace that was not there before, its pods answer, and what is written down is the same. */
  untilAsBefore(limitMs?: number): Promise<void>;
}

/** For a file's tests. */
export function useAllProtocols(prefix: string): AllProtocols {
  const namespace = useNamespace(prefix);
  let names: readonly string[] = [];
  let text = "";
  let away: readonly string[] = [];
  before(async () => {
    await runAllProtocols(namespace);
    away = await awayFrom(namespace, "web");
    names = await inventory(namespace);
    text = await written(namespace);
  });
  return {
    namespace,
    away: () => away,
    untilAsBefore: async (limitMs = 100_000) => {
      await waitFor(
        "the namespace to be as before",
        async () => ((await inventory(namespace)).join() === names.join() ? true : undefined),
        limitMs,
      );
      assert.deepEqual(await askFromClient(namespace), POD_ANSWERS);
      assert.equal(await written(namespace), text);
    },
  };
}

/** With every pod ready. */
async function runAllProtocols(namespace: string): Promise<void> {
  await imageOfFiles(NODE_IMAGE, [process.execPath]);
  const names = await kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}");
  const [first = "", second = first] = names.split(" ");
  await Promise.all([
    runNodePod({ namespace, name: "web", source: SOURCE, node: first }),
    runNodePod({ namespace, name: "client", source: "setInterval(() => {}, 1e6)", node: second }),
    apply({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace },
      spec: {
        selector: { app: "web" },
        ports: [
          { name: "http", port: 80, targetPort: 3000 },
          { name: "raw", port: 4000 },
          { name: "udp", port: 5300, protocol: "UDP" },
        ],
      },
    }),
  ]);
  await waitFor("the service to have its pod", async () =>
    (await askFromClient(namespace)).join() === POD_ANSWERS.join() ? true : undefined,
  );
}

export const POD_ANSWERS = [
  "http1 pod 1.1 /one",
  "http2 pod 2.0 /two",
  "raw pod raw",
  "udp pod datagram",
];

/** Through the Service, from the other node; in the order of POD_ANSWERS. */
export async function askFromClient(namespace: string): Promise<string[]> {
  const script = ["exec", "client", "-n", namespace, "--", process.execPath, "-e", ASK("web")];
  return (await kubectl(...script)).trim().split("\n").sort();
}

/** The agent's pod is deleted as by a node that drains. */
export async function killAgent(namespace: string): Promise<void> {
  const agent = await waitFor("the agent's pod", async () => {
    const found = (await kubectl("get", "pods", "-n", namespace, "-o", "name")).split("\n");
    return found.find((name) => name.startsWith("pod/inpod"));
  });
  await kubectl("delete", agent, "-n", namespace, "--grace-period=0", "--force", "--wait=false");
}

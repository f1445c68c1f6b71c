/** A pod that asks without a pause, and what it has been told when it is over. */
import { type ChildProcess, spawn } from "node:child_process";
import { kubectl } from "./kubectl.ts";

/** Ends with its input; by itself after three minutes. */
const ASK = `
const http = require("http"), told = {};
let isOver = false;
process.stdin.on("end", () => (isOver = true)).resume();
setTimeout(() => (isOver = true), 180000).unref();
const ask = () => new Promise((done) => {
  const request = http.get({ host: process.argv[1], port: 80, agent: false, timeout: 8000 }, (answer) => {
    let text = answer.statusCode + " ";
    answer.setEncoding("utf8").on("data", (more) => (text += more)).on("end", () => done(text)).on("error", (e) => done(e.code));
  }).on("timeout", () => request.destroy(new Error("timeout"))).on("error", (e) => done(e.code || e.message));
});
(async () => {
  while (!isOver) {
    const text = await ask();
    told[text] = (told[text] || 0) + 1;
    await new Promise((done) => setTimeout(done, 20));
  }
  console.log(JSON.stringify(told));
  process.exit();
})();`;

export interface Asking {
  /** How often which answer came, or the error's code in its place. */
  stop(): Promise<Readonly<Record<string, number>>>;
}

/** HTTP/1 from the pod "client" to a Service's port 80, each request on a connection of its own. */
export async function startAsking(namespace: string, service: string): Promise<Asking> {
  const address = await kubectl(
    ...["get", "service", service, "-n", namespace, "-o", "jsonpath={.spec.clusterIP}"],
  );
  const child: ChildProcess = spawn(
    "kubectl",
    ["exec", "-i", "client", "-n", namespace, "--", process.execPath, "-e", ASK, address],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  let said = "";
  child.stdout?.on("data", (chunk) => {
    said += String(chunk);
  });
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  return {
    stop: async () => {
      child.stdin?.end();
      const late = setTimeout(() => child.kill("SIGKILL"), 30_000);
      await closed;
      clearTimeout(late);
      return JSON.parse(said) as Record<string, number>;
    },
  };
}

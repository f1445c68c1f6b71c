/** What the tests of service modes share: a developer's server on this machine, and the commands beside a sandbox's pod. */
import assert from "node:assert/strict";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { NETWORK, type Sandbox } from "@inpod/sandbox";
import {
  type Inventory,
  type Outcome,
  Run,
  type RunOptions,
  startCli,
  useSandbox,
} from "./exec-support.ts";

const PROGRAM = fileURLToPath(new URL("services-server.mjs", import.meta.url));

/** A file's tests use one server, and a busy machine takes its time for them. */
const SERVER_MS = 600_000;

/** A developer's server, in the laptop's network; it says what comes. */
export interface DevServer {
  /** HTTP/1: "I am here" with the request's path and headers; and HTTP/2 without TLS. */
  readonly http: number;
  /** TCP: what it gets, half-closes passed on. */
  readonly echo: number;
  /** UDP: what it gets, behind "here: ". */
  readonly udp: number;
  readonly run: Run;
  stop(): Promise<void>;
}

/** @param ports 0: any that is free */
export async function startServer(
  sandbox: Sandbox,
  ports: { readonly http?: number; readonly echo?: number; readonly udp?: number } = {},
): Promise<DevServer> {
  const { http = 0, echo = 0, udp = 0 } = ports;
  const argv = [process.execPath, PROGRAM, String(http), String(echo), String(udp)];
  const run = new Run(
    sandbox.inLaptop(argv, { stdio: ["ignore", "pipe", "pipe"], detached: true }),
    SERVER_MS,
  );
  await run.said("}\n");
  const [line = ""] = run.stdout.split("\n");
  return {
    ...(JSON.parse(line) as { http: number; echo: number; udp: number }),
    run,
    stop: async () => {
      run.signalGroup("SIGKILL");
      await run.ended;
    },
  };
}

/** At the top of a file: what useSandbox() has, a developer's server beside it, and how a mode ends. */
export async function useServices(): Promise<{
  readonly sandbox: Sandbox;
  readonly inventory: Inventory;
  readonly folder: string;
  readonly server: DevServer;
  /** Ctrl-C: code 0, nothing on stdout, and all is as before. */
  readonly interrupted: (run: Run) => Promise<Outcome>;
}> {
  const used = await useSandbox();
  const server = await startServer(used.sandbox);
  after(() => server.stop());
  return {
    ...used,
    server,
    interrupted: async (run) => {
      run.signalGroup("SIGINT");
      const outcome = await run.ended;
      assert.equal(outcome.code, 0, outcome.stderr);
      assert.equal(outcome.stdout, "");
      await used.inventory.assertAsBefore();
      return outcome;
    },
  };
}

/** Starts a service mode on the sandbox's pod. The caller awaits `ended`. */
export const startMode = (
  sandbox: Sandbox,
  command: string,
  words: readonly string[],
  options: Omit<RunOptions, "flags" | "config"> = {},
): Run => startCli(sandbox, [command, `process/${sandbox.pid}`, ...words], options);

const CLIENT = fileURLToPath(new URL("services-client.mjs", import.meta.url));

/** What came of a step of services-client.mjs. */
export interface Step {
  readonly how: string;
  readonly text?: string;
  readonly status?: number;
  readonly reply?: number;
  readonly from?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly addresses?: readonly string[];
}

/** One program of the developer's machine does all steps, one after the other. */
export async function useSteps(
  sandbox: Sandbox,
  ...steps: readonly object[]
): Promise<readonly Step[]> {
  const run = new Run(
    sandbox.inLaptop([process.execPath, CLIENT, JSON.stringify(steps)], {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    }),
  );
  const { code, stdout, stderr } = await run.ended;
  if (code !== 0) throw new Error(`the steps failed: ${stderr}`);
  // A Run reads bytes.
  return JSON.parse(Buffer.from(stdout, "latin1").toString()) as Step[];
}

/** In the client's network: a POST by HTTP/2 without TLS, what came back as JSON. */
const HTTP2 = `
const [authority, headers] = process.argv.slice(1);
const session = require("node:http2").connect(authority);
session.on("error", (error) => { console.log(JSON.stringify({ error: error.code })); });
const stream = session.request({ ":path": "/orders", ":method": "POST", ...JSON.parse(headers) });
let answered, body = "";
stream.on("response", (all) => { answered = all; });
stream.setEncoding("utf8").on("data", (text) => { body += text; });
stream.on("close", () => { console.log(JSON.stringify({ headers: answered, body })); session.close(); });
stream.end("x");
`;

export interface Http2Answer {
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: string;
}

/** To the pod's HTTP port. */
export async function http2Request(
  sandbox: Sandbox,
  headers: Readonly<Record<string, string>>,
): Promise<Http2Answer> {
  const authority = `http://${sandbox.podAddress}:${NETWORK.pod.httpPort}`;
  const argv = [process.execPath, "-e", HTTP2, "--", authority, JSON.stringify(headers)];
  const client = sandbox.inClient(argv, { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  for await (const bytes of client.stdout ?? []) said += bytes;
  return JSON.parse(said) as Http2Answer;
}

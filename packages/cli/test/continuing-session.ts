/**
 * What `inpod exec` does, by the parts' own interfaces, with onDeath "continue": PID COMMAND [ARGUMENT…].
 * It tells on stderr what it decides, and is there to be killed.
 */
import { PreparedTap, type Reporter } from "@inpod/layer";
import { newSessionKey, startSession } from "@inpod/session";
import { loadConfig } from "../src/config/load.ts";
import { programEnvironment } from "../src/exec/environment.ts";
import { openTarget } from "../src/exec/open-target.ts";

const [pid, executable, ...rest] = process.argv.slice(2);
if (pid === undefined || executable === undefined) throw new Error("PID COMMAND");
const io = { ...process, directory: process.cwd() };
const config = loadConfig({
  flags: { target: `process/${pid}` },
  env: process.env,
  directory: io.directory,
});
const reporter: Reporter = {
  decision: ({ call, subject, verdict }) => console.error(`${call} ${subject}: ${verdict}`),
  notice: ({ text }) => console.error(text),
};
const tap = new PreparedTap();
const key = newSessionKey();
const { signal } = new AbortController();
const { target } = await openTarget({ kind: "process", pid: Number(pid) }, config, signal);
const agent = await target.place({
  publicKey: key.publicKey,
  sessionId: key.sessionId,
  startupTimeoutMs: config.agent.startupTimeoutMs,
  communicationTimeoutMs: config.agent.communicationTimeoutMs,
  onProgress: () => {},
  idleTimeoutMs: config.agent.idleTimeoutMs,
  signal,
});
const session = await startSession({
  key,
  dial: (dialSignal) => agent.dial(dialSignal),
  gone: agent.gone,
  build: "test",
  signal,
  onEvent: () => {},
});
const environment = programEnvironment(config, session.target, io).variables;
await tap.start({
  session,
  config: config.layer,
  command: [executable, ...rest],
  executable,
  environment: { ...environment, INPOD_SESSION: key.sessionId },
  cwd: io.directory,
  reporter,
  volumeMounts: [],
  onDeath: "continue",
});

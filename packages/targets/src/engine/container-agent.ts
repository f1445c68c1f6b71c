/**
 * An agent that the container's own engine runs beside it, attached to a command of ours: it ends with that. Its
 * network is nobody's, so its port is reached by `exec` only, from wherever the engine is reached.
 */

import { UserError } from "@inpod/protocol";
import type { AgentOptions } from "../api.ts";
import { enterArguments, NODE_ID } from "../enter-arguments.ts";
import { CAPABILITIES } from "../kubernetes/place/placement.ts";
import type { AgentEnd, AgentProgram } from "../process/child-agent.ts";
import type { ContainerEngine } from "../target-path.ts";
import { EngineFailure, lastWords, runEngine } from "./engine-cli.ts";
import { dialCommand } from "./exec-stream.ts";
import type { EngineContainer } from "./find.ts";

export interface EngineImage {
  /** "inpod/agent:1.2.3" */
  readonly image: string;
  readonly imagePullPolicy?: "Always" | "IfNotPresent" | "Never" | undefined;
}

/**
 * Not a port: an engine's `exec` joins the network namespace that the agent's process is in by then, which is the
 * target's.
 */
const SOCKET = "/run/inpod.sock";
/** docker(1): what `run` ends with when the container was not started. */
const NOT_STARTED = [125, 126, 127];

/** @throws UserError IMAGE_NOT_PULLED, ENGINE_* */
export async function containerAgent(
  container: EngineContainer,
  agent: EngineImage,
  options: AgentOptions,
): Promise<AgentProgram> {
  const { engine, path, pid } = container;
  const image = await chooseImage(engine, agent, options.signal);
  const name = `inpod-${options.sessionId}`;
  return {
    target: path,
    command: [
      engine,
      ...["run", "--rm", "--interactive", "--name", name],
      ...["--label", "app.kubernetes.io/managed-by=inpod"],
      ...["--label", `inpod.dev/session=${options.sessionId}`],
      ...["--label", `inpod.dev/target=${container.name}`],
      // The target's processes are found among the machine's.
      ...["--pid", "host", "--network", "none", "--read-only", "--tmpfs", "/run"],
      // Where the daemon gives containers another user namespace, the rights there would be none here.
      ...(engine === "docker" ? ["--userns", "host"] : []),
      ...["--user", "0:0", "--cap-drop", "ALL"],
      ...CAPABILITIES.flatMap((capability) => ["--cap-add", capability]),
      // Their usual profiles let a process look only at those under the same one.
      ...["--security-opt", "apparmor=unconfined"],
      ...(engine === "nerdctl" ? [] : ["--security-opt", "label=disable"]),
      ...["--entrypoint", "/inpod/inpod-enter", "--pull", image.pull, image.name],
      ...enterArguments(
        {
          pid,
          listen: SOCKET,
          isLifeline: true,
          hasOwnUid: true,
          nodePath: "/inpod/node",
          agentPath: "/inpod/agent.js",
        },
        options,
      ),
    ],
    dial: (_, signal) =>
      dialCommand(
        [
          ...[engine, "exec", "--interactive", "--user", `${NODE_ID}:${NODE_ID}`, name],
          ...["/inpod/node", "-e", BRIDGE],
        ],
        signal,
      ),
    explainEnd: (end) => explainEnd(container, agent.image, end),
    sweep: async () => {
      // As a rule --rm has done it. A daemon that does not answer has it done when our end of its stdin is gone.
      await runEngine(engine, ["rm", "--force", name]).catch(() => undefined);
    },
  };
}

/**
 * What joins an `exec`'s stdin and stdout with the agent's port. Sockets of our own on 0 and 1: process.stdout would
 * block on a pipe, and with it the other direction. The first byte says that there is a connection.
 */
const BRIDGE = `
const { Socket, connect } = require("net");
const fail = (error) => { console.error(error.message); process.exit(1); };
const agent = connect("${SOCKET}", () => {
  const input = new Socket({ fd: 0, writable: false }).on("error", fail);
  const output = new Socket({ fd: 1, readable: false }).on("error", fail);
  output.on("finish", () => process.exit(0)).write(".");
  agent.pipe(output);
  input.pipe(agent);
}).on("error", fail);
`;

/** An image that is there is named by its id: podman would look for a short name in registries first. */
async function chooseImage(
  engine: ContainerEngine,
  { image, imagePullPolicy }: EngineImage,
  signal: AbortSignal,
): Promise<{ readonly name: string; readonly pull: string }> {
  if (imagePullPolicy === "Always") return { name: image, pull: "always" };
  try {
    const format = ["--format", "{{.Id}}"];
    const id = await runEngine(engine, ["image", "inspect", ...format, image], signal);
    return { name: id.trim(), pull: "never" };
  } catch (error) {
    if (!(error instanceof EngineFailure)) throw error;
    if (imagePullPolicy === "Never") throw imageNotPulled(engine, image, error);
  }
  return { name: image, pull: "missing" };
}

function explainEnd({ engine, path }: EngineContainer, image: string, end: AgentEnd): UserError {
  const cause = new Error(lastWords(end.cause.message));
  if (end.errno === "ESRCH")
    return new UserError("TARGET_NOT_RUNNING", `${path} has ended meanwhile`, { cause });
  if (end.errno !== undefined)
    return new UserError("AGENT_ENDED", "the agent ended before it could answer", { cause });
  if (/pull|manifest|no such image|image not known|registry|short-name/i.test(cause.message))
    return imageNotPulled(engine, image, cause);
  return new UserError(
    NOT_STARTED.includes(end.code ?? 0) ? "AGENT_NOT_STARTED" : "AGENT_ENDED",
    `${engine} did not start the agent`,
    { hints: [`see what it says: ${engine} info`], cause },
  );
}

const imageNotPulled = (engine: ContainerEngine, image: string, cause: Error): UserError =>
  new UserError("IMAGE_NOT_PULLED", `${engine} cannot get the agent's image "${image}"`, {
    hints: [
      `make it, in a checkout: npm run agent-image -- --out agent.tar && ${engine} load -i agent.tar`,
      "or name one that can be pulled: --agent-image NAME",
      "or run inpod as root: then the agent needs no image",
    ],
    cause,
  });

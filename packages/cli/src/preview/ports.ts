/** Of a new Service: its name, and which port of it leads to which of the agent's and of this machine. Pure. */
import { UserError } from "@inpod/protocol";
import type { ExposeWish } from "../services/expose.ts";

export interface PreviewPort {
  /** Of this machine. */
  readonly local: number;
  /** The Service's. */
  readonly port: number;
  /** On which the agent listens in its pod. */
  readonly agentPort: number;
}

/** An RFC 1035 label: the cluster's DNS has it as a name. */
const NAME = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** Below, only root may listen. */
const FIRST_FREE = 1024;
/** The agent's own. */
const AGENT_PORT = 61337;
/** For Service ports at which the agent cannot listen. */
const HIGH = 20_000;

/** @throws UserError USAGE_INVALID */
export function neededName(name: string | undefined): string {
  if (name === undefined)
    throw new UserError("USAGE_INVALID", "inpod preview needs a name for the new Service", {
      hints: ["inpod preview NAME --expose 8080:80"],
    });
  if (NAME.test(name)) return name;
  throw new UserError("USAGE_INVALID", `"${name}" is no name for a Service`, {
    hints: ["lower case letters, digits and dashes, a letter first, 63 at most: orders-v2"],
  });
}

/** @throws UserError USAGE_INVALID */
export function previewPorts(wishes: readonly ExposeWish[]): PreviewPort[] {
  const ports: PreviewPort[] = [];
  const wanted = wishes.map(({ text, local, remote = local, protocol }) => {
    if (typeof remote === "string")
      throw invalid(text, "a new Service's ports have numbers: --expose 8080:80");
    if (protocol === "udp") throw invalid(text, "a preview takes TCP only");
    return { text, local, port: remote };
  });
  const used = new Set(wanted.map(({ port }) => port));
  for (const { text, local, port } of wanted) {
    if (ports.some((each) => each.port === port))
      throw invalid(text, `the Service's port ${port} is said twice`);
    let agentPort = port;
    if (port < FIRST_FREE || port === AGENT_PORT) {
      agentPort = HIGH + (port % FIRST_FREE);
      while (used.has(agentPort)) agentPort++;
      used.add(agentPort);
    }
    ports.push({ local, port, agentPort });
  }
  return ports;
}

const invalid = (text: string, why: string): UserError =>
  new UserError("USAGE_INVALID", `--expose ${text}: ${why}`, {
    hints: ["LOCAL[:REMOTE], your port first: --expose 8080:80"],
  });

/** The ephemeral container of one session, as a value. Pure. */
import type {
  V1Container,
  V1EphemeralContainer,
  V1Pod,
  V1SecurityContext,
} from "@kubernetes/client-node";
import type { TargetPod } from "../find/target-pod.ts";
import { agentCommand, NODE_ID, type SessionFacts } from "./agent-command.ts";
import { deadlineOf } from "./labels.ts";
import type { AgentPlacement } from "./placement.ts";
import { profilesOf, rightsOf } from "./security.ts";

/** Beyond the ports that Linux gives to outgoing connections (ip_local_port_range). */
const FIRST_PORT = 61_000;
const PORTS = 4_500;

/** MiB of the target pod's own memory, processes and sockets included: Node's heap gets what is left of it. */
const MEMORY_MIB = 48;
const NODE_OPTIONS = ["--max-old-space-size=16", "--max-semi-space-size=1", "--v8-pool-size=1"];

export const ephemeralName = (sessionId: string): string => `inpod-${sessionId}`;

/**
 * It has no labels: its session is in its name, owner and end are variables. Not INPOD_SESSION, by which the
 * user's own processes are known, on a machine whose own containers may be the cluster's nodes.
 */
export const OWNER_VARIABLE = "INPOD_OWNER";
export const DEADLINE_VARIABLE = "INPOD_DEADLINE";

export interface EphemeralParts {
  /** False: nothing but what the target itself has. */
  readonly isPrivileged: boolean;
  readonly nowMs: number;
}

/** @throws TypeError for a session id that is no DNS label */
export function ephemeralContainer(
  target: TargetPod,
  agent: AgentPlacement,
  facts: SessionFacts,
  { isPrivileged, nowMs }: EphemeralParts,
): V1EphemeralContainer {
  const [program = "", ...args] = commandOf(target, agent, facts, isPrivileged);
  return {
    name: ephemeralName(facts.sessionId),
    image: agent.image,
    ...(agent.imagePullPolicy === undefined ? {} : { imagePullPolicy: agent.imagePullPolicy }),
    // Into its pid namespace, where its main process has the number 1.
    targetContainerName: target.container,
    command: [program],
    args,
    env: [
      ...(facts.owner === undefined ? [] : [{ name: OWNER_VARIABLE, value: facts.owner }]),
      { name: DEADLINE_VARIABLE, value: deadlineOf(agent, nowMs) },
    ],
    securityContext: isPrivileged
      ? privilegedSecurity(agent)
      : { ...targetSecurity(target), ...profilesOf(agent) },
  };
}

function commandOf(
  target: TargetPod,
  agent: AgentPlacement,
  facts: SessionFacts,
  isPrivileged: boolean,
): string[] {
  const disabled: readonly string[] = agent.disabledCapabilities ?? [];
  const canSteal = target.pod.spec?.hostNetwork !== true || agent.allowHostNetwork === true;
  const has = (capability: string): boolean => isPrivileged && !disabled.includes(capability);
  return agentCommand(
    {
      way: [
        ...(target.pod.spec?.shareProcessNamespace === true
          ? ["--container-id", target.containerId, "--in-pod"]
          : ["--pid", "1", "--in-pod"]),
        ...(canSteal ? ["--allow-shared-network"] : []),
      ],
      port: portOf(target.pod, facts.sessionId),
      nodeIds: { uid: has("SETUID"), gid: has("SETGID") },
      nodeOptions: NODE_OPTIONS,
      agentOptions: ["--memory-mib", String(MEMORY_MIB)],
    },
    facts,
    agent,
  );
}

/** It lives in the pod's namespaces already: setns(2), and SYS_ADMIN with it, is not needed. */
function privilegedSecurity(agent: AgentPlacement): V1SecurityContext {
  return {
    runAsUser: 0,
    runAsGroup: 0,
    // The pod's own word would refuse the container at its start.
    runAsNonRoot: false,
    readOnlyRootFilesystem: true,
    ...rightsOf(agent, [...(agent.disabledCapabilities ?? []), "SYS_ADMIN"]),
    ...profilesOf(agent),
  };
}

/**
 * The target's own ids and no right: the kernel shows a process's environment and root directory to whoever
 * has its ids and at least its capabilities (ptrace(2), "ptrace access mode checking"). A root target's are
 * the runtime's default ones, so its agent keeps them.
 */
function targetSecurity({ pod, container }: TargetPod): V1SecurityContext {
  const { securityContext: own = {} } = containerOf(pod, container) ?? {};
  const ofPod = pod.spec?.securityContext;
  const status = pod.status?.containerStatuses?.find(({ name }) => name === container);
  const isNonRoot = own.runAsNonRoot ?? ofPod?.runAsNonRoot ?? false;
  const known = own.runAsUser ?? ofPod?.runAsUser ?? status?.user?.linux?.uid;
  const uid = known ?? (isNonRoot ? NODE_ID : 0);
  const gid = own.runAsGroup ?? ofPod?.runAsGroup ?? status?.user?.linux?.gid;
  return {
    runAsUser: uid,
    ...(gid === undefined ? {} : { runAsGroup: gid }),
    runAsNonRoot: uid !== 0,
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
    capabilities: uid === 0 ? { ...own.capabilities } : { drop: ["ALL"] },
    seccompProfile: { type: "RuntimeDefault" },
    ...(own.appArmorProfile === undefined ? {} : { appArmorProfile: own.appArmorProfile }),
    ...(own.seLinuxOptions === undefined ? {} : { seLinuxOptions: own.seLinuxOptions }),
  };
}

const containerOf = ({ spec }: V1Pod, name: string): V1Container | undefined =>
  [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].find((each) => each.name === name);

/** The pod's containers and all its agents share one 127.0.0.1. */
function portOf({ spec }: V1Pod, sessionId: string): number {
  const taken = new Set<number>(
    [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].flatMap(({ ports = [] }) =>
      ports.map(({ containerPort }) => containerPort),
    ),
  );
  for (const each of spec?.ephemeralContainers ?? []) taken.add(listenPort(each));
  let port = FIRST_PORT + (hash(sessionId) % PORTS);
  while (taken.has(port)) port = FIRST_PORT + ((port + 1 - FIRST_PORT) % PORTS);
  return port;
}

/** NaN: it is no agent. */
export const listenPort = ({ args = [] }: V1EphemeralContainer): number =>
  Number(args[args.indexOf("--listen") + 1]);

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const char of text) value = Math.imul(value ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return value;
}

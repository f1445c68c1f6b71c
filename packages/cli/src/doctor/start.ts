/** `inpod doctor`: gathers facts, judges them, tells. */
import { UserError } from "@inpod/protocol";
import type { ClusterFacts, ClusterPath } from "@inpod/targets";
import { parseTarget, type TargetPath } from "@inpod/targets/path";
import { placementOf } from "../agent-placement.ts";
import { loadConfig } from "../config/load.ts";
import type { ResolvedConfig } from "../config/resolve.ts";
import { readsSecrets } from "../config/tls.ts";
import { clusterOptions } from "../configured-cluster.ts";
import { hasColor, type Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { VERSION } from "../version.ts";
import { judgeAgent, judgeTargetless } from "./agent/judge.ts";
import type { DoctorArguments } from "./arguments.ts";
import { judgeCluster, judgeRights } from "./cluster/judge.ts";
import { exitCodeOfFindings } from "./exit-code.ts";
import { type Finding, findingOfError, type Group } from "./finding.ts";
import { gatherMachine } from "./machine/facts.ts";
import { judgeMachine } from "./machine/judge.ts";
import { probeInChild, runProbe } from "./machine/probe.ts";
import { gatherProgram } from "./program/facts.ts";
import { judgeProgram } from "./program/judge.ts";
import { type Report, renderJson, renderText } from "./render.ts";
import type { SessionWish } from "./session-wish.ts";
import { tryContainer } from "./target/container.ts";
import { judgeTarget } from "./target/judge.ts";
import { judgeProcess, tryProcess } from "./target/process.ts";

/** All questions to the cluster together. */
const CLUSTER_TIMEOUT_MS = 60_000;

/** @param script the command line's own: what Node was started with */
export async function startDoctor(
  { flags, isFileWanted, isMachineOnly, output, task, command }: DoctorArguments,
  io: Io,
  script: string,
): Promise<CommandResult> {
  if (task === "probe-tap") {
    io.stdout.write(await runProbe());
    return { code: 0 };
  }
  const { env, directory, stdout } = io;
  if (task === "print-policy") {
    const { admissionWall } = await import("@inpod/targets");
    stdout.write(admissionWall());
    return { code: 0 };
  }
  const config = loadConfig({ flags, env, directory, isFileWanted });
  const target = config.target === undefined ? undefined : parseTarget(config.target);
  if (task === "print-role") {
    stdout.write(await rolesFor(target, config));
    return { code: 0 };
  }
  const [first, ...rest] = command;
  const why = first === undefined ? "no command was named (-- COMMAND)" : notHere();
  const [machine, cluster] = await Promise.all([
    gatherMachine(env, () => probeInChild(script)),
    isMachineOnly
      ? notAsked("only this machine is looked at (--machine)")
      : examine(target, config),
  ]);
  const report: Report = {
    version: VERSION,
    target: config.target,
    findings: [
      ...(first === undefined || why !== undefined
        ? []
        : judgeProgram(gatherProgram([first, ...rest], env.PATH, directory))),
      ...judgeMachine(machine, first !== undefined),
      ...cluster.findings,
    ],
    skipped: {
      ...(why === undefined ? {} : { program: why }),
      ...cluster.skipped,
    },
    roles: cluster.roles,
  };
  stdout.write(output === "json" ? renderJson(report) : renderText(report, hasColor(stdout, env)));
  return { code: exitCodeOfFindings(report.findings) };
}

const notHere = (): string | undefined =>
  process.platform === "linux" ? undefined : "it runs where Linux is";

const notAsked = (why: string): ClusterPart => ({
  findings: [],
  skipped: { cluster: why, rights: why, target: why, agent: why },
  roles: undefined,
});

type ClusterPart = Pick<Report, "findings" | "skipped" | "roles">;

async function examine(
  target: TargetPath | undefined,
  config: ResolvedConfig,
): Promise<ClusterPart> {
  if (target?.kind === "process" || target?.kind === "engine") {
    const why = "the target needs no cluster";
    return {
      findings: [
        target.kind === "process"
          ? judgeProcess(target.pid, tryProcess(target.pid))
          : await tryContainer(target.engine, target.name),
      ],
      skipped: { cluster: why, rights: why, agent: why },
      roles: undefined,
    };
  }
  // The Kubernetes client takes its time to load, and nothing above needs it.
  const { examineCluster } = await import("@inpod/targets");
  let facts: ClusterFacts;
  try {
    facts = await examineCluster({
      ...clusterOptions(config),
      target,
      agent: placementOf(config.agent),
      readsCertificates: readsSecrets(config.tls),
      signal: AbortSignal.timeout(CLUSTER_TIMEOUT_MS),
    });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const why = "the cluster was not reached";
    return {
      findings: [findingOfError("cluster", error)],
      skipped: { rights: why, target: why, agent: why },
      roles: undefined,
    };
  }
  return judge(facts, target, config);
}

async function judge(
  facts: ClusterFacts,
  target: ClusterPath | undefined,
  config: ResolvedConfig,
): Promise<ClusterPart> {
  const { namespace, rights, user } = facts;
  const roles = await rolesIn(namespace, target, config);
  const { target: examined, targetless, namespaceFacts } = facts;
  const wish: SessionWish = {
    isStealing: config.layer.incoming.mode === "steal",
    takesProbes: config.probes,
    isEphemeral: config.agent.ephemeral,
    allowsHostNetwork: config.agent.allowHostNetwork,
    protectedContexts: config.protectedContexts,
  };
  const findings: Finding[] = [...judgeCluster(facts, wish), ...judgeRights(rights, user, roles)];
  const skipped: Partial<Record<Group, string>> = {};
  if (targetless !== undefined) {
    skipped.target = "the session is to have none";
    findings.push(...judgeTargetless(targetless, VERSION));
  } else if (examined === undefined) {
    skipped.target = "no target was named (-t)";
    skipped.agent = skipped.target;
  } else {
    findings.push(...judgeTarget(examined, namespaceFacts, wish));
    if (examined.kind === "found") findings.push(...judgeAgent(examined, VERSION, wish));
    else skipped.agent = "there is no target to run beside";
  }
  return { findings, skipped, roles };
}

async function rolesFor(target: TargetPath | undefined, config: ResolvedConfig): Promise<string> {
  const { namespaceOf } = await import("@inpod/targets");
  const isOfCluster = target?.kind !== "process" && target?.kind !== "engine";
  return rolesIn(
    config.namespace ?? (await namespaceOf(clusterOptions(config))),
    isOfCluster ? target : undefined,
    config,
  );
}

async function rolesIn(
  namespace: string,
  target: ClusterPath | undefined,
  { agent, tls }: ResolvedConfig,
): Promise<string> {
  const { rolesYaml, sessionRights } = await import("@inpod/targets");
  return rolesYaml(
    sessionRights({
      kind: target?.kind,
      namespace,
      agentNamespace: agent.namespace,
      isEphemeral: agent.ephemeral,
      readsCertificates: readsSecrets(tls),
    }),
  );
}

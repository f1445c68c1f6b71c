/** `inpod recover`: Services of dead sessions lead to their own pods again. */
import { setMaxListeners } from "node:events";
import { UserError } from "@inpod/protocol";
import { checkNamespace } from "@inpod/targets";
import { openConfiguredCluster } from "../configured-cluster.ts";
import { type Io, printable } from "../io.ts";
import type { CommandResult } from "../result.ts";
import type { RecoverArguments } from "./arguments.ts";
import { recoverThisMachine } from "./machine.ts";
import { type JudgedService, judgedServices, restoreService } from "./services.ts";

const TIMEOUT_MS = 60_000;

/** @throws UserError SERVICE_HELD, RECOVER_INCOMPLETE, those of the API */
export async function runRecover(args: RecoverArguments, io: Io): Promise<CommandResult> {
  if (args.service === undefined) await recoverThisMachine(io);
  if (args.isMachineOnly) return { code: 0 };
  const { cluster } = await openConfiguredCluster(args, io, (namespace) => [
    { operation: "recover", namespace },
  ]);
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  setMaxListeners(0, signal);
  const { namespace } = cluster;
  try {
    const all = await judgedServices(cluster, namespace, signal);
    const wanted =
      args.service === undefined ? all : all.filter(({ service }) => service.name === args.service);
    if (wanted.length === 0) await checkNamespace(cluster, signal);
    const outcomes: Outcome[] = [];
    let failure: unknown;
    for (const each of wanted) {
      const isKept = each.verdict !== "left" && !args.hasSaidYes;
      if (isKept) {
        outcomes.push({ ...each, action: "kept", words: each.why });
        continue;
      }
      try {
        outcomes.push({ ...each, action: "restored", words: await restoreService(each, signal) });
      } catch (error) {
        failure ??= error;
        const words = error instanceof Error ? error.message : String(error);
        outcomes.push({ ...each, action: "failed", words });
      }
    }
    io.stdout.write(args.output === "json" ? json(outcomes) : text(outcomes, args, namespace));
    if (failure !== undefined) throw failure;
    const kept = outcomes.find(({ action }) => action === "kept");
    if (kept !== undefined && args.service !== undefined) throw isUsed(kept, namespace);
    return { code: 0 };
  } finally {
    cluster.close();
  }
}

interface Outcome extends JudgedService {
  readonly action: "restored" | "kept" | "failed";
  readonly words: string;
}

const HEADS: Readonly<Record<Outcome["action"], string>> = {
  restored: "restored",
  kept: "kept",
  failed: "could not restore",
};

function text(
  outcomes: readonly Outcome[],
  { service }: RecoverArguments,
  namespace: string,
): string {
  if (outcomes.length > 0)
    return outcomes
      .map(
        ({ action, words, service: { name } }) =>
          `${printable(`${HEADS[action]} service/${name}: ${words}`)}\n`,
      )
      .join("");
  const what = service === undefined ? "no Service" : `service/${service}`;
  return `${printable(`${what} in namespace "${namespace}" is ${service === undefined ? "" : "not "}held by inpod`)}: there is nothing to restore\n`;
}

const json = (outcomes: readonly Outcome[]): string =>
  `${JSON.stringify(
    outcomes.map(({ service, verdict, why, action, words }) => ({
      service: service.name,
      namespace: service.namespace,
      session: service.note?.holder ?? null,
      owner: service.note?.owner || null,
      ...{ verdict, why, action, words },
    })),
    undefined,
    2,
  )}\n`;

const isUsed = ({ service: { name }, why }: Outcome, namespace: string): UserError =>
  new UserError("SERVICE_HELD", `service/${name} is left as it is: ${why}`, {
    hints: [`take it back all the same: inpod recover ${name} -n ${namespace} --yes`],
  });

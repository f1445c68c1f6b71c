/** How the tree's TCP and UDP servers have the pod's port for which each stands, and what is said of it. */
import type { IncomingSource, OnConnection, Stolen, TakeOptions } from "@inpod/session";
import { TunnelFailure } from "@inpod/session";
import type { LayerConfig, Reporter } from "../config.ts";

type IncomingConfig = LayerConfig["incoming"];

/** The call returns then all the same; the notice comes when the port is had. */
const PATIENCE_MS = 5000;

export const podPort = ({ portMapping }: IncomingConfig, requested: number): number =>
  portMapping.get(requested) ?? requested;

/** Why a program's port is another one on this machine. */
export const whyElsewhere = ({ listenPorts }: IncomingConfig, requested: number): string =>
  listenPorts.has(requested)
    ? "is another one here, as feature.network.incoming.listen_ports says"
    : "cannot be had on this machine";

export const takePort = (
  source: IncomingSource,
  { mode, onConcurrentSteal }: IncomingConfig,
  port: number,
  onConnection: OnConnection,
  options: TakeOptions,
): Promise<Stolen> =>
  mode === "mirror"
    ? source.mirror(port, onConnection, options)
    : source.steal(port, onConnection, {
        ...options,
        takesOver: onConcurrentSteal === "override",
      });

/** @param name of the port: "port 80", "UDP port 53" */
export function tellNotTaken(
  reporter: Reporter,
  { mode, onConcurrentSteal }: IncomingConfig,
  port: number,
  name: string,
  error: unknown,
): void {
  const because = error instanceof Error ? error.message : String(error);
  const isHeld = error instanceof TunnelFailure && error.errno === "EADDRINUSE";
  if (isHeld && onConcurrentSteal === "abort") {
    reporter.portHeld?.(port, because);
    return;
  }
  reporter.notice({
    key: `not taken ${name}`,
    text:
      mode === "mirror"
        ? `${name} of the target cannot be mirrored, so nothing comes in by it: ${because}`
        : `${name} of the target could not be taken, so the target goes on answering it: ${because}`,
  });
}

/** That a server is bound, or listens, is to mean that the pod's clients reach it. */
export async function untilTaken(taken: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, PATIENCE_MS).unref();
  });
  await Promise.race([taken, late]);
  clearTimeout(timer);
}

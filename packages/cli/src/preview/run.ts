/** `inpod preview`: a new Service, whose requests come to ports of this machine. */
import type { Published } from "@inpod/targets";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { withoutFilter } from "../services/incoming.ts";
import { exposedPort } from "../services/local-port.ts";
import { runService, type ServicePlace, type Serving } from "../services/with-service.ts";
import type { PreviewArguments } from "./arguments.ts";
import type { PreviewPort } from "./ports.ts";

/** @throws UserError */
export const runPreview = (args: PreviewArguments, io: Io): Promise<CommandResult> =>
  runService(
    {
      args,
      io,
      target: "targetless",
      question: "",
      steals: true,
      does: "publishes",
      publishes: { name: args.name, ports: args.ports, isExternal: args.isExternal },
      adjust: withoutFilter,
    },
    async () => (place) => serve(place, args),
  );

async function serve(
  place: ServicePlace,
  { name, ports, isExternal }: PreviewArguments,
): Promise<Serving> {
  const { incoming, target, signal, say } = place;
  const all = ports.map(({ local, port, agentPort }) => {
    const meant = { name: `port ${port} of service/${name}`, protocol: "tcp" } as const;
    return { local, port, agentPort, ...exposedPort(place, local, meant, { way: "steal" }) };
  });
  for (const { agentPort, end } of all) await incoming.steal(agentPort, end.onConnection);
  for (const { end, onNobody } of all) if (!(await end.isListening())) onNobody();
  const waiting = new AbortController();
  const published = target.published?.();
  const host = `${name}.${published?.namespace}`;
  if (isExternal && published !== undefined)
    void tellExternal(published, ports, AbortSignal.any([signal, waiting.signal]), say);
  const ready = all.map(
    ({ port, local }) => `what is sent to ${host}:${port} comes to 127.0.0.1:${local}`,
  );
  return { ready, close: () => waiting.abort() };
}

async function tellExternal(
  published: Published,
  ports: readonly PreviewPort[],
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<void> {
  say("the cluster has been asked for an external address");
  try {
    const address = await published.external(signal);
    const host = address.includes(":") ? `[${address}]` : address;
    say(`from outside of the cluster: ${ports.map(({ port }) => `${host}:${port}`).join(", ")}`);
  } catch {
    // The session has ended before there was one.
  }
}

/** Connections that come in by ports of the pod, told as they arrive. */
import type { IncomingSource, OnConnection, TakeOptions } from "@inpod/session";
import { TunnelFailure } from "@inpod/session";
import { endpointText } from "./config.ts";
import type { CallTrace } from "./trace.ts";

const MODE_KEY = "feature.network.incoming.mode";
const FILTER_KEY = "feature.network.incoming.http_filter";

export function tracedSource(source: IncomingSource, trace: CallTrace): IncomingSource {
  const watched =
    (
      way: "stolen" | "mirrored",
      port: number,
      options: TakeOptions,
      next: OnConnection,
    ): OnConnection =>
    (channel, header) => {
      const isFiltered = options.filter !== undefined;
      trace.told({
        ...{ pid: 0, call: "incoming", verdict: way, result: "ok" },
        subject: subjectOf(port, options),
        why: isFiltered ? "a request matches the filter" : "the program listens on the port",
        key: isFiltered ? FILTER_KEY : MODE_KEY,
        peer: endpointText(header.client),
      });
      next(channel, header);
    };
  const take = async <Taken>(
    way: "stolen" | "mirrored",
    port: number,
    options: TakeOptions,
    begin: () => Promise<Taken>,
  ): Promise<Taken> => {
    const since = performance.now();
    const tell = (result: string, why: string): void =>
      trace.told({
        ...{ pid: 0, call: "take", subject: subjectOf(port, options), result, why },
        verdict: result === "ok" ? way : "the pod's",
        key: MODE_KEY,
        tookMs: performance.now() - since,
      });
    try {
      const taken = await begin();
      tell("ok", "the program listens on the port");
      return taken;
    } catch (error) {
      tell(error instanceof TunnelFailure ? error.errno : "failed", "the agent could not");
      throw error;
    }
  };
  return {
    steal: (port, onConnection, options = {}) =>
      take("stolen", port, options, () =>
        source.steal(port, watched("stolen", port, options, onConnection), options),
      ),
    mirror: (port, onConnection, options = {}) =>
      take("mirrored", port, options, () =>
        source.mirror(port, watched("mirrored", port, options, onConnection), options),
      ),
  };
}

const subjectOf = (port: number, { protocol = "tcp" }: TakeOptions): string =>
  `${protocol} :${port}`;

/** The cluster's network by a proxy on this machine's loopback: Node alone, and no right is needed. */
import { type Destination, serveProxy, TcpPort } from "@inpod/ports";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { portInUse } from "../services/port-in-use.ts";
import { TellFailures } from "../services/tell-failures.ts";
import { runService } from "../services/with-service.ts";
import type { ConnectArguments } from "./arguments.ts";
import { proxyVariables, renderVariables } from "./variables.ts";

/** IANA's for SOCKS. */
const USUAL_PORT = 1080;

/** @param why of the mode, for who did not choose it. @throws UserError */
export async function runProxy(
  args: ConnectArguments,
  io: Io,
  why: string | undefined,
): Promise<CommandResult> {
  const { address } = args;
  const port = await listen(args); // before anything is made in the cluster
  try {
    return await runService(
      {
        ...{ args, io, target: args.target ?? "targetless" },
        question: "whose network?",
        steals: false,
        does: "connects a machine to the network of",
      },
      async () => async (place) => {
        if (why !== undefined) place.log(why);
        const telling = new TellFailures(place.say);
        const proxy = serveProxy(port, {
          reach: place.session,
          onFailure: (to, error) => telling.failed(nameOf(to), error),
          onConnected: (to) => {
            const name = nameOf(to);
            if (!telling.succeeded(name)) place.log(`connected to ${name}`);
          },
          onRefused: (what) => place.log(`the proxy has refused ${what}`),
        });
        const at = { host: address ?? "127.0.0.1", port: port.port };
        if (args.format !== undefined)
          io.stdout.write(renderVariables(args.format, proxyVariables(at)));
        return { ready: readyLines(at, place.wished), close: () => proxy.close() };
      },
    );
  } finally {
    port.close();
  }
}

/** The usual port is a wish; one that was said is not. */
async function listen({ address, port }: ConnectArguments): Promise<TcpPort> {
  try {
    return await TcpPort.listen({ address, port: port ?? USUAL_PORT });
  } catch (error) {
    if (port === undefined && (error as NodeJS.ErrnoException).code === "EADDRINUSE")
      return TcpPort.listen({ address, port: 0 });
    throw portInUse(address, port ?? USUAL_PORT, "tcp", error);
  }
}

function readyLines({ host, port }: Destination, wished: string): string[] {
  const at = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  const whose = wished === "targetless" ? "the cluster's network" : `the network of ${wished}`;
  return [
    `a proxy for SOCKS5 and HTTP into ${whose} listens on ${at}`,
    `for programs of a shell: export ALL_PROXY=socks5h://${at} http_proxy=http://${at} https_proxy=http://${at}`,
    `for one request: curl -x socks5h://${at} http://SERVICE.NAMESPACE/`,
  ];
}

const nameOf = ({ host, port }: Destination): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;

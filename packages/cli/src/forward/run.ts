/** `inpod forward`: ports of this machine for what the target reaches, and the other way round. */
import { type Destination, forwardTcp, forwardUdp, TcpPort, UdpPort } from "@inpod/ports";
import type { TargetDescription } from "@inpod/protocol";
import { UserError } from "@inpod/protocol";
import type { TunnelFailure } from "@inpod/session";
import type { Target } from "@inpod/targets";
import type { ResolvedConfig } from "../config/resolve.ts";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { expose } from "../services/exposed-ports.ts";
import { withoutFilter } from "../services/incoming.ts";
import { meantPorts } from "../services/meant-ports.ts";
import { portInUse } from "../services/port-in-use.ts";
import { TellFailures } from "../services/tell-failures.ts";
import { runService, type ServicePlace, type Serving } from "../services/with-service.ts";
import type { ForwardArguments } from "./arguments.ts";
import type { LocalForward } from "./spec.ts";

type Bound = { readonly wish: LocalForward } & (
  | { readonly kind: "tcp"; readonly port: TcpPort }
  | { readonly kind: "udp"; readonly port: UdpPort }
);

/** @throws UserError */
export async function runForward(args: ForwardArguments, io: Io): Promise<CommandResult> {
  // Before anything is made in the cluster.
  const bound = await bindAll(args.locals);
  const takes = args.remotes.length > 0;
  try {
    return await runService(
      {
        ...{ args, io, target: args.target },
        question: "from where?",
        steals: takes,
        does: takes ? "brings to another machine what is sent to" : "forwards ports to",
        detail: [
          ...args.locals.map(({ text }) => `-L ${text}`),
          ...args.remotes.map(({ text }) => `-R ${text}`),
        ].join(" "),
        adjust: (config) => withTarget(args, takes ? withoutFilter(config) : config),
      },
      async ({ target, signal }) => {
        const [ports] = await Promise.all([
          meantPorts(target, args.remotes, signal, { flag: "-R" }),
          checkServices(target, args.locals, signal),
        ]);
        return async (place) => {
          // Taking may fail: nothing of it is to stand then.
          const taken = await expose(place, ports, { way: "steal" });
          const forwarded = forward(place, bound);
          return {
            ready: [...forwarded.ready, ...taken.ready],
            close: () => forwarded.close?.(),
          };
        };
      },
    );
  } finally {
    for (const { port } of bound) port.close();
  }
}

/** What is a Service's name and has no such port would be connections that all fail. @throws UserError TARGET_PORT_UNKNOWN */
async function checkServices(
  target: Target,
  wishes: readonly LocalForward[],
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    wishes.map(async ({ host, port, protocol }) => {
      if (host !== undefined) await target.checkService?.({ host, port, protocol }, signal);
    }),
  );
}

/** Without one everything leaves from a pod of our own. */
function withTarget(args: ForwardArguments, config: ResolvedConfig): ResolvedConfig {
  const target = args.target ?? config.target ?? "targetless";
  if (target !== "targetless") return { ...config, target };
  const own = args.locals.find(({ host }) => host === undefined);
  if (own !== undefined) throw noHost(own);
  if (args.remotes.length > 0) throw nobodysPort();
  return { ...config, target };
}

async function bindAll(wishes: readonly LocalForward[]): Promise<Bound[]> {
  const all: Bound[] = [];
  try {
    for (const wish of wishes) {
      const { address, localPort: port, protocol } = wish;
      const at = { address, port };
      all.push(
        protocol === "tcp"
          ? { wish, kind: "tcp", port: await TcpPort.listen(at) }
          : { wish, kind: "udp", port: await UdpPort.bind(at) },
      );
    }
    return all;
  } catch (error) {
    for (const { port } of all) port.close();
    const wish = wishes[all.length];
    throw wish === undefined
      ? error
      : portInUse(wish.address, wish.localPort, wish.protocol, error);
  }
}

function forward(place: ServicePlace, bound: readonly Bound[]): Serving {
  const closes: (() => void)[] = [];
  const ready: string[] = [];
  for (const each of bound) {
    const { wish, port } = each;
    const name = nameOf(wish, place);
    const telling = new TellFailures((line) => place.say(`${wish.text}: ${line}`));
    const options = {
      reach: place.session,
      to: destinations(wish, place.session.target),
      onFailure: (error: TunnelFailure) => telling.failed(name, error),
      onSuccess: () => void telling.succeeded(name),
    };
    if (each.kind === "tcp") forwardTcp(each.port, options);
    else closes.push(forwardUdp(each.port, options).close);
    const udp = each.kind === "udp" ? "UDP port " : "";
    ready.push(`${udp}${localText(wish, port.port)} goes to ${name}`);
  }
  return {
    ready,
    close: () => {
      for (const close of closes) close();
    },
  };
}

/** A server of the target's own may listen on one family's loopback only, or on the pod's address only. */
function destinations({ host, port }: LocalForward, target: TargetDescription): Destination[] {
  if (host !== undefined) return [{ host, port }];
  const own = target.addresses.slice(0, 1);
  return ["127.0.0.1", "::1", ...own].map((address) => ({ host: address, port }));
}

const nameOf = ({ host, port }: LocalForward, { wished }: ServicePlace): string =>
  host === undefined
    ? `port ${port} of ${wished}`
    : `${host.includes(":") ? `[${host}]` : host}:${port}`;

const localText = ({ address = "127.0.0.1" }: LocalForward, port: number): string =>
  address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;

const noHost = ({ text, localPort, port }: LocalForward): UserError =>
  new UserError("USAGE_INVALID", `${text}: port ${port} of what?`, {
    hints: [
      `of a host: -L ${localPort}:HOST:${port}`,
      "of a target: inpod forward -t deployment/NAME …",
    ],
  });

const nobodysPort = (): UserError =>
  new UserError("TARGET_MISSING", "no target: of whom are the ports that -R takes?", {
    hints: [
      "say whose: inpod forward -t deployment/NAME -R …",
      "a Service that nobody has yet: inpod preview NAME --expose PORT",
    ],
  });

/** Which ports of the target are wished: what the arguments and its own description refuse needs no agent to be refused. */
import { UserError } from "@inpod/protocol";
import type { Target, TargetPort } from "@inpod/targets";
import { type ExposeWish, saidTwice } from "./expose.ts";

export interface MeantPort {
  readonly wish: ExposeWish;
  readonly meant: TargetPort;
  /** What it is asked for as: the number in the target's own pod, or in the first one that has it. */
  readonly port: number;
}

export interface PortRules {
  /** What the user has typed before them. */
  readonly flag?: "--expose" | "-R";
  /** Only some requests are wanted of them. */
  readonly isMarked?: boolean;
}

/** In the order of the wishes. @throws UserError TARGET_PORT_UNKNOWN, USAGE_INVALID */
export async function meantPorts(
  target: Target,
  wishes: readonly ExposeWish[],
  signal: AbortSignal,
  { flag = "--expose", isMarked = false }: PortRules = {},
): Promise<readonly MeantPort[]> {
  const meant = await wishedOf(target, wishes, signal).catch((error: unknown) => {
    throw flag === "--expose"
      ? error
      : inWordsOf(error, `the target's port first: ${flag} PORT:LOCAL`);
  });
  const all = meant.map((port, index): MeantPort => {
    const wish = wishes[index] as ExposeWish;
    if (isMarked && port.protocol === "udp") throw noRequests(flag, wish, port.name);
    return { wish, meant: port, port: numberOf(port, target) };
  });
  refuseTwice(flag, all);
  return all;
}

async function wishedOf(
  target: Target,
  wishes: readonly ExposeWish[],
  signal: AbortSignal,
): Promise<readonly TargetPort[]> {
  const said = wishes.map(({ remote, local, protocol }) => ({
    port: remote,
    otherwise: local,
    protocol,
  }));
  if (target.ports !== undefined) return target.ports(said, signal);
  return wishes.map((wish): TargetPort => {
    const { remote = wish.local, protocol = "tcp" } = wish;
    if (typeof remote === "string") throw noNames(wish);
    const name = `${protocol === "udp" ? "UDP " : ""}port ${remote} of ${target.name}`;
    return { protocol, name, servicePort: undefined, own: () => remote, at: () => remote };
  });
}

/** What a port is called where the target's own pod has none of that name. @throws UserError TARGET_PORT_UNKNOWN */
export function numberOf(port: TargetPort, { replicas }: Pick<Target, "replicas">): number {
  const others = replicas?.now().map(({ id }) => port.at(id)) ?? [];
  const number = port.own() ?? others.find((each) => each !== undefined);
  if (number !== undefined) return number;
  throw new UserError(
    "TARGET_PORT_UNKNOWN",
    `${port.name} leads nowhere: no pod has a port of that name`,
    {
      hints: [
        "its targetPort is a name, which a container's port must have: kubectl get pods -o yaml",
      ],
    },
  );
}

/** Hints of who brings ports here are of no use to who says them otherwise. */
export function inWordsOf(error: unknown, ...instead: readonly string[]): unknown {
  if (!(error instanceof UserError)) return error;
  const hints = error.hints.filter((hint) => !hint.includes("--expose"));
  const isOther = hints.length < error.hints.length;
  return new UserError(error.code, error.message, {
    hints: isOther ? [...hints, ...instead] : hints,
    cause: error.cause,
  });
}

/** Connections would come to the last one only. */
function refuseTwice(flag: string, all: readonly MeantPort[]): void {
  for (const [index, { meant, port, wish }] of all.entries()) {
    const before = all.find((each) => each.meant.protocol === meant.protocol && each.port === port);
    if (before === all[index]) continue;
    throw saidTwice(flag, before?.wish, wish);
  }
}

/** @param name undefined: it was said to be UDP */
export const noRequests = (flag: string, { text }: ExposeWish, name?: string): UserError =>
  new UserError(
    "USAGE_INVALID",
    `${flag} ${text}: ${name === undefined ? "" : `that is ${name}, and `}datagrams have no mark`,
    {
      hints: ["all of a UDP port, without a mark: inpod exchange, inpod mirror"],
    },
  );

const noNames = ({ text }: ExposeWish): UserError =>
  new UserError("TARGET_PORT_UNKNOWN", `--expose ${text}: only ports of a cluster have names`, {
    hints: ["say its number: --expose 8080:80"],
  });

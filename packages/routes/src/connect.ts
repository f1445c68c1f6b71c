/** The machine in the cluster's network, until close(). */
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { UserError } from "@inpod/protocol";
import { parseResolvConf, resetSocket, type Session } from "@inpod/session";
import { askMachine, clusterServers } from "./dns/ask.ts";
import { type ClusterNames, clusterNames, searchOf } from "./dns/decide.ts";
import { FormerServers } from "./dns/former.ts";
import { JOURNAL, type JournalPlace } from "./dns/journal.ts";
import { type MachineDns, readMachineDns, type SplitSetup, setUpDns } from "./dns/setup.ts";
import { SplitDns } from "./dns/split.ts";
import { type Helper, machineFacts, runHelper, startHelper } from "./helper.ts";
import { recoverMachine } from "./left.ts";
import { planRoutes, type RoutesPlan, type RoutesWish } from "./plan/plan.ts";
import { parseSubnet, type Subnet } from "./plan/subnets.ts";
import { TcpListeners } from "./tcp.ts";
import { UdpFlows } from "./udp.ts";

const DNS_PORT = 53;

export interface RoutesOptions {
  readonly session: Pick<Session, "connectTcp" | "openUdp">;
  readonly wish: Omit<RoutesWish, "hasIPv6">;
  /** The target's /etc/resolv.conf, for its name servers and domains; undefined: no name is resolved by the cluster. */
  readonly resolvConf: string | undefined;
  /** Lines for people. */
  readonly say: (line: string) => void;
  /** The same, for who asks why. */
  readonly log: (line: string) => void;
  readonly place?: JournalPlace | undefined;
  /** How often it is looked whether somebody else has written /etc/resolv.conf. */
  readonly lookMs?: number | undefined;
}

export interface Routes {
  readonly plan: RoutesPlan;
  /** Lines for people: what goes where. */
  readonly ready: readonly string[];
  /** Why there are no routes any more. Never after close(). */
  readonly lost: Promise<string>;
  /** While we are stopped nobody answers for names: this machine's DNS is what it was until resume(). */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Routes, rules and DNS are what they were when it resolves. */
  close(): Promise<void>;
}

/** Of this network namespace, as every path below /proc/sys/net. */
function hasIPv6(): boolean {
  try {
    return readFileSync("/proc/sys/net/ipv6/conf/all/disable_ipv6", "latin1").trim() === "0";
  } catch {
    return false; // a kernel without it
  }
}

/** Why it cannot be; undefined: it can, as it was tried. */
export async function routesPossible(): Promise<string | undefined> {
  if (process.platform !== "linux") return "routes are for Linux";
  if (process.geteuid?.() !== 0) return "only root may change a machine's routes";
  const { isDone, text } = await runHelper(["probe"]);
  return isDone ? undefined : text;
}

/** @throws UserError ROUTES_*, DNS_NOT_SPLIT, USAGE_INVALID; nothing of this machine is changed then */
export async function startRoutes(options: RoutesOptions): Promise<Routes> {
  const { session, wish, resolvConf, say, log, place = JOURNAL } = options;
  for (const line of await recoverMachine(place)) say(line);
  const machine = resolvConf === undefined ? undefined : readMachineDns(place);
  const never = (machine?.neverRouted ?? []).map((address) => ({
    address,
    why: "this machine's name server",
  }));
  const plan = planRoutes(
    { ...wish, never: [...wish.never, ...never], hasIPv6: hasIPv6() },
    await machineFacts(),
  );
  for (const { subnet, why } of plan.holes) log(`${subnet} stays this machine's: ${why}`);
  const split = machine && splitOf(resolvConf ?? "", machine, plan, session);
  const helper = await startHelper(plan.routes);
  const udp = new UdpFlows({ session, answer: helper.answer, refuse: helper.refuse });
  const tcp = new TcpListeners(helper.listeners, {
    session,
    log,
    onOther: (socket) => isForInner(helper, socket.localAddress ?? "") && served(socket, split),
  });
  helper.onDatagram = (ends, payload) => {
    const { source, destination } = ends;
    if (!isForInner(helper, destination.address)) udp.received(ends, payload);
    else if (split && destination.port === DNS_PORT)
      void split.dns.answer(payload, false).then((reply) => {
        if (reply !== undefined) helper.answer({ source: destination, destination: source }, reply);
      });
    else helper.refuse({ source: destination, destination: source });
  };
  let setup: SplitSetup | undefined;
  const begin = async (): Promise<void> => {
    if (split === undefined || machine === undefined) return;
    const { names, routes } = split;
    const parts = { helper, names, routes, machine, place, say, lookMs: options.lookMs };
    setup = await setUpDns(parts);
  };
  const pause = async (): Promise<void> => {
    const ended = setup;
    setup = undefined;
    await ended?.end();
  };
  const close = async (): Promise<void> => {
    await pause();
    udp.close();
    tcp.close();
    await helper.close();
  };
  try {
    await begin();
  } catch (error) {
    await close();
    throw error;
  }
  // Sockets that were accepted hold the network namespace, and with it the machine's routes.
  const lost = helper.gone.then((why) => {
    tcp.close();
    return why;
  });
  return {
    plan,
    ready: [
      `${plan.routes.join(", ")} are routed into the cluster by ${helper.link}`,
      ...(setup && split
        ? [`names below ${searchOf(split.names).join(", ")} are the cluster's (${setup.words})`]
        : []),
    ],
    lost,
    pause,
    resume: () =>
      begin().catch((error: unknown) =>
        say(`no names of the cluster: ${error instanceof Error ? error.message : error}`),
      ),
    close,
  };
}

function splitOf(
  resolvConf: string,
  machine: MachineDns,
  plan: RoutesPlan,
  session: RoutesOptions["session"],
): { readonly dns: SplitDns; readonly names: ClusterNames; readonly routes: readonly Subnet[] } {
  const { nameservers, searchDomains } = parseResolvConf(resolvConf);
  if (!/^nameserver\b/m.test(resolvConf))
    throw new UserError("DNS_NOT_SPLIT", "the target has no name server to ask", {
      hints: ["go on with addresses only: --no-dns"],
    });
  const names = clusterNames(searchDomains);
  const routes = plan.routes.flatMap((cidr) => parseSubnet(cidr) ?? []);
  const dns = new SplitDns({
    names,
    cluster: clusterServers(nameservers, session),
    former: new FormerServers(machine.nameServers, askMachine),
    routes,
  });
  return { dns, names, routes };
}

/** To the other end of the link, where nothing is but our name server. */
const isForInner = ({ inner }: Helper, address: string): boolean => inner.includes(address);

function served(socket: Socket, split: { readonly dns: SplitDns } | undefined): true {
  if (split && socket.localPort === DNS_PORT) split.dns.serve(socket);
  else resetSocket(socket);
  return true;
}

/** What can be reached from the target, by name or address. */
import { isIP, isIPv6 } from "node:net";
import { type ConnectedChannel, type Session, TunnelFailure } from "@inpod/session";

/** A session's; tests have theirs. */
export type Reach = Pick<Session, "connectTcp" | "openTcp" | "openUdp"> & {
  readonly names: Pick<Session["names"], "lookup">;
  readonly target: Pick<Session["target"], "addresses">;
};

/** `host`: a name, or an IP literal without brackets. */
export interface Destination {
  readonly host: string;
  readonly port: number;
}

export interface Connected extends ConnectedChannel {
  /** The one of the name's that has answered. */
  readonly address: string;
}

/** Of a name that has many the first ones are tried. */
const MAX_ADDRESSES = 4;
/** How long an address is tried if there is another: as long as Linux needs for three SYNs. */
const NEXT_ADDRESS_MS = 7000;

/**
 * One address after the other, as getaddrinfo(3) would order them in the target.
 * @throws TunnelFailure: of connect(2) there; ENOENT: there is no such name; EAGAIN: nobody could be asked for it
 */
export async function connectTo(
  reach: Reach,
  { host, port }: Destination,
  signal?: AbortSignal,
): Promise<Connected> {
  const addresses = await addressesOf(reach, host);
  let failure: unknown;
  for (const [at, address] of addresses.entries()) {
    if (signal?.aborted) throw new TunnelFailure("ECANCELED", "nobody waits for it any more");
    const isLast = at === addresses.length - 1;
    try {
      const connected = await withDeadline(
        reach.connectTcp(address, port),
        isLast ? undefined : NEXT_ADDRESS_MS,
        signal,
      );
      return { ...connected, address };
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

/** Not none. @throws TunnelFailure ENOENT, EAGAIN */
export async function addressesOf(reach: Reach, host: string): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  const found = await reach.names.lookup(host);
  const isOwnFamily = (address: string): boolean =>
    reach.target.addresses.some((each) => isIPv6(each) === isIPv6(address));
  const [ours, others] = [found.filter(isOwnFamily), found.filter((each) => !isOwnFamily(each))];
  return [...ours, ...others].slice(0, MAX_ADDRESSES);
}

/** What comes too late is ended. */
async function withDeadline(
  connecting: Promise<ConnectedChannel>,
  limitMs: number | undefined,
  signal: AbortSignal | undefined,
): Promise<ConnectedChannel> {
  let isOver = false;
  let giveUp: ((error: Error) => void) | undefined;
  const late = new Promise<never>((_, reject) => {
    giveUp = reject;
  });
  const onAbort = (): void =>
    giveUp?.(new TunnelFailure("ECANCELED", "nobody waits for it any more"));
  const timer =
    limitMs === undefined
      ? undefined
      : setTimeout(() => giveUp?.(new TunnelFailure("ETIMEDOUT", "no answer")), limitMs);
  signal?.addEventListener("abort", onAbort, { once: true });
  connecting.then(
    ({ channel }) => {
      if (isOver) channel.reset("ECANCELED");
    },
    () => {},
  );
  try {
    return await Promise.race([connecting, late]);
  } catch (error) {
    isOver = true;
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

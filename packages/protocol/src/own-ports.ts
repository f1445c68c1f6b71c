/** What an agent is told that takes traffic in its own pod, without rules: by listening. Pure. */
import { type HeldNote, selectorOf } from "./held-service.ts";

/** Ports of a Service's pods, all of which a relay pod serves from its start. */
export interface RelayPlace {
  /** Of the Service, which is the relay's too. */
  readonly namespace: string;
  readonly service: string;
  /** As the Service's note of who holds it has it. */
  readonly holder: string;
  /** Where what nobody takes goes: another Service of this namespace, to the same pods and by the pods' own ports. */
  readonly origin: string;
  readonly ports: readonly number[];
  /** Whether the agent has the right to give the Service its selector back. */
  readonly restores: boolean;
  /** What the Service's note says of them: somebody may take that away. */
  readonly selectors?: Pick<HeldNote, "selector" | "relay"> | undefined;
}

const MAX_PORTS = 256;
/** An RFC 1123 label. */
const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export const renderRelayPlace = (place: RelayPlace): string => JSON.stringify(place);

/** @throws Error for what is none */
export function parseRelayPlace(text: string): RelayPlace {
  const from = Object(JSON.parse(text)) as Record<string, unknown>;
  const name = (key: string): string => {
    const value = from[key];
    if (typeof value === "string" && NAME.test(value)) return value;
    throw new Error(`a relay's place without ${key}`);
  };
  const { ports, restores } = from;
  const selectors = Object(from.selectors) as Record<string, unknown>;
  const [selector, relay] = [selectorOf(selectors.selector), selectorOf(selectors.relay)];
  const isPort = (port: unknown): port is number =>
    Number.isInteger(port) && (port as number) > 0 && (port as number) < 65_536;
  if (!Array.isArray(ports) || ports.length > MAX_PORTS || !ports.every(isPort))
    throw new Error("a relay's place without ports");
  return {
    namespace: name("namespace"),
    service: name("service"),
    holder: name("holder"),
    origin: name("origin"),
    ports,
    restores: restores === true,
    ...(selector === undefined || relay === undefined ? {} : { selectors: { selector, relay } }),
  };
}

/** One port of this machine, and what its developer hears of it: whether somebody listens, when that changes. */
import { ExposedPort } from "@inpod/ports";
import type { FilterSpec, TlsDelivery } from "@inpod/session";
import type { TargetPort } from "@inpod/targets";
import { developerName } from "./developer.ts";

export interface LocalPort {
  readonly end: ExposedPort;
  /** To be told that nobody listens; says it once until somebody does. */
  readonly onNobody: () => void;
}

interface Speaker {
  readonly env: NodeJS.ProcessEnv;
  say(line: string): void;
}

export interface LocalPortOptions {
  readonly way: "steal" | "mirror";
  readonly filter?: FilterSpec | undefined;
  /** How it gets what came in TLS. */
  readonly tls?: TlsDelivery | undefined;
}

export function exposedPort(
  { env, say }: Speaker,
  local: number,
  { name, protocol }: Pick<TargetPort, "name" | "protocol">,
  { way, filter, tls }: LocalPortOptions,
): LocalPort {
  const here = `127.0.0.1:${local}`;
  let isAnswered: boolean | undefined;
  const toldOfTls = new Set<string>();
  const onNobody = (): void => {
    if (isAnswered === false) return;
    isAnswered = false;
    say(
      way === "steal"
        ? `nobody listens on ${here}: clients of ${name} get an error until somebody does`
        : `nobody listens on ${here}: what is sent to ${name} is copied to nobody until somebody does`,
    );
  };
  const end = new ExposedPort({
    port: local,
    protocol,
    way,
    isFiltered: filter !== undefined,
    tls,
    nobodyText: `this request was brought to the machine of ${developerName(env)}, where nobody listens on port ${local} (inpod)\n`,
    onNobody,
    onSomebody: () => {
      if (isAnswered === false) say(`${here} listens now`);
      isAnswered = true;
    },
    onTlsFailed: (why, isGivenInside) => {
      const line = isGivenInside
        ? `${here} does not speak TLS, in which clients of ${name} do: it gets what was inside (it is not tried with --plaintext)`
        : `${here} does not speak TLS as feature.network.incoming.tls_delivery says, and clients of ${name} are cut off: ${why}`;
      if (!toldOfTls.has(line)) say(line);
      toldOfTls.add(line);
    },
  });
  return { end, onNobody };
}

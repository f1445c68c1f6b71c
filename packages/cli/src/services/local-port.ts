/** One port of this machine, and what its developer hears of it: whether somebody listens, when that changes. */
import { ExposedPort } from "@inpod/ports";
import type { FilterSpec } from "@inpod/session";
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

export function exposedPort(
  { env, say }: Speaker,
  local: number,
  { name, protocol }: Pick<TargetPort, "name" | "protocol">,
  { way, filter }: { readonly way: "steal" | "mirror"; readonly filter?: FilterSpec | undefined },
): LocalPort {
  const here = `127.0.0.1:${local}`;
  let isAnswered: boolean | undefined;
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
    nobodyText: `this request was brought to the machine of ${developerName(env)}, where nobody listens on port ${local} (inpod)\n`,
    onNobody,
    onSomebody: () => {
      if (isAnswered === false) say(`${here} listens now`);
      isAnswered = true;
    },
  });
  return { end, onNobody };
}

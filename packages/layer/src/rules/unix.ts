/** Which unix sockets are the pod's: feature.network.outgoing.unix_streams. */
import { compileUserRegex } from "@inpod/session";

const KEY = "feature.network.outgoing.unix_streams";

export interface UnixDecision {
  readonly verdict: "remote" | "local";
  readonly why: string;
  readonly key: string;
}

/** @returns of a path or "@name". @throws ConfigValueError naming the entry */
export function compileUnix(
  expressions: readonly string[],
): (name: string | undefined) => UnixDecision {
  const compiled = expressions.map((text, index) => {
    const key = `${KEY}[${index}]`;
    return { key, regex: compileUserRegex(text, key, { ignoreCase: false }) };
  });
  return (name) => {
    const found = name === undefined ? undefined : compiled.find(({ regex }) => regex.test(name));
    return found === undefined
      ? { verdict: "local", why: `${KEY} does not name it`, key: KEY }
      : { verdict: "remote", why: found.key, key: found.key };
  };
}

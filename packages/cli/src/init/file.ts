/** The text of a first configuration. Pure. */

export interface Wishes {
  readonly target: string;
  /** Undefined: the context's. */
  readonly namespace: string | undefined;
  readonly incoming: "mirror" | "steal";
}

export function firstConfig({ target, namespace, incoming }: Wishes): string {
  const place =
    namespace === undefined
      ? JSON.stringify(target)
      : `{ "path": ${JSON.stringify(target)}, "namespace": ${JSON.stringify(namespace)} }`;
  return `{
  // Whose place a program takes. An editor proposes every key, and says what it means, with
  //   inpod verify-config --schema > .inpod/schema.json
  // and "$schema": "./schema.json" as the first line here.
  "target": ${place},
  "feature": {
    // The pod's variables. To choose: { "include": ["DB_*"] } or { "exclude": ["AWS_*"] };
    // to set some of your own: { "override": { "LOG_LEVEL": "debug" } }.
    "env": true,
    // The pod's files: "read" gives them to whoever reads, "local" leaves this machine's.
    "fs": "read",
    "network": {
      // What the pod's clients send: "mirror" copies it to the program, and the pod answers; "steal" lets the program
      // answer in the pod's place; "off" leaves it with the pod.
      "incoming": ${JSON.stringify(incoming)},
      // What the program connects to leaves from the pod. Only some of it:
      // { "filter": { "remote": ["orders-db", "10.0.0.0/8"] } }.
      "outgoing": true,
      // Names are found as the pod finds them.
      "dns": true
    }
  }
}
`;
}

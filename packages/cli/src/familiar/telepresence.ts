/** Telepresence 2.31: some of its verbs are ours, others are answered with what to type. */
import {
  type CommandAnswer,
  type FlagAnswer,
  flags,
  idle,
  is,
  no,
  program,
  type Said,
  said,
  same,
  type TheirCommand,
  withFlag,
  words,
  workload,
} from "./words.ts";

const OUTPUT = is("-o json", (value) => [
  "-o",
  value === "json" || value === "json-stream" ? "json" : "table",
]);
const GLOBAL: Readonly<Record<string, FlagAnswer>> = {
  "-n --namespace V": same,
  "--context V": same,
  "--kubeconfig V": same,
  "--config V": no("inpod's own configuration is named by -f"),
  "--progress V": idle("steps are told on a terminal, and as plain lines elsewhere"),
  "--use V": no("sessions are not kept by a daemon: name the context, --context NAME"),
  "--manager-namespace V": idle("there is no traffic manager"),
};
const INSIDE = "that is for programs in a pod's place: inpod exec";
const ENVIRONMENT = "inpod env -t TARGET --format dotenv --show-values --output FILE";
/** Of intercept and its likes. */
const LIKE_INTERCEPT: Readonly<Record<string, FlagAnswer>> = {
  "-p --port V": is("--expose"),
  "-w --workload V": no(
    "name it as the target: inpod exchange deployment/NAME --expose LOCAL:REMOTE",
  ),
  "--service V": no("name it as the target: inpod exchange NAME --expose LOCAL:REMOTE"),
  "-c --container V": no("name it with the target: deployment/NAME/container/CONTAINER"),
  "--http-header V": is("--header"),
  "--http-path-prefix V": is("--path-prefix"),
  "--http-path-equal V": no(
    "expressions for paths are for inpod exec: feature.network.incoming.http_filter",
  ),
  "--http-path-regex V": no(
    "expressions for paths are for inpod exec: feature.network.incoming.http_filter",
  ),
  "--plaintext": {
    kind: "of",
    command: "mesh",
    there: same,
    otherwise: idle("your port gets what came: TLS is not ended"),
  },
  "-e --env-file V": no(`variables of the pod: ${ENVIRONMENT}`),
  "-j --env-json V": no("variables of the pod: inpod env -t TARGET --format json --show-values"),
  "--env-syntax V": no("variables of the pod: inpod env -t TARGET --format FORMAT --show-values"),
  "--mount V": no(INSIDE),
  "--local-mount-port V": no(INSIDE),
  "--to-pod V": no("a port of the pod here: inpod forward -t TARGET -L PORT:localhost:PORT"),
  "--address V": no("your port is on 127.0.0.1; for a program elsewhere put a relay there"),
  "--metadata V": no("name the session: --key NAME"),
  "--node-agent": idle("an agent runs on its target's node in any case"),
  "--mechanism V": idle("there is one, in the kernel of the pod's node"),
  "--wait-message V": idle("inpod says when it stands"),
  "--docker-run": no(
    "docker run --env-file <(inpod env -t TARGET --format docker --show-values) IMAGE",
  ),
  "--docker-build V": no(
    "docker run --env-file <(inpod env -t TARGET --format docker --show-values) IMAGE",
  ),
  "--docker-debug V": no(
    "docker run --env-file <(inpod env -t TARGET --format docker --show-values) IMAGE",
  ),
  "--docker-mount V": no(INSIDE),
  "--detailed-output": idle("inpod status tells the rest"),
  "--replace": idle("the pods' own program gets nothing while its port is taken"),
  "--format V": no("who has what, as JSON: inpod status -o json"),
};

/** With a program it is one in the pod's place; with headers only some requests. */
const exec =
  (flag: string) =>
  (given: Said): CommandAnswer => ({
    kind: "instead",
    why: "a program in the pod's place has its variables, files and network as well, and listens on its own port",
    type: (typed) => [
      words(
        ["inpod", "exec", "-t", workload(said(typed, "--workload") ?? typed.operands[0])],
        withFlag("-n", said(typed, "--namespace")),
        flag,
        program(typed),
      ),
      ...((said(given, "--http-header") ?? said(given, "--http-path-prefix")) === undefined
        ? []
        : [
            "only requests with a header: feature.network.incoming.http_filter, docs/http-filters.md",
          ]),
    ],
  });

const session = (name: string, ours: string, flag: string): TheirCommand["answer"] => ({
  kind: "ours",
  words: [ours],
  when: (typed) => {
    if (typed.program.length > 0) return exec(flag)(typed);
    const isMarked = typed.flags.has("--http-header") || typed.flags.has("--http-path-prefix");
    return name === "intercept" && isMarked ? { kind: "ours", words: ["mesh"] } : undefined;
  },
});

const instead = (
  command: string,
  why: string,
  type: (typed: Said) => readonly string[],
  example = command,
): TheirCommand => ({
  tool: "Telepresence",
  words: command,
  flags: flags(GLOBAL),
  answer: { kind: "instead", why, type },
  example: `telepresence ${example}`,
});

const NOTHING_INSTALLED = "nothing is installed in the cluster, and nothing has to be removed";

export const TELEPRESENCE: readonly TheirCommand[] = [
  {
    tool: "Telepresence",
    words: "connect",
    example: "telepresence connect --also-proxy 10.9.0.0/16",
    differs: "without root a proxy, with root routes; no daemon stays, and Ctrl-C ends it",
    answer: { kind: "ours", words: ["connect"] },
    flags: flags({
      "--also-proxy V": is("--include"),
      "--never-proxy V": is("--exclude"),
      "--allow-conflicting-subnets V": no(
        "leave them out: --exclude CIDR; or use the proxy: --mode proxy",
      ),
      "--vnat V": no("use the proxy, which needs no addresses: --mode proxy"),
      "--proxy-via V": no("from where it leaves is the target's: -t deployment/NAME"),
      "--reroute-local V": no("inpod forward -L PORT:HOST:PORT"),
      "--reroute-remote V": no("inpod forward -L PORT:HOST:PORT"),
      "--mapped-namespaces V": idle("names of all namespaces are found, as a pod finds them"),
      "--name V": is("--key"),
      "--docker": no("a container uses the proxy: inpod connect --mode proxy --address ADDRESS"),
      "--expose V": no("a container uses the proxy: inpod connect --mode proxy --address ADDRESS"),
      "--hostname V": idle("inpod exec gives a program the pod's host name"),
      ...GLOBAL,
    }),
  },
  {
    tool: "Telepresence",
    words: "intercept",
    example: "telepresence intercept orders --port 8080:http",
    differs:
      "no agent is put into the workload; with --http-header it is inpod mesh, with -- COMMAND inpod exec --steal",
    answer: session("intercept", "exchange", "--steal"),
    flags: flags({ ...LIKE_INTERCEPT, ...GLOBAL }),
  },
  {
    tool: "Telepresence",
    words: "wiretap",
    example: "telepresence wiretap orders --port 8080:http",
    differs: "with -- COMMAND it is inpod exec",
    answer: session("wiretap", "mirror", ""),
    flags: flags({ ...LIKE_INTERCEPT, ...GLOBAL }),
  },
  {
    tool: "Telepresence",
    words: "replace",
    example: "telepresence replace orders -- npm start",
    differs: "the pod's own program goes on, and gets nothing",
    flags: flags({ ...LIKE_INTERCEPT, ...GLOBAL }),
    answer: {
      kind: "instead",
      why: "no container is taken out of a pod",
      type: (typed) => typeOf(exec("--steal")(typed), typed),
    },
  },
  {
    tool: "Telepresence",
    words: "ingest",
    example: "telepresence ingest orders -- npm start",
    differs: "without incoming traffic: feature.network.incoming: off in the configuration",
    flags: flags({ ...LIKE_INTERCEPT, ...GLOBAL }),
    answer: {
      kind: "instead",
      why: 'without any incoming traffic: {"feature": {"network": {"incoming": "off"}}} in the configuration',
      type: (typed) => typeOf(exec("")(typed), typed),
    },
  },
  {
    tool: "Telepresence",
    words: "detach",
    example: "telepresence detach orders",
    answer: { kind: "ours", words: ["leave"] },
    flags: flags({ "-c --container V": idle("a session has one container"), ...GLOBAL }),
  },
  {
    tool: "Telepresence",
    words: "leave",
    example: "telepresence leave orders",
    answer: { kind: "ours", words: ["leave"] },
    flags: flags(GLOBAL),
  },
  {
    tool: "Telepresence",
    words: "quit",
    example: "telepresence quit",
    differs: "it ends your sessions in all terminals: there is no daemon",
    answer: { kind: "ours", words: ["leave", "--all"] },
    flags: flags({ "-s --stop-daemons": idle("there is no daemon"), ...GLOBAL }),
  },
  {
    tool: "Telepresence",
    words: "list",
    example: "telepresence list",
    differs: "what could be a target is in inpod ls",
    answer: { kind: "ours", words: ["status"] },
    flags: flags({
      "-a --agents": idle("all sessions are listed"),
      "-i --intercepts": idle("all sessions are listed"),
      "-r --replacements": idle("all sessions are listed"),
      "-g --ingests": idle("all sessions are listed"),
      "-t --wiretaps": idle("all sessions are listed"),
      "--debug": idle("all sessions are listed"),
      "--format V": OUTPUT,
      ...GLOBAL,
    }),
  },
  {
    tool: "Telepresence",
    words: "status",
    example: "telepresence status",
    answer: { kind: "ours", words: ["status"] },
    flags: flags({ "--multi-daemon": idle("there is no daemon"), "--format V": OUTPUT, ...GLOBAL }),
  },
  instead("version", "it is a flag", () => ["inpod --version"]),
  instead(
    "curl",
    "one command in the cluster's network",
    ({ operands, program: rest }) => [
      words("inpod", "connect", "--", "curl", [...operands, ...rest]),
    ],
    "curl http://orders",
  ),
  instead("docker-run", "a container with the pod's variables; its connections are its own", () => [
    "docker run --env-file <(inpod env -t deployment/NAME --format docker --show-values) IMAGE",
  ]),
  instead(
    "serve",
    "the Service on a port of this machine, for a browser",
    (typed) => [
      words("inpod", "forward", typed.operands[0] ?? "SERVICE", said(typed, "--port") ?? "8080:80"),
    ],
    "serve orders",
  ),
  ...["install", "upgrade", "uninstall", "lint", "version"].map((verb) =>
    instead(`helm ${verb}`, NOTHING_INSTALLED, () => ["inpod doctor"]),
  ),
  instead("uninstall", NOTHING_INSTALLED, () => ["inpod clean"]),
  instead("apply", "sessions of several services are in one file", (typed) => [
    words("inpod", "up", "-f", said(typed, "-f") ?? "inpod-up.yaml"),
  ]),
  instead("delete", "sessions end with their terminal, or by name", () => ["inpod leave NAME"]),
  instead(
    "compose",
    "sessions of several services are in one file, docs/up.md",
    () => ["inpod up"],
    "compose up",
  ),
  instead("gather-logs", "what keeps a session from working is found without logs", () => [
    "inpod doctor -t deployment/NAME",
    "the agent's log: kubectl logs -l app.kubernetes.io/managed-by=inpod",
  ]),
  instead("loglevel", "each session says its agent's level", () => [
    "inpod exec --agent-log-level debug …",
  ]),
  instead("genyaml", NOTHING_INSTALLED, () => ["inpod doctor --print-role"]),
  instead("revoke", "a session of yours ends by name, wherever it runs", ({ operands: [name] }) => [
    words("inpod", "leave", "--force", name?.split(":")[0] ?? "SESSION"),
  ]),
  instead(
    "config",
    "the project's configuration, and where each value is from",
    () => ["inpod verify-config --resolved"],
    "config view",
  ),
  instead("list-contexts", "they are kubectl's", () => ["kubectl config get-contexts"]),
  instead("list-namespaces", "they are kubectl's", () => ["kubectl get namespaces"]),
  instead("mcp", "there is no such server; results for programs have -o json", () => [
    "inpod status -o json",
  ]),
];

function typeOf(answer: CommandAnswer, typed: Said): readonly string[] {
  return answer.kind === "instead" ? answer.type(typed) : [];
}

/** ktctl 0.3.7: its commands are ours, by the same names. */
import { flags, idle, is, no, same, type TheirCommand, words } from "./words.ts";

const NO_SHADOW = "there is no shadow pod here: the agent is made for a session and goes with it";

/** Of commands that have a session. */
const SESSION = flags({
  "-n --namespace V": same,
  "-c --kubeconfig V": is("--kubeconfig"),
  "--context V": same,
  "-d --debug": is("--verbose"),
  "-i --image V": is("--agent-image"),
  "--podCreationTimeout V": is("--agent-startup-timeout"),
  "--imagePullSecret V": no("write it into the configuration: agent.image_pull_secrets"),
  "--serviceAccount V": no("write it into the configuration: agent.service_account"),
  "--nodeSelector V": idle(
    "the agent runs on its target's node; without a target: agent.node_selector",
  ),
  "--withLabel V": no("write it into the configuration: agent.labels"),
  "--withAnnotation V": no("write it into the configuration: agent.annotations"),
  "--podQuota V": no("write it into the configuration: agent.resources"),
  "--portForwardTimeout V": idle("connections to the API server have deadlines of their own"),
  "--useShadowDeployment": idle(NO_SHADOW),
  "--useLocalTime": idle("times are this machine's"),
  "--forceUpdate": idle(NO_SHADOW),
  "--ipVersion V": idle("both are used, as the pod has them"),
  "--asWorker": idle("a session runs in the terminal that starts it"),
});

/** Of commands that only look into the cluster. */
const NO_AGENT = "this command starts no agent";
const LOOKING = flags({
  "-n --namespace V": same,
  "-c --kubeconfig V": is("--kubeconfig"),
  "--context V": same,
  "-d --debug": idle("for more of what is done: INPOD_LOG=debug"),
  "-i --image V": idle(NO_AGENT),
  "--podCreationTimeout V": idle(NO_AGENT),
  "--imagePullSecret V": idle(NO_AGENT),
  "--serviceAccount V": idle(NO_AGENT),
  "--nodeSelector V": idle(NO_AGENT),
  "--withLabel V": idle(NO_AGENT),
  "--withAnnotation V": idle(NO_AGENT),
  "--podQuota V": idle(NO_AGENT),
  "--portForwardTimeout V": idle("connections to the API server have deadlines of their own"),
  "--useShadowDeployment": idle(NO_SHADOW),
  "--useLocalTime": idle("times are this machine's"),
  "--forceUpdate": idle(NO_SHADOW),
  "--ipVersion V": idle(NO_AGENT),
  "--asWorker": idle(NO_AGENT),
});

const UNCHECKED = idle("ports need not be listened on when a session begins: it says when one is");
const OF_ROUTES = "routes and names are made and undone by inpod connect itself";

export const KTCTL: readonly TheirCommand[] = [
  {
    tool: "ktctl",
    words: "connect",
    example: "ktctl connect --excludeIps 10.9.0.0/16",
    differs:
      "without root a proxy (SOCKS5 and HTTP), with root routes and split DNS; nothing is installed",
    answer: { kind: "ours", words: ["connect"] },
    flags: [
      ...flags({
        "--mode V": {
          kind: "values",
          by: {
            tun2socks: is("--mode routes", () => ["--mode", "routes"]),
            sshuttle: is("--mode routes", () => ["--mode", "routes"]),
            routes: same,
            proxy: same,
          },
        },
        "--includeIps V": is("--include"),
        "--excludeIps V": is("--exclude"),
        "--proxyPort V": is("--port"),
        "--proxyAddr V": is("--address"),
        "--dnsMode V": idle("names of the cluster, and no others, are asked in the cluster"),
        "--clusterDomain V": idle("the cluster's domain is read from the target's resolv.conf"),
        "--shareShadow": idle(NO_SHADOW),
        "--disablePodIp": no("exclude the pods' subnet: --exclude CIDR"),
        "--skipCleanup": no(
          "what a session has made is always undone; what a killed one left: inpod recover",
        ),
        "--ingressIp V": no(
          "write the ingress' names and its address into the hosts file yourself",
        ),
        "--disableTunDevice": is("--mode proxy", () => ["--mode", "proxy"]),
        "--disableTunRoute": is("--mode proxy", () => ["--mode", "proxy"]),
        "--dnsCacheTtl V": idle("answers are kept for as long as the cluster's DNS says"),
        "--dnsPort V": idle(OF_ROUTES),
        "--includeDomains V": idle("names of the cluster, and no others, are asked in the cluster"),
      }),
      ...SESSION,
    ],
  },
  {
    tool: "ktctl",
    words: "exchange",
    example: "ktctl exchange orders --expose 8080:80",
    differs: "the pods stay as they are, and answer again when it ends",
    answer: { kind: "ours", words: ["exchange"] },
    flags: [
      ...flags({
        "--expose V": same,
        "--mode V": {
          kind: "values",
          by: {
            selector: is("--mode selector", () => ["--mode", "selector"]),
            scale: idle("no workload is scaled: traffic is taken in its pods"),
            ephemeral: is("--ephemeral-container", () => ["--ephemeral-container"]),
          },
        },
        "--skipPortChecking": UNCHECKED,
        "--recoverWaitTime V": idle("no workload is scaled, so there is nothing to wait for"),
      }),
      ...SESSION,
    ],
  },
  {
    tool: "ktctl",
    words: "mesh",
    example: "ktctl mesh orders --expose 8080:80 --versionMark ann",
    differs: "the Service and its pods stay as they are; there is no router pod",
    answer: { kind: "ours", words: ["mesh"] },
    flags: [
      ...flags({
        "--expose V": same,
        "--versionMark V": is("--version-mark"),
        "--mode V": {
          kind: "values",
          by: {
            auto: idle("requests are told apart by their header"),
            manual: no(
              "for a route of your own make a Service: inpod preview NAME --expose LOCAL:REMOTE",
            ),
          },
        },
        "--routerImage V": idle("there is no router pod: the agent tells requests apart"),
        "--skipPortChecking": UNCHECKED,
      }),
      ...SESSION,
    ],
  },
  {
    tool: "ktctl",
    words: "preview",
    example: "ktctl preview orders-ann --expose 8080:80",
    differs: "the Service goes with the session, also when that is killed",
    answer: { kind: "ours", words: ["preview"] },
    flags: [
      ...flags({ "--expose V": same, "--external": same, "--skipPortChecking": UNCHECKED }),
      ...SESSION,
    ],
  },
  {
    tool: "ktctl",
    words: "forward",
    example: "ktctl forward orders 8080:80",
    differs: "UDP too, from the cluster to you with -R, and it reconnects",
    answer: { kind: "ours", words: ["forward"] },
    flags: SESSION,
  },
  {
    tool: "ktctl",
    words: "recover",
    example: "ktctl recover orders",
    answer: { kind: "ours", words: ["recover"] },
    flags: LOOKING,
  },
  {
    tool: "ktctl",
    words: "clean",
    example: "ktctl clean --dryRun",
    differs: "each agent is asked whether it serves somebody, so that no time has to be waited",
    answer: { kind: "ours", words: ["clean"] },
    flags: [
      ...flags({
        "--dryRun": is("--dry-run"),
        "--localOnly": no(
          "what is left on this machine only: inpod verify --machine; it is undone by inpod recover",
        ),
        "--thresholdInMinus V": idle(
          "each agent is asked whether it serves somebody: no time has to be waited",
        ),
      }),
      ...LOOKING,
    ],
  },
  {
    // Not a command of ktctl's: who knows its clean types its flags here.
    tool: "ktctl",
    words: "verify",
    answer: { kind: "ours", words: ["verify"] },
    flags: [
      ...flags({
        "--dryRun": idle("this command changes nothing"),
        "--localOnly": is("--machine"),
        "--thresholdInMinus V": idle("each agent is asked whether it serves somebody"),
      }),
      ...LOOKING,
    ],
  },
  {
    tool: "ktctl",
    words: "birdseye",
    example: "ktctl birdseye --sortBy name",
    answer: { kind: "ours", words: ["status", "--services"] },
    flags: [
      ...flags({
        "--sortBy V": is("--sort-by"),
        "--hideNaturalService": is("--held"),
        "--showConnector": idle("sessions without a Service are in inpod status"),
      }),
      ...LOOKING,
    ],
  },
  {
    tool: "ktctl",
    words: "config",
    example: "ktctl config show",
    flags: flags({ "-a --all": same, "--dryRun": same }),
    answer: {
      kind: "instead",
      why: "settings are kept in a file of the project, .inpod/inpod.json; profiles are such files, chosen with -f",
      type: ({ operands: [verb = "show"] }) => {
        if (verb === "show" || verb === "get")
          return [words("inpod", "verify-config", "--resolved")];
        return verb.endsWith("-profile") ? ["inpod verify-config FILE"] : ["inpod init"];
      },
    },
  },
  {
    tool: "ktctl",
    words: "completion",
    example: "ktctl completion bash",
    answer: { kind: "ours", words: ["completion"] },
    flags: [],
  },
];

/** What flags before the command are, as well: ktctl takes them there. */
export const isGlobal = (flag: string): boolean =>
  SESSION.some(({ names }) => names.includes(flag));
export const globalHasValue = (flag: string): boolean =>
  SESSION.find(({ names }) => names.includes(flag))?.hasValue ?? false;

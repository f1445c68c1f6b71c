/** mirrord's commands beside exec, and nhctl's for development. */
import {
  flags,
  program,
  type Said,
  said,
  same,
  type TheirCommand,
  type Tool,
  withFlag,
  words,
  workload,
} from "./words.ts";

const instead = (
  tool: Tool,
  command: string,
  why: string,
  type: (typed: Said) => readonly string[],
  own: Readonly<Record<string, typeof same>> = {},
): TheirCommand => ({
  tool,
  words: command,
  flags: flags({ "-n --namespace V": same, "--kubeconfig V": same, ...own }),
  answer: { kind: "instead", why, type },
  example: `${tool === "nhctl" ? "nhctl" : "mirrord"} ${command}`,
});

const ours = (command: string, words: readonly string[], differs?: string): TheirCommand => ({
  tool: "mirrord",
  words: command,
  flags: [],
  answer: { kind: "ours", words },
  example: `mirrord ${command}`,
  ...(differs === undefined ? {} : { differs }),
});

export const MIRRORD: readonly TheirCommand[] = [
  ours("operator status", ["status", "-A"], "no operator is needed: the agents are asked"),
  ours("diagnose", ["doctor"]),
  ours("wizard", ["init"]),
  ours("completions", ["completion"]),
  instead("mirrord", "container", "a container with the pod's variables", () => [
    "docker run --env-file <(inpod env -t deployment/NAME --format docker --show-values) IMAGE",
  ]),
  instead("mirrord", "vpn", "the machine in the cluster's network", () => ["inpod connect"]),
  instead(
    "mirrord",
    "ci start",
    "a session lasts as long as its command",
    (typed) => [
      words("inpod", "exec", "-t", said(typed, "--target") ?? "deployment/NAME", program(typed)),
    ],
    { "-t --target V": same },
  ),
  instead("mirrord", "ci stop", "from another terminal, or step", () => ["inpod leave --all"]),
  instead("mirrord", "operator", "there is no operator to set up", () => ["inpod doctor"]),
];

const DEV = {
  "-d --deployment V": same,
  "-t --controller-type V": same,
  "-c --container V": same,
} as const;
const target = (typed: Said): string => {
  const name = said(typed, "--deployment");
  const container = said(typed, "--container");
  const kind = said(typed, "--controller-type") ?? "deployment";
  return `${name === undefined ? workload(undefined) : `${kind}/${name}`}${container === undefined ? "" : `/container/${container}`}`;
};
const place = (typed: Said): string[] => withFlag("-n", said(typed, "--namespace"));
const dev = (
  verb: string,
  why: string,
  type: (typed: Said) => readonly string[],
  own: Readonly<Record<string, typeof same>> = {},
): TheirCommand => instead("nhctl", verb, why, type, { ...DEV, ...own });

const STARTS = {
  "-i --image V": same,
  "--storage-class V": same,
  "--priority-class V": same,
  "-s --local-sync V": same,
  "--shell V": same,
  "--without-terminal": same,
  "--without-sync": same,
  "-m --dev-mode V": same,
  "--header V": same,
} as const;
const HERE =
  "your code stays on this machine: no container is changed, and nothing is synchronised";

export const NHCTL: readonly TheirCommand[] = [
  dev(
    "dev start",
    HERE,
    (typed) => [
      words("inpod", "exec", "-t", target(typed), place(typed), "--steal", program(typed)),
      ...(said(typed, "--header") === undefined
        ? []
        : [
            words(
              "inpod",
              "mesh",
              said(typed, "--deployment") ?? "SERVICE",
              "--expose",
              "LOCAL:REMOTE",
              "--header",
              said(typed, "--header"),
            ),
          ]),
    ],
    STARTS,
  ),
  dev("dev end", "a session ends with its command, or by name", (typed) => [
    words("inpod", "leave", target(typed)),
  ]),
  dev("dev reset", "nothing of a workload is changed", () => ["inpod clean"]),
  dev(
    "dev terminal",
    "a shell of this machine in the pod's place",
    (typed) => [words("inpod", "exec", "-t", target(typed), place(typed), "--", "bash")],
    { "--pod V": same, "--shell V": same },
  ),
  dev(
    "dev cmd",
    "a command of this machine in the pod's place",
    (typed) => [words("inpod", "exec", "-t", target(typed), place(typed), program(typed))],
    { "--dev-command-type V": same },
  ),
  dev("dev associate", "the directory is where you start it", (typed) => [
    words("inpod", "exec", "-t", target(typed), program(typed)),
  ]),
  dev("dev containers", "they are listed", () => ["inpod ls container"]),
  dev("dev pod", "they are listed", () => ["inpod ls pod"]),
  dev("dev", HERE, (typed) => [words("inpod", "exec", "-t", target(typed), program(typed))]),
  dev("sync", HERE, (typed) => [words("inpod", "exec", "-t", target(typed), program(typed))]),
  dev("sync-status", HERE, () => ["inpod status"]),
  dev(
    "port-forward start",
    "ports are named by -L",
    (typed) => {
      const [local = "LOCAL", remote = "PORT"] = (said(typed, "--dev-port") ?? "")
        .split(":")
        .filter(Boolean);
      return [
        words(
          "inpod",
          "forward",
          "-t",
          target(typed),
          place(typed),
          "-L",
          `${local}:localhost:${remote}`,
        ),
      ];
    },
    { "-p --dev-port V": same, "--pod V": same, "--follow": same },
  ),
  dev(
    "port-forward end",
    "a session ends with Ctrl-C, or by name",
    (typed) => [words("inpod", "leave", target(typed))],
    { "-p --dev-port V": same },
  ),
  dev("port-forward list", "who has what", () => ["inpod status"]),
  dev("ssh reverse", "a port of the pod comes here", (typed) => [
    words("inpod", "forward", "-t", target(typed), "-R", "REMOTE:LOCAL"),
  ]),
  dev("vpn connect", "the machine in the cluster's network", () => ["inpod connect"], {
    "--workloads V": same,
  }),
  dev("vpn disconnect", "Ctrl-C ends it, or its name", () => ["inpod leave --all"]),
  dev("vpn reconnect", "a lost connection is dialled again by itself", () => ["inpod connect"]),
  dev("vpn status", "who has what", () => ["inpod status"]),
  dev("cleanup", "what nobody holds is removed", () => ["inpod clean"]),
  dev("check cluster", "what would keep a session from working", () => ["inpod doctor"]),
  dev("profile", "settings are kept in a file of the project", () => ["inpod init"]),
  dev("daemon", "there is no daemon", () => ["inpod status"]),
  dev("kubeconfig", "a kubeconfig is named by a flag", () => ["inpod status --kubeconfig FILE"]),
  dev("pvc", "no volume is made", () => ["inpod clean"]),
  dev("install", "nothing is installed in the cluster", () => ["inpod doctor"]),
  dev("upgrade", "nothing is installed in the cluster", () => ["inpod doctor"]),
  dev("reset", "nothing of a workload is changed", () => ["inpod clean"]),
  dev("describe", "who has what", () => ["inpod status"]),
];

/** What this machine's facts mean for `exec`. Pure. */

import { checkPlatform } from "@inpod/layer/platform";
import { UserError } from "@inpod/protocol";
import { type Finding, findingOfError, findingsOf } from "../finding.ts";
import { isBefore, type MajorMinor, majorMinor } from "../version.ts";
import type { MachineFacts } from "./facts.ts";
import { judgeTap } from "./judge-tap.ts";

const { ok, note, warning, problem } = findingsOf("machine");

/** As package.json has it. */
const OLDEST_NODE: MajorMinor = [20, 20];

/** Below it a server with some hundred connections runs out: each takes two descriptors in the CLI. */
const FEW_FILES = 4096;

/** @param wantsExec a command was named, so exec is what is asked about */
export function judgeMachine(facts: MachineFacts, wantsExec: boolean): Finding[] {
  if (facts.platform !== "linux") return [...judgeNode(facts), notLinux(facts, wantsExec)];
  return [
    ...judgeKernel(facts),
    ...judgeNode(facts),
    ...judgeArchitecture(facts),
    ...judgeTap(facts),
    ...judgeFuse(facts),
    ...judgeUserNamespaces(facts),
    ...judgeFileLimit(facts),
    ...judgeNames(facts),
  ];
}

/** Everything but exec runs here: whether it is a problem depends on what somebody came for. */
function notLinux({ platform }: MachineFacts, wantsExec: boolean): Finding {
  const say = wantsExec ? findingsOf("machine").problem : note;
  const [name, hints] =
    platform === "darwin"
      ? [
          "macOS",
          [
            "a Linux VM: limactl start default && lima inpod exec … (or colima start, then colima ssh)",
          ],
        ]
      : platform === "win32"
        ? ["Windows", ["WSL2: wsl --install, and inpod inside of it"]]
        : [platform, ["a Linux VM"]];
  return say("not-linux", `this is ${name}, and inpod exec needs Linux`, {
    why: "exec watches the system calls of your program, by a door that only Linux has; what looks into the cluster works here",
    hints: [
      ...hints,
      'or a dev container: docker run --cap-add SYS_PTRACE --device /dev/fuse … (in devcontainer.json: "runArgs": ["--cap-add=SYS_PTRACE", "--device=/dev/fuse"])',
    ],
  });
}

function judgeKernel({ platform, release, container }: MachineFacts): Finding[] {
  try {
    checkPlatform(platform, release);
    return [ok("kernel", `Linux ${release}${container === "wsl" ? " (WSL)" : ""}`)];
  } catch (error) {
    if (error instanceof UserError) return [findingOfError("machine", error)];
    throw error;
  }
}

function judgeNode({ nodeVersion, architecture }: MachineFacts): Finding[] {
  const version = majorMinor(nodeVersion);
  if (version === undefined || !isBefore(version, OLDEST_NODE))
    return [ok("node", `Node ${nodeVersion} on ${architecture}`)];
  return [
    problem("node-old", `Node ${nodeVersion} is too old: inpod needs ${OLDEST_NODE.join(".")}`, {
      hints: ["install a newer one: https://nodejs.org/en/download"],
    }),
  ];
}

function judgeArchitecture({ architecture }: MachineFacts): Finding[] {
  if (architecture === "x64" || architecture === "arm64") return [];
  return [
    warning("architecture", `nobody has tried inpod on ${architecture}`, {
      why: "the filter of system calls is written for x64 and arm64",
      hints: ["run inpod on x64 or arm64"],
    }),
  ];
}

const MOUNTED = {
  detached: "by its own rights",
  userns: "in a user namespace",
  fusermount: "by fusermount3",
} as const;

/** Whether a mount could be made decides; the device and the helper say what to change if not. */
function judgeFuse({ fuse, mount, container }: MachineFacts): Finding[] {
  if (mount?.kind === "mounted")
    return [ok("fuse", `FUSE: the pod's files can be mounted, ${MOUNTED[mount.via]}`)];
  const why =
    "the pod's files are snapshots then: read as a whole, up to 64 MiB each, as they are when they are opened, and not written to";
  if (fuse.device === "ENOENT" || fuse.device === "EPERM")
    return [
      note("fuse", `there is no usable /dev/fuse (${fuse.device})`, {
        why,
        hints: [
          container === "docker" || container === "podman"
            ? `start the container with --device /dev/fuse`
            : "load it: sudo modprobe fuse",
        ],
      }),
    ];
  if (fuse.device !== "ok")
    return [
      note("fuse", `/dev/fuse cannot be opened (${fuse.device})`, {
        why,
        hints: ["see its owner and mode, 0666 is usual: ls -l /dev/fuse"],
      }),
    ];
  if (fuse.helper === undefined)
    return [
      note("fusermount", "nothing can be mounted here, and fusermount3 is not on PATH", {
        why: `${refusalsOf(mount)}; ${why}`,
        hints: [
          "allow user namespaces, see below",
          "or install it: sudo apt-get install fuse3, or sudo dnf install fuse3",
        ],
      }),
    ];
  return [
    note("fuse", "nothing can be mounted here", {
      why: `${refusalsOf(mount)}; ${why}`,
      hints: [
        container === "docker" || container === "podman"
          ? "start the container with --device /dev/fuse --cap-add SYS_ADMIN"
          : "allow user namespaces, see below",
      ],
    }),
  ];
}

const refusalsOf = (mount: MachineFacts["mount"]): string =>
  mount?.kind === "refused" ? mount.refusals.join("; ") : "it was not tried";

function judgeUserNamespaces({ userNamespaces, isRoot, container }: MachineFacts): Finding[] {
  const { isAllowed, settings } = userNamespaces;
  if (isAllowed === true) return [ok("user-namespaces", "user namespaces")];
  const [what, hint] =
    settings["user.max_user_namespaces"] === "0"
      ? ["user.max_user_namespaces is 0", "allow them: sudo sysctl user.max_user_namespaces=10000"]
      : settings["kernel.unprivileged_userns_clone"] === "0" && !isRoot
        ? [
            "kernel.unprivileged_userns_clone is 0",
            "allow them: sudo sysctl kernel.unprivileged_userns_clone=1",
          ]
        : settings["kernel.apparmor_restrict_unprivileged_userns"] === "1" && !isRoot
          ? [
              "kernel.apparmor_restrict_unprivileged_userns is 1, as Ubuntu has it from 24.04 on",
              "allow them: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
            ]
          : isAllowed === false && container !== undefined && container !== "wsl"
            ? [
                "a container's seccomp profile, most likely",
                "start the container with --security-opt seccomp=unconfined, or --cap-add SYS_ADMIN",
              ]
            : [undefined, "see which: unshare --user --map-root-user true"];
  if (isAllowed === undefined && what === undefined)
    return [
      note("user-namespaces-untried", "unshare is not there, so user namespaces were not tried"),
    ];
  return [
    note(
      "user-namespaces",
      `this machine refuses user namespaces${what === undefined ? "" : `: ${what}`}`,
      {
        why: "mounting the pod's files as an ordinary user takes one, or fusermount3; the sandbox of npm run demo is made of them",
        hints: [hint],
      },
    ),
  ];
}

function judgeFileLimit({ fileLimit }: MachineFacts): Finding[] {
  if (fileLimit >= FEW_FILES) return [];
  return [
    warning("file-limit", `a process may have only ${fileLimit} open files`, {
      why: "each connection of your program takes two of inpod's",
      hints: [
        "raise the hard limit: ulimit -Hn 65536 (as root), or nofile in /etc/security/limits.conf",
      ],
    }),
  ];
}

/** Services that nsswitch.conf(5) may name and that answer with this machine's names. */
const OWN_RESOLVERS = ["resolve", "mymachines", "sss", "wins", "mdns", "mdns4", "mdns4_minimal"];

function judgeNames({ hostServices, hasNscd }: MachineFacts): Finding[] {
  const named = hostServices.filter((name) => OWN_RESOLVERS.includes(name));
  if (named.length === 0 && !hasNscd) return [];
  const who = [...named.map((name) => `"${name}" of nsswitch.conf`), ...(hasNscd ? ["nscd"] : [])];
  return [
    note("names", `this machine looks names up by ${who.join(", ")}`, {
      why: "under inpod your program asks the pod's resolver instead; a program that speaks to systemd-resolved itself still gets this machine's answers",
      hints: ["to keep this machine's names: --no-remote-dns"],
    }),
  ];
}

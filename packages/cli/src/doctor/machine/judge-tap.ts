/** Whether a program's system calls can be watched here, and which door to open if not. Pure. */
import { type BetterDoor, doorHints, MEANING, type NeededDoor } from "@inpod/layer/doors";
import { type Finding, findingsOf } from "../finding.ts";
import type { MachineFacts } from "./facts.ts";

const { ok, note, problem, warning } = findingsOf("machine");

export function judgeTap(facts: MachineFacts): Finding[] {
  return [...judgeProbe(facts), ...judgePtraceScope(facts), ...judgeNoNewPrivileges(facts)];
}

const WHY = "inpod exec does nothing without it";
const capAdd =
  "start the container with --cap-add SYS_PTRACE: Docker's default seccomp profile then allows it";
const devContainer = 'in devcontainer.json: "runArgs": ["--cap-add=SYS_PTRACE"]';
const kubernetes =
  "in this pod's spec: securityContext: {capabilities: {add: [SYS_PTRACE]}}, and seccompProfile: {type: Unconfined} if that is not enough";

function containerHints({ container }: MachineFacts): string[] {
  switch (container) {
    case "kubernetes":
      return [kubernetes];
    case "podman":
      return ["start the container with --cap-add SYS_PTRACE", devContainer];
    case "docker":
    case "other":
      return [capAdd, devContainer];
    default:
      return [
        "if this is a container: --cap-add SYS_PTRACE (docker, podman)",
        "else see which security module or sandbox refuses it: dmesg, journalctl -k",
      ];
  }
}

function judgeProbe(facts: MachineFacts): Finding[] {
  const { tap } = facts;
  switch (tap?.kind) {
    case undefined:
      return [];
    case "works":
      return [
        ok("tap", "system calls can be watched and sockets taken over"),
        ...(tap.canConnectLater
          ? [ok("connect", "connects can be left in progress")]
          : [
              warning("connect", "non-blocking connects wait here until the agent has answered", {
                why: "an event loop stands still for the time of one round trip at each new connection",
              }),
            ]),
        ...(tap.lacks.some(({ door }) => door === "ptrace")
          ? []
          : [ok("ptrace", "programs can work in the pod's directories, and execute its programs")]),
        ...tap.lacks.map(judgeLacks),
      ];
    case "not-loaded":
      return [
        problem("tap-missing", "inpod's native part cannot be loaded", {
          why: tap.why,
          hints: ["in a checkout: npm run build", "everything but inpod exec works without it"],
        }),
      ];
    case "no-answer":
      return [
        problem("tap-probe", "trying the tap on a program ended without an answer", {
          why: tap.why,
          hints: ["see what exec itself says: inpod exec -t TARGET -- true"],
        }),
      ];
    case "refused":
      break;
  }
  return [judgeDoor(tap.door, tap.errno, facts)];
}

/** Both ways into a child's memory are one thing to a person, and have had one name. */
const DOOR_IDS: Readonly<Partial<Record<NeededDoor, string>>> = {
  process_vm_readv: "process-vm",
  process_vm_writev: "process-vm",
  proc: "hidden-proc",
};

function judgeDoor(door: NeededDoor, errno: string, facts: MachineFacts): Finding {
  const { ptraceScope, isInsideInpod } = facts;
  if (door === "seccomp" && errno === "EBUSY")
    return problem(
      "seccomp-busy",
      "something above already watches the system calls here (EBUSY)",
      {
        why: "a process can have one watcher only: inpod inside inpod, or a container runtime's seccomp agent",
        hints: doorHints(door, errno, { ptraceScope, isInsideInpod }),
      },
    );
  const { what, why } = MEANING[door];
  const isPtrace = ["pidfd_getfd", "process_vm_readv", "process_vm_writev"].includes(door);
  const hints = doorHints(door, errno, { ptraceScope, isInsideInpod });
  const isOfContainer = isPtrace && (ptraceScope ?? 0) < 2;
  return problem(DOOR_IDS[door] ?? door.replaceAll("_", "-"), `${what} (${errno})`, {
    why: `${why}; ${WHY}`,
    hints: isOfContainer ? containerHints(facts) : hints,
  });
}

function judgeLacks({
  door,
  errno,
}: {
  readonly door: BetterDoor;
  readonly errno: string;
}): Finding {
  const { what, why } = MEANING[door];
  return (door === "ptrace" ? warning : note)(door, `${what} (${errno})`, { why });
}

/** https://docs.kernel.org/admin-guide/LSM/Yama.html */
function judgePtraceScope({ ptraceScope, isPtraceCapable }: MachineFacts): Finding[] {
  if (ptraceScope === undefined || ptraceScope === 0) return [];
  if (ptraceScope === 1)
    return [ok("ptrace-scope", "Yama lets a process look into its descendants")];
  if (ptraceScope === 2 && isPtraceCapable) return [];
  return [
    problem(
      "ptrace-scope",
      ptraceScope === 2
        ? "kernel.yama.ptrace_scope is 2: only who has CAP_SYS_PTRACE may look into other processes"
        : `kernel.yama.ptrace_scope is ${ptraceScope}: nobody may look into other processes`,
      {
        why: "inpod reads the arguments of your program's calls, and takes its sockets over",
        hints:
          ptraceScope === 2
            ? ["allow it for descendants: sudo sysctl kernel.yama.ptrace_scope=1"]
            : [
                "3 can only be left by a restart: set kernel.yama.ptrace_scope = 1 in /etc/sysctl.d and restart",
              ],
      },
    ),
  ];
}

function judgeNoNewPrivileges({ hasNoNewPrivileges }: MachineFacts): Finding[] {
  if (!hasNoNewPrivileges) return [];
  return [
    note("no-new-privileges", "no_new_privs is set here", {
      why: "setuid programs, fusermount3 and sudo among them, run with your own rights",
      hints: ["in a container: leave out --security-opt no-new-privileges"],
    }),
  ];
}

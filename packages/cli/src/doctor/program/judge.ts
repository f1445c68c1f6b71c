/** What becomes of a program under inpod. Pure. */
import { basename } from "node:path";
import { daemonAskedBy, KNOWN_DAEMONS } from "../../daemons.ts";
import { type Finding, findingOfError, findingsOf } from "../finding.ts";
import type { ProgramFacts } from "./facts.ts";

const { ok, note, problem, warning } = findingsOf("program");

type Startable = Extract<ProgramFacts, { kind: "startable" }>;

export function judgeProgram(facts: ProgramFacts): Finding[] {
  if (facts.kind === "not-startable") {
    const finding = findingOfError("program", facts.error);
    return [{ ...finding, id: finding.id.replace("command-", "") }];
  }
  const found = [
    ...judgeFile(facts),
    ...judgeRights(facts),
    ...judgeElsewhere(facts),
    ...judgeStarter(facts),
  ];
  const { executable, program, elf } = facts;
  return [
    ok(
      "found",
      program === executable
        ? `${executable}${elf !== undefined && elf.loader === undefined ? ", statically linked" : ""}`
        : `${executable}, run by ${program}`,
    ),
    ...found,
  ];
}

/** e_machine of i386, whose calls the tap translates on x86-64. */
const EM_386 = 3;

/** e_machine of what this machine's kernel runs itself. */
const MACHINES: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };

function judgeFile({ program, elf, hasLoader, architecture }: Startable): Finding[] {
  if (elf === undefined) return [];
  if (!hasLoader)
    return [
      problem("loader-missing", `${program} needs ${elf.loader}, which is not on this machine`, {
        why: 'the kernel will say "no such file or directory", of the loader and not of the program',
        hints: [
          elf.loader?.includes("musl")
            ? "it was built for Alpine (musl): build it for this machine"
            : "it was built for another distribution or processor: build it for this machine",
        ],
      }),
    ];
  if (elf.bits === 32 && elf.machine === EM_386 && architecture === "x64")
    return [
      note("32-bit", `${program} is a 32-bit program`, {
        why: "it talks and reads as the pod, but it cannot work in the pod's directories or execute its programs, and unconnected UDP sent with sendmsg stays this machine's",
        hints: ["where that matters use a 64-bit build of it"],
      }),
    ];
  if (elf.bits === 32)
    return [
      problem("32-bit", `${program} is a 32-bit program`, {
        why: "inpod does not see the system calls of 32-bit programs: it would run as without inpod",
        hints: ["use a 64-bit build of it"],
      }),
    ];
  if (MACHINES[architecture] !== undefined && elf.machine !== MACHINES[architecture])
    return [
      warning("other-processor", `${program} is for another processor than this machine's`, {
        why: "it runs in an emulator, if at all, and inpod sees the emulator's system calls",
        hints: ["use a build for this machine"],
      }),
    ];
  return [];
}

/** They ask for rights first of all, and end when they do not get them. */
const ASKS_FOR_RIGHTS = ["sudo", "su", "doas", "pkexec"];

function judgeRights({ program, isSetId, keepsRights, command }: Startable): Finding[] {
  if (keepsRights) return [];
  const name = basename(command[0]);
  if (ASKS_FOR_RIGHTS.includes(name))
    return [
      problem("asks-for-rights", `${name} gets no rights under inpod`, {
        why: "the filter needs no_new_privs, under which setuid programs run with your own rights",
        hints: [
          `put it outside: sudo -E inpod exec … -- ${command.slice(1).join(" ") || "COMMAND"}`,
        ],
      }),
    ];
  if (!isSetId) return [];
  return [
    warning(
      "setuid",
      `${program} is a setuid or setgid program: it runs with your own rights under inpod`,
      {
        why: "the filter needs no_new_privs, under which the kernel ignores both bits",
      },
    ),
  ];
}

/** Others start what they are asked for: on behalf of an engine, another session, another machine. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  docker: "Docker's daemon starts containers",
  nerdctl: "containerd starts containers",
  podman: "a container has a network and files of its own",
  "docker-compose": "Docker's daemon starts containers",
  "systemd-run": "systemd starts the unit",
  ssh: "the command runs on another machine",
  kubectl: "kubectl exec and kubectl run start processes in the cluster",
  flatpak: "flatpak starts a sandbox of its own",
  snap: "snap starts a sandbox of its own",
  code: "the editor that runs already opens the window",
};

function judgeElsewhere({ command, daemons }: Startable): Finding[] {
  const name = basename(command[0]);
  const kind = daemonAskedBy(name, "");
  if (kind !== undefined) {
    const { who, hint } = KNOWN_DAEMONS[kind] ?? { who: kind, hint: "" };
    const running = daemons.filter((each) => each.name === kind).map(({ pid }) => pid);
    if (running.length === 0)
      return [
        note("daemon", `${who}, once started, outlives this session`, {
          why: "it stays under inpod's filter, with the network of the machine, until it is ended",
          hints: [hint],
        }),
      ];
    return [
      warning("daemon-running", `${who} runs already (process ${running.join(", ")})`, {
        why: "it started outside of inpod, so what it runs for you is not in the pod's place",
        hints: [hint],
      }),
    ];
  }
  const why = ELSEWHERE[name];
  if (why === undefined) return [];
  return [
    warning("elsewhere", `what ${name} starts is no child of it`, {
      why: `${why}: outside of inpod's sight`,
      hints: ["name the program itself: inpod exec … -- PROGRAM"],
    }),
  ];
}

/** Of skip_build_tools: native programs that only build and start. */
const STAYS = ["go", "cargo", "make", "air", "watchexec"];
/** Scripts and runtimes: by name they cannot be told from the program that they start. */
const COMES_ALONG = [
  "npm",
  "npx",
  "pnpm",
  "yarn",
  "mvn",
  "mvnw",
  "poetry",
  "uv",
  "pip",
  "bundle",
  "dotnet",
];

function judgeStarter({ command }: Startable): Finding[] {
  const name = basename(command[0]);
  if (STAYS.includes(name))
    return [
      ok("starter", `${name} stays on this machine; the program it starts takes the pod's place`),
    ];
  if (!COMES_ALONG.includes(name)) return [];
  return [
    note("starter", `${name} takes the pod's place too, not only the program it starts`, {
      why: "what it downloads is fetched from the pod, which may have no way to the Internet",
      hints: [
        "download and build before, outside of inpod",
        `or let it stay on this machine with all that runs under its name: --skip-processes ${name}`,
      ],
    }),
  ];
}

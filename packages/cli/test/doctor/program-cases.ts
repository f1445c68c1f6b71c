/** Programs by what their files say. */
import { UserError } from "@inpod/protocol";
import type { ProgramFacts } from "../../src/doctor/program/facts.ts";
import { judgeProgram } from "../../src/doctor/program/judge.ts";
import type { Case } from "./case.ts";

type Startable = Extract<ProgramFacts, { kind: "startable" }>;

const ELF = { bits: 64, machine: 62, loader: "/lib64/ld-linux-x86-64.so.2" } as const;
const node: Startable = {
  kind: "startable",
  command: ["node", "server.js"],
  executable: "/usr/bin/node",
  program: "/usr/bin/node",
  isSetId: false,
  elf: ELF,
  hasLoader: true,
  architecture: "x64",
  keepsRights: false,
  daemons: [],
};
const at = (
  when: string,
  facts: ProgramFacts,
  id: string,
  level: Case["level"],
  says: RegExp,
): Case => ({ when, findings: () => judgeProgram(facts), id, level, says });
const called = (...command: [string, ...string[]]): Startable => ({ ...node, command });

export const programCases: readonly Case[] = [
  at("node server.js", node, "program-found", "ok", /^\/usr\/bin\/node$/m),
  at(
    "a script",
    { ...node, executable: "/home/u/run.py", program: "/usr/bin/python3.11" },
    "program-found",
    "ok",
    /run\.py, run by \/usr\/bin\/python3\.11/,
  ),
  at(
    "a Go program",
    { ...node, elf: { ...ELF, loader: undefined } },
    "program-found",
    "ok",
    /statically linked/,
  ),
  at(
    "a name that is not on PATH",
    {
      kind: "not-startable",
      error: new UserError("COMMAND_NOT_FOUND", 'no command "nod"', {
        hints: ["did you mean node?"],
      }),
    },
    "program-not-found",
    "problem",
    /did you mean node/,
  ),
  at(
    "a file without x",
    {
      kind: "not-startable",
      error: new UserError("COMMAND_NOT_EXECUTABLE", "cannot execute /a", { cause: "its mode" }),
    },
    "program-not-executable",
    "problem",
    /its mode/,
  ),
  at(
    "a program of Alpine's on Debian",
    { ...node, elf: { ...ELF, loader: "/lib/ld-musl-x86_64.so.1" }, hasLoader: false },
    "program-loader-missing",
    "problem",
    /Alpine/,
  ),
  at(
    "a program of i386's",
    { ...node, elf: { bits: 32, machine: 3, loader: undefined } },
    "program-32-bit",
    "note",
    /talks and reads as the pod/,
  ),
  at(
    "a program of 32-bit Arm's",
    { ...node, architecture: "arm64", elf: { bits: 32, machine: 40, loader: undefined } },
    "program-32-bit",
    "problem",
    /does not see/,
  ),
  at(
    "a program for arm64 on x64",
    { ...node, elf: { ...ELF, machine: 183 } },
    "program-other-processor",
    "warning",
    /emulator/,
  ),
  at("ping", { ...called("ping"), isSetId: true }, "program-setuid", "warning", /own rights/),
  at(
    "sudo",
    { ...called("sudo", "node", "server.js"), isSetId: true },
    "program-asks-for-rights",
    "problem",
    /sudo -E inpod exec … -- node server\.js/,
  ),
  at("./gradlew run", called("./gradlew", "run"), "program-daemon", "note", /--no-daemon/),
  at(
    "gradle with its daemon up",
    { ...called("gradle", "run"), daemons: [{ pid: 77, name: "gradle" }] },
    "program-daemon-running",
    "warning",
    /process 77.*|gradle --stop/,
  ),
  at(
    "docker compose up",
    called("docker", "compose", "up"),
    "program-elsewhere",
    "warning",
    /daemon starts/,
  ),
  at("go run .", called("go", "run", "."), "program-starter", "ok", /takes the pod's place/),
  at("npm start", called("npm", "start"), "program-starter", "note", /--skip-processes npm/),
];

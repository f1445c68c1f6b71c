/** Whose a variable, a program and a unix socket are. No value of a variable is ever told. */
import { readFileSync, realpathSync } from "node:fs";
import { basename } from "node:path";
import { checkCommand } from "../command.ts";
import {
  type ProgramEnvironment,
  programEnvironment,
  toBytes,
  toText,
} from "../exec/environment.ts";
import { changeProgram, changeUnix, changeVariable, HERE, POD } from "./change.ts";
import type { Explanation } from "./explanation.ts";
import type { Ground } from "./ground.ts";

/** Bytes of a script that the kernel reads for its `#!` line. */
const MAX_SHEBANG = 256;
const WHO_YOU_ARE = "it says who you are; the program is the pod";

export function explainVariable(subject: string, name: string, ground: Ground): Explanation {
  const { loaded, io, target, origin, current } = ground;
  // Without a target the question is what would become of one that the pod has.
  const described = target?.described ?? { environment: [[toBytes(name), ""] as const] };
  const environment = programEnvironment(
    loaded.config,
    described,
    io,
    target?.specEnvironment ?? {},
  );
  const answer = answerOf(name, environment, ground);
  const isInPod = described.environment.some(([each]) => each === toBytes(name));
  return {
    subject,
    kind: "variable",
    answers: [
      {
        ...{ about: "variable", ...answer },
        origin: origin(answer.key),
        changes: changeVariable(name, answer, current),
      },
    ],
    notes: [],
    here: [environment.ownNames.includes(toBytes(name)) ? "it is set" : "it is not set"],
    pod:
      target === undefined
        ? []
        : [isInPod ? "its main process has it" : "its main process does not have it"],
    depends:
      target === undefined && answer.verdict === "pod"
        ? ["whether the pod has it; if not, yours is used"]
        : [],
  };
}

interface Decided {
  readonly verdict: string;
  readonly words: string;
  readonly why: string;
  readonly key: string;
}

function answerOf(
  name: string,
  { chosen, hidden, ownNames, variables }: ProgramEnvironment,
  { current }: Ground,
): Decided {
  const bytes = toBytes(name);
  const from = chosen.origins.get(bytes);
  if (from === "pod") {
    const isNamed = current.env !== false && current.env.include.some((each) => each !== "*");
    const key = isNamed ? "feature.env.include" : "feature.env.exclude";
    const why = isNamed ? `${key} names it` : "variables are the pod's";
    return { verdict: "pod", words: POD, why, key };
  }
  if (from !== undefined)
    return {
      verdict: from,
      words: "the configuration's",
      why: `feature.env.${from}`,
      key: `feature.env.${from}`,
    };
  if (chosen.unset.some((each) => each.toLowerCase() === bytes.toLowerCase()))
    return {
      verdict: "unset",
      words: "not there",
      why: "feature.env.unset",
      key: "feature.env.unset",
    };
  if (hidden.includes(bytes))
    return {
      verdict: "hidden",
      words: "not there",
      why: WHO_YOU_ARE,
      key: "feature.local_credentials",
    };
  const skipped = chosen.skipped.find((each) => each.name === bytes);
  const isOwn = ownNames.includes(bytes) && Object.hasOwn(variables, bytes);
  const words = isOwn ? HERE : "not there";
  if (skipped !== undefined) return { verdict: "local", words, why: skipped.why, key: skipped.key };
  return {
    verdict: "local",
    words,
    why: isOwn ? "the pod has none of that name" : "neither the pod nor this machine has it",
    key: "feature.env.override",
  };
}

export function explainProgram(subject: string, name: string, ground: Ground): Explanation {
  const { io, policy, origin, current } = ground;
  const found = programOf(name, ground);
  const decision = policy.program(toBytes(found.executable), toBytes(found.argv0));
  const { verdict, why, key } = decision;
  const isSkipped = verdict === "skipped";
  return {
    subject,
    kind: "program",
    answers: [
      {
        ...{ about: "program", verdict, why, key, origin: origin(key) },
        words: isSkipped
          ? "left alone: all that it does is this machine's"
          : "tapped: it is in the pod's place",
        changes: changeProgram(
          isSkipped
            ? (/(\S+)(?: is a build tool)?$/.exec(why)?.[1] ?? name)
            : basename(found.executable),
          decision,
          current,
        ),
      },
    ],
    notes: [
      ...(isSkipped ? ["programs that it starts are judged by themselves"] : []),
      ...found.notes,
    ],
    here: [
      found.isThere
        ? found.executable
        : `no program ${JSON.stringify(name)} on ${io.env.PATH === undefined ? "the default PATH" : "PATH"}`,
    ],
    pod: [],
    depends: [],
  };
}

/** As the kernel has it: /proc/PID/exe has no links, and of a script it is the interpreter. */
function programOf(
  name: string,
  ground: Ground,
): {
  readonly executable: string;
  readonly argv0: string;
  readonly isThere: boolean;
  readonly notes: readonly string[];
} {
  const { io } = ground;
  try {
    const { executable, program, warnings } = checkCommand(name, io.env.PATH, io.directory);
    const isScript = program !== executable;
    const byEnv =
      isScript && basename(program) === "env" ? interpreterByEnv(executable) : undefined;
    if (byEnv !== undefined) {
      const found = programOf(byEnv, ground);
      return { ...found, notes: [`it is a script for ${byEnv}`, ...found.notes] };
    }
    return {
      executable: realpathSync(program),
      argv0: isScript ? program : name,
      isThere: true,
      notes: [
        ...(isScript ? [`it is a script, and the program is ${toText(toBytes(program))}`] : []),
        ...warnings,
      ],
    };
  } catch {
    return { executable: name, argv0: name, isThere: false, notes: [] };
  }
}

/** `#!/usr/bin/env node` */
function interpreterByEnv(script: string): string | undefined {
  const [line = ""] = readFileSync(script, "utf8").slice(0, MAX_SHEBANG).split("\n");
  return line
    .split(/\s+/)
    .slice(1)
    .find((word) => word !== "" && !word.startsWith("-") && !word.includes("="));
}

export function explainUnix(subject: string, path: string, ground: Ground): Explanation {
  const { policy, origin, current } = ground;
  const { decision } = policy.path(toBytes(path), "lookup");
  // Of sockets only nscd's is another's than this machine's.
  const isHidden =
    decision.verdict === "not-found" && decision.key === "feature.network.dns.enabled";
  const decided = isHidden ? decision : policy.unix(path);
  const { verdict, why, key } = decided;
  return {
    subject,
    kind: "unix",
    answers: [
      {
        ...{ about: "connect", verdict, why, key, origin: origin(key) },
        words: isHidden ? "not there (ENOENT)" : verdict === "remote" ? POD : HERE,
        changes: changeUnix(path, decided, current),
      },
    ],
    notes: [],
    here: [],
    pod: [],
    depends: [],
  };
}

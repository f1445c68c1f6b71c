/** Whose a path is, read and written. */
import { lstatSync, realpathSync, statSync } from "node:fs";
import type { PathDecision, PathOperation } from "@inpod/layer/rules";
import { toBytes, toText } from "../exec/environment.ts";
import { changePath, HERE, POD } from "./change.ts";
import type { Answer, Explanation } from "./explanation.ts";
import type { Ground } from "./ground.ts";

/** What the target says of a path; by pod.ts. */
export interface PodFile {
  readonly exists: boolean;
  /** The errno of reading it, with the target's ids; undefined: it may be read. */
  readonly refused?: string | undefined;
  readonly words: readonly string[];
}

const OPERATIONS: readonly PathOperation[] = ["read", "lookup", "write"];
const ABOUT: Readonly<Record<PathOperation, string>> = {
  read: "read",
  lookup: "look up",
  write: "write",
};

export function explainPath(
  subject: string,
  path: string,
  ground: Ground,
  inPod: PodFile | undefined,
): Explanation {
  const { policy, layer, current, origin, target } = ground;
  const decided = OPERATIONS.map((operation) => {
    const whose = policy.path(toBytes(path), operation);
    return { operation, ...whose, shown: toText(whose.path) };
  });
  const [read] = decided;
  const isSame = (a: PathDecision, b: PathDecision): boolean =>
    a.verdict === b.verdict && a.why === b.why;
  const answers = decided
    // Looking something up is mostly decided as reading is.
    .filter(
      ({ operation, decision }) =>
        operation !== "lookup" || !isSame(decision, read?.decision ?? decision),
    )
    .map(({ operation, decision, shown }): Answer => {
      const { verdict, why, key } = decision;
      return {
        about: ABOUT[operation],
        verdict,
        words: wordsOf(decision),
        why: toText(why),
        key,
        origin: origin(key),
        changes: changePath(shown, operation === "write", decision, current),
      };
    });
  const mapped = read?.isMapped ? read.shown : path;
  const here = localWords(mapped);
  const notes = [
    ...(read?.isMapped ? [`feature.fs.mapping makes it ${mapped}`] : []),
    ...(read && inPod ? outcome(read.decision, inPod, here.exists) : []),
    ...linkNote(mapped),
  ];
  const usesPod = decided.some(({ decision }) => decision.verdict === "remote");
  return {
    subject,
    kind: "path",
    answers,
    notes,
    here: here.words,
    pod: inPod?.words ?? [],
    depends:
      target === undefined
        ? [
            ...(usesPod ? ["whether the pod has it, and lets its own user read it"] : []),
            ...(layer.files.autoMount && decided.some(({ decision }) => isAboutVolumes(decision))
              ? ["whether it lies in a volume of the pod"]
              : []),
          ]
        : [],
  };
}

/** The user's own lists, and names, are decided before volumes. */
const isAboutVolumes = ({ key = "" }: PathDecision): boolean =>
  !/\[\d+\]$|^feature\.(network\.dns|hostname|local_credentials)/.test(key);

function wordsOf({ verdict, fallback }: PathDecision): string {
  switch (verdict) {
    case "local":
      return HERE;
    case "not-found":
      return "not there (ENOENT)";
    case "nsswitch":
      return "this machine's, with names from the pod's files and DNS only";
    case "remote":
      return fallback ? "the pod's if it has one, else this machine's" : POD;
  }
}

/** Of reading: what the program gets in the end. */
function outcome(
  { verdict, fallback }: PathDecision,
  { exists, refused }: PodFile,
  isHere: boolean,
): string[] {
  if (verdict === "local" || verdict === "nsswitch")
    return isHere ? [] : ["nobody has it for the program: there is none on this machine (ENOENT)"];
  if (verdict !== "remote") return [];
  if (refused !== undefined) return [`the program is refused it, as in the pod (${refused})`];
  if (exists) return ["the program gets the pod's"];
  if (fallback && isHere) return ["the pod has none: the program gets this machine's"];
  return ["the program finds nothing (ENOENT)"];
}

function localWords(path: string): { readonly exists: boolean; readonly words: readonly string[] } {
  try {
    const stats = statSync(path);
    const what = stats.isDirectory()
      ? "a directory"
      : stats.isFile()
        ? `a file of ${stats.size} bytes`
        : stats.isSocket()
          ? "a socket"
          : "a special file";
    return { exists: true, words: [what] };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { exists: false, words: [code === "ENOENT" ? "nothing of that name" : `${code}`] };
  }
}

/** Rules are about the name that a program uses. */
function linkNote(path: string): string[] {
  try {
    if (lstatSync(path).isSymbolicLink() || realpathSync(path) !== path)
      return [
        `on this machine it is a link to ${realpathSync(path)}: a program that resolves it asks for that`,
      ];
  } catch {
    // it is not there
  }
  return [];
}

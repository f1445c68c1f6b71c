/** A session into which programs come one by one learns where things of theirs are. Pure. */
import type { ByteString } from "@inpod/protocol";
import type { PathFacts } from "./path-rules.ts";

/** Trees that were learned: programs that are started in ever other directories must not make the rules endless. */
const MAX_LEARNED = 128;

/** @returns `known` itself where the program adds nothing */
export function withProgram(known: PathFacts, program: PathFacts): PathFacts {
  const has = new Set<ByteString | null>([
    ...[known.cwd, known.projectRoot, known.executable, known.home],
    ...known.pathDirectories,
    ...known.toolchains.map(({ path }) => path),
  ]);
  const added = [
    { path: program.executable, why: "the program itself" },
    { path: program.projectRoot, why: "the project of a program of the session" },
    { path: program.cwd, why: "the directory a program of the session was started in" },
    ...program.toolchains,
  ].flatMap(({ path, why }) => (path === null || has.has(path) ? [] : [{ path, why }]));
  const learned = known.toolchains.length + added.length;
  if (added.length === 0 || learned > MAX_LEARNED) return known;
  return { ...known, toolchains: [...known.toolchains, ...added] };
}

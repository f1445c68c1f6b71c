/**
 * Witness programs: the same small program in many languages, to be run in the pod and through inpod, where it
 * must observe the same. Sources and their arguments: sandbox/witness/. The matrix of runtimes is conformance/.
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Built, buildProgram, compiled, type Recipe } from "./build.ts";

const here = (file: string): string =>
  fileURLToPath(new URL(`../witness/${file}`, import.meta.url));

const c = (compiler: string, source: string, ...flags: readonly string[]): Recipe => ({
  sources: [source, "errno.h"],
  compile: ([path = ""]) => [
    compiler,
    "-O1",
    "-Wall",
    "-Wextra",
    "-Werror",
    ...flags,
    "-o",
    "program",
    path,
  ],
  run: compiled,
});
/** Static: they run in the pod, too, whatever libraries it has. */
const talk = (name: string): Recipe => ({
  ...c("cc", `talk/${name}.c`, "-static", "-pthread"),
  sources: [`talk/${name}.c`, "talk/talk.h"],
});
const go = (source: string): Recipe => ({
  sources: [source],
  compile: ([path = ""]) => ["go", "build", "-o", "program", path],
  run: compiled,
});
const node = (source: string): Recipe => ({
  sources: [source],
  run: (_, path) => [process.execPath, path],
});
const python = (source: string): Recipe => ({
  sources: [source],
  run: (_, path) => ["python3", path],
});

const RECIPES = {
  "c-client": c("cc", "client.c"),
  "c-udp": c("cc", "udp.c"),
  "go-udp": go("udp.go"),
  "node-udp": node("udp.mjs"),
  "python-udp": python("udp.py"),
  "go-http2": go("http2.go"),
  "go-grpc": {
    sources: ["grpc/main.go", "grpc/observe.go", "grpc/go.mod", "grpc/go.sum"],
    // A module of its own, because it has dependencies.
    compile: ([path = ""], into) => [
      ...["go", "build", "-C", dirname(path), "-buildvcs=false"],
      ...["-o", join(into, "program"), "."],
    ],
    run: compiled,
  },
  "c-facts": c("musl-gcc", "facts.c", "-static"),
  "node-facts": node("facts.mjs"),
  "python-facts": python("facts.py"),
  "c-nonblock50": c("cc", "nonblock50.c"),
  "node-nonblock50": node("nonblock50.mjs"),
  "c-interrupted": c("cc", "interrupted.c", "-static"),
  "talk-peer": talk("peer"),
  "talk-out": talk("out"),
  "talk-errors": talk("err"),
  "talk-unix": talk("unix"),
  "talk-servers": talk("in"),
  "talk-alone": talk("alone"),
  "talk-numbers": talk("numbers"),
} as const satisfies Readonly<Record<string, Recipe>>;

export type WitnessName = keyof typeof RECIPES;
export const witnessNames = Object.keys(RECIPES) as readonly WitnessName[];

const building = new Map<WitnessName, Promise<Built>>();

/**
 * @throws where the compiler is there and refuses the source
 */
export function buildWitness(name: WitnessName): Promise<Built> {
  const recipe: Recipe = RECIPES[name];
  const known =
    building.get(name) ?? buildProgram({ ...recipe, sources: recipe.sources.map(here) });
  building.set(name, known);
  return known;
}

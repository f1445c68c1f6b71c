/**
 * A build tool whose daemon runs the program: one of the session's own, which is in the pod's place and is left when the
 * session ends, and one from before, which is not. inpod says so of both.
 */
import { writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { Run } from "../../packages/cli/test/exec-support.ts";
import { beside, fromSystem } from "../install.ts";
import { compiledBy, type Group, quoted, row } from "../row.ts";
import type { Place } from "../session.ts";
import { javaRecipe } from "./java.ts";

/** It starts a JVM for itself and one for its daemon. */
const GRADLE_TIMEOUT_MS = 150_000;

const build = (argv: readonly string[]): string => `
task look { doLast { println "host " + "uname -n".execute().text.trim() } }
task serve(type: Exec) { commandLine ${argv.map((word) => `'${word}'`).join(", ")} }
`;

/** Daemons are found by their home. */
const inHome = (home: string, ...words: readonly string[]): readonly string[] => [
  ...["env", `GRADLE_USER_HOME=${home}`, "gradle", "--offline", "--quiet", ...words],
];

/** Outside of the session. */
async function gradle(place: Place, home: string, word: string): Promise<void> {
  const child = place.sandbox.inLaptop(inHome(join(place.folder, home), word), {
    cwd: place.folder,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const { code, stdout, stderr } = await new Run(child, GRADLE_TIMEOUT_MS).ended;
  if (code !== 0) throw new Error(`gradle ${word} ended with ${code}: ${stdout}${stderr}`);
}

function mustSay({ said }: Place, what: RegExp): void {
  if (!what.test(said())) throw new Error(`inpod does not say ${what.source}`);
}

const served = row({
  name: "Java, run by Gradle's daemon",
  tool: () =>
    beside(
      fromSystem(["gradle"], ["gradle"]),
      compiledBy(["java", "-version"], javaRecipe("blocking")),
    ),
  program: () => ({
    start: async (place) => {
      const { folder, port } = place;
      const program = await compiledBy(["java", "-version"], javaRecipe("blocking"));
      if (program.kind === "missing") throw new Error(program.why);
      await writeFile(join(folder, "settings.gradle"), "");
      await writeFile(join(folder, "build.gradle"), build([...program.argv, String(port)]));
      await gradle(place, "before", "look");
      const look = quoted(inHome(join(folder, "before"), "look"));
      return `${look}\nexec ${quoted(inHome(join(folder, "within"), "serve"))}`;
    },
    listensWhenAsked: true,
    ask: async (place) => {
      await place.writes(`host ${hostname()}\n`);
      mustSay(place, /the Gradle daemon runs already \(process \d+\), .* outside of inpod/);
      await place.listens();
      return place.askServer();
    },
    afterwards: async (place) => {
      await Promise.all(["before", "within"].map((home) => gradle(place, home, "--stop")));
      mustSay(place, /left running: the Gradle daemon, java/);
    },
  }),
});

export const gradleGroup: Group = { rows: [served] };

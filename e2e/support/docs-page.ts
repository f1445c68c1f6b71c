/** The commands of a page of docs/, as they stand there: each section's one after the other, against a cluster. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type Running, startInpod } from "./inpod.ts";

export interface PageOptions {
  readonly env: Record<string, string>;
  readonly cwd: string;
  /** What stands for a word of the page: a namespace's name. */
  readonly instead?: Readonly<Record<string, string>>;
}

/** What ends by itself; everything else lasts until it is ended. */
const ENDS =
  /^(birdseye|clean|list|ls|status|leave|verify|verify-config|doctor|quit|detach|recover)$/;
/** What ends the session before it, and has ended it when it is done itself. */
const LEAVES = /^(leave|quit|detach)$/;
const STANDS = /until Ctrl-C|(requests|connections) to port 3000 of the target now arrive/;

/** One test for each section that has commands. `page`: in docs/ */
export function testPage(page: string, { env, cwd, instead = {} }: PageOptions): void {
  for (const { name, commands } of sectionsOf(page))
    if (commands.length > 0)
      test(`docs/${page}: ${name}`, async (t) => {
        let session: Running | undefined;
        /** It must have lasted until now. */
        const end = async (): Promise<void> => {
          const ended = session;
          session = undefined;
          if (ended === undefined) return;
          const isEarly = ended.hasExited();
          ended.interrupt();
          const { code, signal, stderr } = await ended.done;
          assert.ok(!isEarly, `it ended by itself, with ${code ?? signal}: ${stderr}`);
        };
        t.after(end);
        for (const typed of commands) {
          const words = typed.map((word) => instead[word] ?? word);
          const [command = ""] = words;
          const isLasting = !ENDS.test(command) && words.at(-1) !== "bash" && command !== "connect";
          if (isLasting) await end();
          const running = startInpod(words, { env, cwd });
          if (isLasting) {
            session = running;
            await running.says(STANDS);
            continue;
          }
          const { code, stderr } = await running.done;
          assert.equal(code, 0, `inpod ${words.join(" ")}: ${stderr}`);
          if (!LEAVES.test(command)) continue;
          await session?.done;
          session = undefined;
        }
        await end();
      });
}

/** By the headings of the page; what stands above the first is named by its title. */
const sectionsOf = (page: string) =>
  readFileSync(new URL(`../../docs/${page}`, import.meta.url), "utf8")
    .split(/^##? /m)
    .map((section) => ({
      name: section.split("\n")[0] ?? "",
      commands: [...section.matchAll(/^ {4}inpod (.*)$/gm)].map(([, words = ""]) =>
        words.replace(/ {2,}#.*$/, "").split(" "),
      ),
    }));

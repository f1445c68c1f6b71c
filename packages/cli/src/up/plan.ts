/** The parts of the file that are wanted, each with words that its command understands. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { nearest, UserError } from "@inpod/protocol";
import type { Arguments } from "../arguments.ts";
import { Mistake, type Part, partsOf, type Said, unknownService } from "./parts.ts";
import { invalid, type ReadUp } from "./read.ts";

export interface Planned extends Part {
  /** Of a session. */
  readonly parsed: Arguments | undefined;
}

/** @param folder of the file: paths in it begin there. @throws UserError CONFIG_INVALID with every mistake, USAGE_INVALID */
export function plan(
  { path, file, key, placeOf }: ReadUp,
  wanted: readonly string[],
  said: Omit<Said, "key">,
  folder: string,
  parse: (argv: readonly string[]) => Arguments,
): Planned[] {
  const known = Object.keys(file.services);
  for (const name of wanted)
    if (!known.includes(name)) throw unknownService(name, nearest(name, known));
  const common = file.common ?? {};
  const problems: string[] = [];
  const inFolder = (each: string | undefined): string | undefined =>
    each === undefined ? undefined : resolve(folder, each);
  const parts = known
    .filter((name) => wanted.length === 0 || wanted.includes(name))
    .flatMap((name): Planned[] => {
      const service = file.services[name] ?? {};
      const at = (...keys: string[]): string => placeOf(["services", name, ...keys]);
      try {
        const config = inFolder(service.config ?? common.config);
        const context = { ...said, key, name, common, at: (each: string) => at(each) };
        return partsOf({ ...service, config }, context).map((part) => ({
          ...part,
          directory: resolve(folder, part.directory ?? "."),
          parsed: part.kind === "session" ? parse(part.words) : undefined,
        }));
      } catch (error) {
        if (error instanceof Mistake) problems.push(error.message);
        else if (error instanceof UserError)
          problems.push(`${at()}: "services.${name}": ${error.message}`);
        else throw error;
        return [];
      }
    });
  if (problems.length > 0) throw invalid(path, problems);
  return parts;
}

/** A program's working directory has to be there. @throws UserError CONFIG_INVALID with every mistake */
export function checkFolders(parts: readonly Planned[], { path, placeOf }: ReadUp): void {
  const problems = parts
    .filter(({ directory = "." }) => !isFolder(directory))
    .map(
      ({ service, directory }) =>
        `${placeOf(["services", service, "directory"])}: "services.${service}.directory": there is no directory ${directory}`,
    );
  if (problems.length > 0) throw invalid(path, [...new Set(problems)]);
}

const isFolder = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

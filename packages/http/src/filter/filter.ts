/** A filter that is ready to be asked. */
import { parseJq } from "./jq.ts";
import { parseJsonPath } from "./json-path.ts";
import { compileRegex } from "./regex.ts";
import type { FilterSpec } from "./spec.ts";
import type { Subject } from "./subject.ts";
import { compileText, plainLiteral } from "./text-pattern.ts";

/** `needs-body`: the head leaves it open. */
export type Answer = boolean | "needs-body";

export interface Filter {
  readonly spec: FilterSpec;
  /** By the head. */
  matches(subject: Subject): Answer;
  /** By all of it; a body that is too long, or no JSON, matches nothing. */
  matchesWithBody(subject: Subject): boolean;
}

/** @param withBody the body is in the subject, or there is none that could be looked at */
type Test = (subject: Subject, withBody: boolean) => Answer;

/** @param spec of parseFilter: nothing in it fails to compile */
export function compileFilter(spec: FilterSpec): Filter {
  const test = compile(spec);
  return {
    spec,
    matches: (subject) => test(subject, false),
    matchesWithBody: (subject) => test(subject, true) === true,
  };
}

function compile(spec: FilterSpec): Test {
  switch (spec.kind) {
    case "header": {
      const value = compileText(spec.value);
      return (subject) => subject.values(spec.name).some(value);
    }
    case "header-line": {
      const regex = compileRegex(spec.regex, true);
      const { name } = spec;
      // Most that are not anchored are plain words: asked once, not for each header.
      const plain = plainLiteral(spec.regex)?.toLowerCase();
      if (plain !== undefined && !plain.includes("\n")) {
        return (subject) => subject.foldedLines.includes(plain);
      }
      if (name === undefined) return (subject) => subject.lines.some((line) => regex.test(line));
      return (subject) => subject.values(name).some((value) => regex.test(`${name}: ${value}`));
    }
    case "header-jq": {
      const program = parseJq(spec.program);
      return (subject) => subject.lines.some(program);
    }
    case "path": {
      const value = compileText(spec.value);
      return (subject) => subject.paths.some(value);
    }
    case "method": {
      const value = compileText(spec.value);
      return (subject) => value(subject.method);
    }
    case "body": {
      const query = parseJsonPath(spec.query);
      const value = compileText(spec.value);
      return ({ json }, withBody) => {
        if (!withBody) return "needs-body";
        return json !== undefined && query(json.value).some((found) => value(textOf(found)));
      };
    }
    case "all":
      return joined(spec.of.map(compile), false, false);
    case "any":
      return joined(spec.of.map(compile), true, true);
    default:
      return joined(spec.of.map(compile), true, false);
  }
}

/** The first that answers `decides` makes the answer `then`; if none can, it is the contrary. */
const joined =
  (tests: readonly Test[], decides: boolean, then: boolean): Test =>
  (subject, withBody) => {
    let isOpen = false;
    for (const test of tests) {
      const answer = test(subject, withBody);
      if (answer === decides) return then;
      isOpen ||= answer === "needs-body";
    }
    return isOpen ? "needs-body" : !then;
  };

const textOf = (value: unknown): string =>
  typeof value === "string" ? value : JSON.stringify(value);

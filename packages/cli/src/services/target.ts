/** The target of a service mode: a Service, if it is a bare name. Pure. */
import { kindOf, parseTarget, type TargetPath } from "@inpod/targets/path";
import { wantedTarget } from "../wanted-target.ts";

/** "web" is `service/web`, "svc/web" and "deploy/web" are what kubectl means by them; others as --target has them. */
export function fullTarget(text: string): string {
  if (!text.includes("/")) return text === "targetless" ? text : `service/${text}`;
  const [word = "", ...rest] = text.split("/");
  const kind = kindOf(word);
  return kind === undefined ? text : [kind, ...rest].join("/");
}

/**
 * @param operand of the command line; undefined: the configuration's target is meant
 * @throws UserError TARGET_MISSING with the question, TARGET_INVALID
 */
export const serviceTarget = (
  operand: string | undefined,
  configured: string | undefined,
  question: string,
): { readonly text: string; readonly path: TargetPath } => {
  const text = operand === undefined ? configured : fullTarget(operand);
  if (text === undefined) return { text: "", path: wantedTarget(undefined, question) };
  return { text, path: parseTarget(text) };
};

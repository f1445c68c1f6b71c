/** The target that a command cannot do without. */
import { UserError } from "@inpod/protocol";
import { parseTarget, TARGET_EXAMPLES, type TargetPath } from "@inpod/targets/path";

/** @throws UserError TARGET_MISSING with the question, TARGET_INVALID */
export function wantedTarget(text: string | undefined, question: string): TargetPath {
  if (text !== undefined) return parseTarget(text);
  throw new UserError("TARGET_MISSING", `no target: ${question}`, {
    hints: [
      ...TARGET_EXAMPLES,
      'or write it down once in .inpod/inpod.json: {"target": "pod/orders-7d4f"}',
    ],
  });
}

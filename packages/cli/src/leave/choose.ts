/** Which of the running sessions are meant. Pure. */
import { UserError } from "@inpod/protocol";
import { isMeant, type RunningSession } from "../running/entry.ts";

export interface Wish {
  readonly sessions: readonly string[];
  readonly isAll: boolean;
  readonly namespace: string | undefined;
  readonly context: string | undefined;
}

export interface Choice<Running> {
  readonly chosen: readonly Running[];
  /** Words that none of them is meant by. */
  readonly unknown: readonly string[];
}

/** @throws UserError LEAVE_WHICH where one has to be named */
export function choose<Running extends { readonly session: RunningSession }>(
  running: readonly Running[],
  { sessions, isAll, namespace, context }: Wish,
): Choice<Running> {
  const here = running.filter(
    ({ session }) =>
      (namespace === undefined || session.namespace === namespace) &&
      (context === undefined || session.context === context),
  );
  if (sessions.length > 0) {
    const meant = (word: string) => here.filter(({ session }) => isMeant(session, word));
    return {
      chosen: here.filter((each) => sessions.some((word) => meant(word).includes(each))),
      unknown: sessions.filter((word) => meant(word).length === 0),
    };
  }
  if (here.length > 1 && !isAll)
    throw new UserError("LEAVE_WHICH", `you have ${here.length} sessions here: which one?`, {
      hints: [
        ...here.map(({ session }) => `inpod leave ${session.sessionId}   # ${words(session)}`),
        "all of them: inpod leave --all",
      ],
    });
  return { chosen: here, unknown: [] };
}

export const words = ({ mode, target, pod, namespace }: RunningSession): string => {
  const found = target === pod ? "" : ` (${pod})`;
  return `${mode} ${target}${found}${namespace === undefined ? "" : ` in namespace "${namespace}"`}`;
};

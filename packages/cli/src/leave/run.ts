/** `inpod leave`: sessions of this user end, wherever their terminals are. */
import { UserError } from "@inpod/protocol";
import { type Io, printable } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { type Visit, visitAll } from "../running/visit.ts";
import type { LeaveArguments } from "./arguments.ts";
import { choose, words } from "./choose.ts";

/** For a program that ends in its own time, and for the agent's. The session itself has asked it twice by then. */
const END_MS = 20_000;

/** @throws UserError LEAVE_* */
export async function runLeave(args: LeaveArguments, io: Io): Promise<CommandResult> {
  const { visits, silent } = await visitAll(io.env);
  try {
    for (const pid of silent)
      io.stderr.write(
        `inpod: the session of process ${pid} does not answer: is it stopped? To continue it: kill -CONT ${pid}\n`,
      );
    const { namespace, context } = args.flags;
    const { chosen, unknown } = choose(visits, { ...args, namespace, context });
    const left = await Promise.all(chosen.map((visit) => leave(visit, io)));
    if (unknown.length > 0 || (chosen.length === 0 && args.isForced)) {
      const { leaveElsewhere } = await import("./elsewhere.ts");
      await leaveElsewhere(unknown, args, io, visits.length);
    } else if (chosen.length === 0) throw nothing(visits.length);
    return { code: left.every((hasEnded) => hasEnded) ? 0 : 1 };
  } finally {
    for (const visit of visits) visit.close();
  }
}

async function leave({ session, leave: ask }: Visit, { stderr }: Io): Promise<boolean> {
  const what = printable(`session ${session.sessionId}: ${words(session)}`);
  const hasEnded = await ask(END_MS);
  stderr.write(
    hasEnded
      ? `inpod: left ${what}\n`
      : `inpod: ${what} goes on: its program (below process ${session.pid}) does not end when it is asked to\n`,
  );
  return hasEnded;
}

const nothing = (others: number): UserError =>
  new UserError("LEAVE_NOTHING", "you have no session here to leave", {
    hints: [
      ...(others > 0 ? [`${others} in other namespaces or contexts: leave out -n`] : []),
      "who has sessions in the cluster: inpod status",
      "what ended sessions have left there: inpod clean",
    ],
  });

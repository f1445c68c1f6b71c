/** What commands share that look at copies of a target's traffic: nothing is taken, and the target's policy may forbid it. */
import { UserError } from "@inpod/protocol";
import { whyNoMirror } from "../exec/permission.ts";
import type { CommandResult } from "../result.ts";
import { withoutFilter } from "./incoming.ts";
import { type Mark, withMark } from "./mark.ts";
import { runService, type Service, type ServiceWish } from "./with-service.ts";

type CopiesWish = Pick<ServiceWish, "io" | "question" | "does" | "detail"> & {
  readonly args: ServiceWish["args"] & {
    readonly target: string | undefined;
    /** Undefined: all of it. */
    readonly mark: Mark | undefined;
  };
};

/** @throws UserError */
export function runCopies(wish: CopiesWish, service: Service): Promise<CommandResult> {
  const { target, mark } = wish.args;
  return runService(
    {
      ...{ ...wish, target, steals: false, needsTraffic: true },
      adjust: (config) => (mark === undefined ? withoutFilter(config) : withMark(config, mark)),
    },
    (found) => {
      const why = whyNoMirror(found.target.policy);
      if (why !== undefined) throw new UserError("POLICY_NO_MIRROR", why);
      return service(found);
    },
  );
}

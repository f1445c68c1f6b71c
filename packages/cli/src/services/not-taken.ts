/** A port of the target that the agent does not take, or copy. */
import { UserError } from "@inpod/protocol";
import type { TunnelFailure } from "@inpod/session";

/** @param name of the port for people: `UDP port 53 (dns) of service/dns` */
export function notTaken(name: string, way: "steal" | "mirror", cause: TunnelFailure): UserError {
  const what = `${name} cannot be ${way === "steal" ? "taken" : "mirrored"}`;
  switch (cause.errno) {
    case "EADDRINUSE":
      return new UserError("TARGET_PORT_HELD", what, {
        cause,
        hints: [
          "who has what: inpod status",
          "several developers share a Service, each with a mark of their own: inpod mesh",
        ],
      });
    case "EOPNOTSUPP":
      return new UserError("TARGET_PORT_NOT_TAKEN", what, {
        cause,
        hints: [
          "its image is of an older inpod than this one: leave out --agent-image (agent.image), or name one as new",
          "which one it is: inpod doctor",
        ],
      });
    default:
      return new UserError("TARGET_PORT_NOT_TAKEN", what, {
        cause,
        hints: ["what an agent may do there: inpod doctor"],
      });
  }
}

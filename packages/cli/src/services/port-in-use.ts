/** A port of this machine that cannot be listened on. */
import { UserError } from "@inpod/protocol";

const FIRST_UNPRIVILEGED = 1024;

export function portInUse(
  address = "127.0.0.1",
  port: number,
  protocol: "tcp" | "udp",
  error: unknown,
): unknown {
  const { code } = error as NodeJS.ErrnoException;
  const name = `${protocol === "udp" ? "UDP port" : "port"} ${port}`;
  if (code === "EADDRINUSE")
    return new UserError("MACHINE_PORT_IN_USE", `${name} of this machine is in use`, {
      hints: ["choose another one, or 0 for any that is free"],
    });
  if (code === "EACCES" && port < FIRST_UNPRIVILEGED)
    return new UserError(
      "MACHINE_PORT_REFUSED",
      `${name} of this machine is for privileged users`,
      {
        hints: [`choose a number from ${FIRST_UNPRIVILEGED} on`],
      },
    );
  if (code === "EADDRNOTAVAIL")
    return new UserError("MACHINE_PORT_REFUSED", `this machine has no address ${address}`, {
      hints: ["without an address it is the loopback of this machine"],
    });
  if (code === undefined) return error;
  return new UserError("MACHINE_PORT_REFUSED", `cannot listen on ${name} of ${address}`, {
    cause: error,
  });
}

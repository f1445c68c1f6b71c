import { doctorExitCodeHelp } from "./exit-code.ts";

/** One paragraph: it is wrapped to the terminal's width. */
export const DOCTOR_WHAT =
  "Finds out what would keep a session from working, and says of each what it is, why it matters and what to type. " +
  "It looks at this machine, the cluster, your rights, and with -t at a target and its node; with a command, at the program. " +
  "Nothing is changed: objects are read, rights are asked about, and whether an agent would be let in is asked by a dry run.";

export const DOCTOR_EXAMPLES = `
Examples:
  Look at everything that a session on a pod would meet, the program included:
    inpod doctor -t pod/orders-7d4f -n shop -- node server.js

  Only this machine and the cluster, or only this machine:
    inpod doctor
    inpod doctor --machine

  The smallest Role for such a session, for somebody who may give it:
    inpod doctor -t pod/orders-7d4f -n shop --print-role

  A wall behind the annotations inpod.dev/policy=no-steal and no-mirror, for an admin to apply:
    inpod doctor --print-policy

Exit code, by the first group with a problem:
${doctorExitCodeHelp()}`;

/** One paragraph: it is wrapped to the terminal's width. */
export const LEAVE_WHAT =
  "Ends sessions of yours that run in other terminals of this machine, as SIGTERM to their program would: what they have in the cluster is removed before this command returns. " +
  "Without a name it ends the only one. " +
  "A session of yours on another machine is named with its machine; with --force it is asked to end through its agent, which takes the right to patch the agent's pod.";

export const LEAVE_EXAMPLES = `
A session is named by its id, its target, or its target's name: inpod status and inpod leave print them.

Examples:
  inpod leave
  inpod leave orders
  inpod leave service/orders -n shop
  inpod leave --all

Exit code: 0 all of them have ended; 1 there is none, or one has not ended.`;

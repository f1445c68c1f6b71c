/** One decision of the agent. Fields hold names, numbers and reasons; never a body or a variable's value. */
export type Log = (
  event: string,
  fields?: Readonly<Record<string, string | number | boolean>>,
) => void;

/** JSON lines on stderr, which is what `kubectl logs` shows. */
export const logToStderr: Log = (event, fields = {}) => {
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), event, ...fields })}\n`);
};

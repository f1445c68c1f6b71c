/**
 * Every contract that crosses a process border. Imports nothing; does no input or output,
 * owns no timer, clock or socket.
 */
export const PROTOCOL_VERSION = 1;

export type * from "./messages.ts";
export { UserError } from "./user-error.ts";

/** The tunnel between a session and its agent. */
export type * from "./api.ts";

/**
 * Whose everything is, decided without a tapped process: for who explains it. Pure but for `gatherFacts`, and nothing
 * native is loaded.
 */
export { isLoopback, parseAddress } from "./addresses.ts";
export type { SkipDecision } from "./build-tools.ts";
export { debuggerPorts } from "./debugger-ports.ts";
export { gatherFacts, thisMachine } from "./facts.ts";
export type { OutgoingDecision } from "./outgoing.ts";
export { compileOutgoing } from "./outgoing.ts";
export type { PathFacts } from "./path-rules.ts";
export { compilePathRules } from "./path-rules.ts";
export type { PathDecision, PathOperation } from "./paths.ts";
export { compilePolicy, type Policy } from "./policy.ts";
export { type BindDecision, decideBind } from "./ports.ts";

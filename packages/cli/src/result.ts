/** How a command ends: with its exit code, or as a signal ended the user's program. */
export type CommandResult = { readonly code: number } | { readonly signal: NodeJS.Signals };

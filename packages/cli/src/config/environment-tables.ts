/** What docs/environment.md says of the lists in code: which variables stay away, which credentials are hidden. Pure. */
import {
  CREDENTIAL_KINDS,
  CREDENTIALS,
  EXCLUDED_BY_INPOD,
  EXCLUDED_BY_MIRRORD,
} from "@inpod/session";
import { between } from "./generated.ts";

const code = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(" ");

const excluded = (): string =>
  [
    `As with mirrord: ${code(EXCLUDED_BY_MIRRORD)}`,
    `And with inpod: ${code(EXCLUDED_BY_INPOD)}`,
  ].join("\n\n");

const credentials = (): string =>
  CREDENTIAL_KINDS.map((kind) => {
    const { what, variables, except = [], belowHome } = CREDENTIALS[kind];
    const files = belowHome.map((path) => `~/${path}`);
    const but = except.length === 0 ? "" : ` but not ${code(except)}`;
    return `- \`${kind}\` (${what}): ${code(variables)}${but}; ${code(files)}`;
  }).join("\n");

/** @throws Error when the marks between which they stand are missing */
export const withEnvironmentTables = (document: string): string =>
  between(between(document, "excluded variables", excluded()), "credentials", credentials());

/** The developer's credentials: what of them the program may use, and what is said of the others. */
import type { LayerConfig, Notice } from "@inpod/layer";
import { CREDENTIAL_KINDS, CREDENTIALS, type CredentialKind } from "@inpod/session";

/** Names in the line. */
const MAX_NAMES = 8;

const asRegex = (path: string): string => `^${path.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}(/|$)`;

/** @param home of the developer; undefined: there are no files of his */
export function withCredentialFiles(
  config: LayerConfig,
  kept: readonly CredentialKind[],
  home: string | undefined,
): LayerConfig {
  const paths = home === undefined ? [] : kept.flatMap((kind) => CREDENTIALS[kind].belowHome);
  if (paths.length === 0 || config.files.mode === "local") return config;
  const localCredentials = paths.map((path) => asRegex(`${home}/${path}`));
  return { ...config, files: { ...config.files, localCredentials } };
}

/** Of files only what is there is worth a word. */
export function hiddenFiles(
  { files }: LayerConfig,
  kept: readonly CredentialKind[],
  home: string | undefined,
  exists: (path: string) => boolean,
): string[] {
  if (home === undefined || files.mode === "local") return [];
  return CREDENTIAL_KINDS.filter((kind) => !kept.includes(kind))
    .flatMap((kind) => CREDENTIALS[kind].belowHome)
    .filter((path) => exists(`${home}/${path}`))
    .map((path) => `~/${path}`);
}

/** One line for everything; undefined: nothing was hidden. */
export function credentialsNotice(
  variables: readonly string[],
  files: readonly string[],
): Notice | undefined {
  const all = [...variables, ...files];
  if (all.length === 0) return undefined;
  const more = all.length - MAX_NAMES;
  const names = all.slice(0, MAX_NAMES).join(", ") + (more > 0 ? ` and ${more} more` : "");
  return {
    key: "credentials",
    text: `your own credentials are hidden from the program, which acts as the pod: ${names} (to let it use them: feature.local_credentials)`,
  };
}

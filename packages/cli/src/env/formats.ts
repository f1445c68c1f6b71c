/** Variables as text that something else reads again: shells, dotenv libraries, container engines, JSON. Pure. */
import type { ByteString } from "@inpod/protocol";

/**
 * Who has given a variable its value; `spec`: the pod's spec, where its process shows none; `local`: the developer;
 * `session`: one that is kept open, by which programs come into it.
 */
export type Origin = "session" | "pod" | "spec" | "env_file" | "mapping" | "override" | "local";

/** Name and value are bytes. The value is secret: it goes nowhere but to stdout, and only when it is asked for. */
export interface Variable {
  readonly name: ByteString;
  readonly value: ByteString;
  readonly from: Origin;
}

export type Line = { readonly text: ByteString } | { readonly why: string };

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * Names that a shell keeps for itself. Some cannot be set, and where that is tried sh ends the script; by others an
 * interactive shell would work differently afterwards (TMOUT logs its user out, path is zsh's PATH).
 */
const SHELL_OWN = new Set(
  [
    "BASH BASHOPTS BASHPID BASH_ENV DIRSTACK EUID FUNCNAME GROUPS HISTCMD LINENO OPTARG OPTERR OPTIND PIPESTATUS",
    "PPID RANDOM SECONDS SHELLOPTS SHLVL UID IFS TMOUT PROMPT_COMMAND PS0 PS1 PS2 PS3 PS4 HISTFILE HISTSIZE",
    "ARGC EGID ERRNO GID USERNAME TTYIDLE RPS1 RPS2 PROMPT PROMPT2 RPROMPT SPROMPT WORDCHARS ZDOTDIR",
    "argv aliases cdpath commands fignore fpath functions galiases history histchars jobstates mailpath manpath",
    "module_path modules nameddirs options parameters path pipestatus prompt psvar saliases signals status termcap",
    "terminfo userdirs usergroups watch zsh_eval_context",
    "fish_pid hostname pid umask version CMD_DURATION FISH_VERSION _",
  ]
    .join(" ")
    .split(" "),
);
/** Of bash, all below these. */
const SHELL_OWN_PREFIX = /^(BASH_|COMP_|fish_|ZSH_)/;

/**
 * In sh, bash, zsh and fish alike. Between single quotes fish has escapes and the others have none, so that a
 * backslash stands outside of them.
 */
const quoted = (value: ByteString): ByteString =>
  `'${value.replace(/['\\]/g, (char) => `'\\${char}'`)}'`;

export function shellName(name: ByteString): string | undefined {
  if (!IDENTIFIER.test(name)) return "a shell cannot have it";
  if (SHELL_OWN.has(name) || SHELL_OWN_PREFIX.test(name)) return "it is the shell's own";
  return undefined;
}

export const shellLine = ({ name, value }: Variable, set: (name: string) => string): Line => {
  const why = shellName(name);
  return why === undefined ? { text: `${set(name)}${quoted(value)}` } : { why };
};

/** Bytes that are text, or not. */
export const isUtf8 = (bytes: ByteString): boolean => {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(bytes, "latin1"));
    return true;
  } catch {
    return false;
  }
};

const DOTENV_NAME = /^[A-Za-z_][A-Za-z0-9_.-]*$/;

/**
 * What every reader takes as it stands: between ' or ` nothing is special and lines may end, but a backslash before
 * the closing one is an escape to some; between " only \n and \r are understood by all.
 */
export function dotenvLine({ name, value }: Variable): Line {
  if (!DOTENV_NAME.test(name)) return { why: "the format has no such name" };
  if (!isUtf8(value)) return { why: "its value is not UTF-8" };
  if (/^[A-Za-z0-9_./:@%+,=-]*$/.test(value)) return { text: `${name}=${value}` };
  const isRaw = !value.includes("\r") && !value.endsWith("\\");
  if (isRaw && !value.includes("'")) return { text: `${name}='${value}'` };
  if (!/["\\]/.test(value)) {
    const escaped = value.replaceAll("\n", "\\n").replaceAll("\r", "\\r");
    return { text: `${name}="${escaped}"` };
  }
  if (isRaw && !value.includes("`")) return { text: `${name}=\`${value}\`` };
  return { why: "the format cannot quote its value" };
}

/** bufio.Scanner's line, which docker does not make larger; in bytes. */
const DOCKER_LINE = 64 * 1024 - 1;

/** https://docs.docker.com/reference/cli/docker/container/run/#env: no quotes, no escapes, one line each. */
export function dockerLine({ name, value }: Variable): Line {
  if (/[\s\u00a0\u0085]/.test(name) || name.startsWith("#") || !isUtf8(name))
    return { why: "the format has no such name" };
  if (value.includes("\n") || value.endsWith("\r"))
    return { why: "the format has no value of several lines" };
  if (!isUtf8(value)) return { why: "its value is not UTF-8" };
  const text = `${name}=${value}`;
  return text.length > DOCKER_LINE ? { why: "the format has no line of 64 KiB" } : { text };
}

/** What is text is a string, and what is not is its bytes in base64, under another key. */
const textOr64 = (key: string, bytes: ByteString): Record<string, string> =>
  isUtf8(bytes)
    ? { [key]: Buffer.from(bytes, "latin1").toString("utf8") }
    : { [`${key}Base64`]: Buffer.from(bytes, "latin1").toString("base64") };

export interface Document {
  readonly target: string;
  readonly areValuesShown: boolean;
  readonly variables: readonly Variable[];
  readonly removed: readonly { readonly name: ByteString; readonly why: string }[];
}

/** A value is either `value` or `valueBase64`; hidden ones have neither. */
export function json({ target, areValuesShown, variables, removed }: Document): ByteString {
  const text = JSON.stringify(
    {
      target,
      values: areValuesShown ? "shown" : "hidden",
      variables: variables.map(({ name, value, from }) => ({
        ...textOr64("name", name),
        from,
        ...(areValuesShown ? textOr64("value", value) : {}),
      })),
      removed: removed.map(({ name, why }) => ({ ...textOr64("name", name), why })),
    },
    null,
    2,
  );
  // JSON leaves these as they are, and a terminal may obey them.
  const escaped = text.replace(
    /[\u007f-\u009f]/g,
    (char) => `\\u00${char.charCodeAt(0).toString(16)}`,
  );
  return Buffer.from(`${escaped}\n`, "utf8").toString("latin1");
}

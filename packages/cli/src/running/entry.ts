/** What a session that runs says of itself to its user's other commands. */

export interface RunningSession {
  readonly pid: number;
  readonly sessionId: string;
  /** The command that it is: "exec", "exchange". */
  readonly mode: string;
  /** As its user named it: "service/web". */
  readonly target: string;
  /** What was found for it: "pod/web-7d4f/container/app". */
  readonly pod: string;
  /** Undefined: no cluster. */
  readonly namespace?: string | undefined;
  readonly context?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly sinceMs: number;
}

/** Undefined for what is none: another version's, or somebody else's file. */
export function parseEntry(line: string): RunningSession | undefined {
  let value: Record<string, unknown>;
  try {
    value = Object(JSON.parse(line)) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  const { pid, sessionId, mode, target, pod, namespace, context, sinceMs } = value;
  const isText = (each: unknown): each is string => typeof each === "string";
  const isMaybe = (each: unknown): each is string | undefined => each === undefined || isText(each);
  if (!Number.isSafeInteger(pid) || !Number.isSafeInteger(sinceMs)) return undefined;
  if (![sessionId, mode, target, pod].every(isText)) return undefined;
  if (!isMaybe(namespace) || !isMaybe(context)) return undefined;
  return { ...value, namespace, context } as unknown as RunningSession;
}

/**
 * Whether a person means this session by that word: its id, or the beginning of it; its target as it was named or found;
 * or just the name of that.
 */
export function isMeant(
  { sessionId, target, pod }: Pick<RunningSession, "sessionId" | "target" | "pod">,
  word: string,
): boolean {
  if (sessionId === word || (word.length >= 4 && sessionId.startsWith(word))) return true;
  const named = [target, pod].map((each) => each.replace(/\/container\/.*$/, ""));
  const wanted = word.replace(/\/container\/.*$/, "");
  return named.some((each) => each === wanted || each.slice(each.indexOf("/") + 1) === wanted);
}

/** Why an agent's container ended, from its log. */
import type { ApiClient } from "../reach/api-client.ts";

const MAX_LINES = 8;

/** Its last lines, or what inpod-enter reported as the error; undefined when there is no log to be had. */
export async function agentLastWords(
  api: ApiClient,
  { namespace, pod, container }: { namespace: string; pod: string; container: string },
): Promise<string | undefined> {
  try {
    const log = await api.requestText(
      { verb: "get", group: "", resource: "pods", subresource: "log", namespace, name: pod },
      { query: { container, tailLines: "20", limitBytes: "8192" } },
    );
    return lastWords(log);
  } catch {
    return undefined;
  }
}

/** Pure. Foreign text: nothing in it may move a terminal's cursor. */
export function lastWords(log: string): string | undefined {
  const lines = log.split("\n").filter((line) => line.trim() !== "");
  for (const line of lines.toReversed()) {
    const what = reportedError(line);
    if (what !== undefined) return printable(what);
  }
  const last = lines.slice(-MAX_LINES).map(printable).join("\n");
  return last === "" ? undefined : last;
}

/** `{"event":"error","what":"…"}` or `TIME ERROR … (ERRNO)`, as inpod-enter writes it. */
function reportedError(line: string): string | undefined {
  const plain = /^[\d:.TZ-]+ ERROR (.*) \([A-Z0-9]+\)$/.exec(line)?.[1];
  if (plain !== undefined) return plain;
  try {
    const { event, what } = JSON.parse(line) as { event?: unknown; what?: unknown };
    return event === "error" && typeof what === "string" ? what : undefined;
  } catch {
    return undefined;
  }
}

const printable = (text: string): string => text.replace(/\p{Cc}+/gu, " ").slice(0, 500);

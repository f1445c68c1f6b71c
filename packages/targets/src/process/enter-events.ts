/** What inpod-enter says on its stdout: one JSON object per line. Pure. */

export type EnterEvent =
  /** On 127.0.0.1 of the namespace that inpod-enter was started in; undefined: on the path that it was told. */
  | { readonly kind: "listening"; readonly port: number | undefined }
  /** Inside the target's namespaces. */
  | { readonly kind: "target" }
  /** Its main process has ended; nothing that inpod-enter was told can bring another. */
  | { readonly kind: "target-gone" }
  | { readonly kind: "error"; readonly errno: string; readonly what: string }
  | { readonly kind: "ended"; readonly why: string };

/** Bytes; inpod-enter's longest is 1200. */
const MAX_LINE = 4096;

export class EnterEventReader {
  #rest = "";

  /** Lines that are no event are left out: a newer inpod-enter may say more. @throws Error beyond a line's limit */
  push(text: string): EnterEvent[] {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > MAX_LINE) throw new Error("inpod-enter wrote a line without end");
    return lines.flatMap((line) => parseEvent(line) ?? []);
  }
}

function parseEvent(line: string): EnterEvent | undefined {
  let value: Record<string, unknown>;
  try {
    value = Object(JSON.parse(line));
  } catch {
    return undefined;
  }
  const { event, port, errno, what, why } = value;
  if (event === "listening" && Number.isInteger(port) && Number(port) > 0 && Number(port) < 65536)
    return { kind: "listening", port: Number(port) };
  if (event === "listening" && port === null) return { kind: "listening", port: undefined };
  if (event === "target" || event === "target-gone") return { kind: event };
  if (event === "error" && typeof errno === "string" && typeof what === "string")
    return { kind: "error", errno, what };
  if (event === "ended" && typeof why === "string") return { kind: "ended", why };
  return undefined;
}

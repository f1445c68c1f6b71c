/** What was seen, for programs: an object a line. Pure. */
import type { Seen } from "@inpod/ports";
import {
  bytesOf,
  codingOf,
  endpoint,
  headersOf,
  type SeenRequest,
  type Shown,
  targetOf,
  textOf,
  versionOf,
} from "./shape.ts";

export function asJson(seen: Seen, shown: Shown): string {
  const { number, protocol, client, local } = seen.connection;
  const where = {
    time: seen.time.toISOString(),
    connection: number,
    ...{ protocol, client: endpoint(client), local: endpoint(local) },
  };
  return `${unsteering(JSON.stringify({ kind: seen.kind, ...where, ...content(seen, shown) }))}\n`;
}

/** JSON's own escapes leave DEL and C1 out, and a terminal does not. */
export const unsteering = (json: string): string =>
  json.replace(/[\x7f-\x9f]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);

function content(seen: Seen, shown: Shown): object {
  switch (seen.kind) {
    case "request": {
      const { method, scheme } = seen.request;
      return {
        version: versionOf(seen),
        ...(seen.stream === undefined ? {} : { stream: seen.stream }),
        method,
        target: targetOf(seen),
        ...(scheme === undefined ? {} : { scheme }),
        headers: headersOf(seen.request.headers, shown),
        body: body(seen),
        trailers: headersOf(seen.trailers, shown),
        end: seen.end,
      };
    }
    case "bytes": {
      const { offset, length } = seen;
      const bytes = bytesOf(seen, shown);
      return {
        ...{ offset, size: length },
        ...(bytes === undefined
          ? { isHidden: true }
          : { base64: base64(bytes), isCut: bytes.length < length }),
      };
    }
    default:
      return { why: seen.why };
  }
}

/** `size`: of what has come when it was told. */
function body(seen: SeenRequest): object {
  const { bytes, length } = seen.body;
  const coding = codingOf(seen);
  const isCut = seen.end !== "whole" || bytes.length < length;
  const text = coding === undefined ? textOf(bytes, isCut) : undefined;
  return {
    ...{ size: length, isCut },
    ...(coding === undefined ? {} : { encoding: coding }),
    ...(text === undefined ? { base64: base64(bytes) } : { text }),
  };
}

export const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

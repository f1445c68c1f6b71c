/** How a dump is written: as text, lines of JSON, or an HTTP archive. Pure. */
import type { Seen } from "@inpod/ports";
import type { Format } from "./arguments.ts";
import { asEntry, HAR_BEGIN, HAR_BETWEEN, HAR_END } from "./har.ts";
import { asJson } from "./json.ts";
import type { Shown } from "./shape.ts";
import { asText } from "./text.ts";

export interface Form {
  readonly begin: string;
  readonly end: string;
  /** "": this kind of thing has no place in it. */
  next(seen: Seen): string;
}

export function formOf(format: Format, shown: Shown): Form {
  switch (format) {
    case "text":
      return { begin: "", end: "", next: (seen) => asText(seen, shown) };
    case "json":
      return { begin: "", end: "", next: (seen) => asJson(seen, shown) };
    default: {
      let isFirst = true;
      return {
        ...{ begin: HAR_BEGIN, end: HAR_END },
        next: (seen) => {
          if (seen.kind !== "request") return "";
          const between = isFirst ? "" : HAR_BETWEEN;
          isFirst = false;
          return between + asEntry(seen, shown);
        },
      };
    }
  }
}

/** A client's connection that begins with HTTP/2's preface: each stream is somebody's. */
import { Http2Splitter } from "@inpod/http";
import type { FilteredParts } from "../filtered.ts";
import type { Passage } from "../raw.ts";

/** @param opened to whom upstream 1 is open already */
export function http2Passage<D>(
  { routes, fieldOf }: Pick<FilteredParts<D>, "routes" | "fieldOf">,
  opened?: D,
): Passage<D> {
  return new Http2Splitter<D>({
    rest: () => routes().rest,
    route: (request) => routes().route(request),
    routeWithBody: (request, body) => routes().routeWithBody(request, body),
    fieldOf: (to) => fieldOf?.(to),
    now: () => performance.now(),
    ...(opened === undefined ? {} : { opened }),
  });
}

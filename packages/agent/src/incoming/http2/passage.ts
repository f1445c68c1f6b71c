/** A client's connection that begins with HTTP/2's preface: each stream is somebody's. */
import { Http2Splitter } from "@inpod/http";
import type { FilteredParts } from "../filtered.ts";
import type { Passage } from "../raw.ts";

/**
 * @param opened to whom upstream 1 is open already
 * @param rest who is asked first what the client may do; it waits for the answer
 */
export function http2Passage<D>(
  { routes, fieldOf }: Pick<FilteredParts<D>, "routes" | "fieldOf">,
  opened?: D,
  rest: () => D = () => routes().rest,
): Passage<D> {
  return new Http2Splitter<D>({
    rest,
    route: (request) => routes().route(request),
    routeWithBody: (request, body) => routes().routeWithBody(request, body),
    fieldOf: (to) => fieldOf?.(to),
    now: () => performance.now(),
    ...(opened === undefined ? {} : { opened }),
  });
}

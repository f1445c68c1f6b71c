/**
 * HTTP without sockets: what a client speaks, where its messages begin and end, which filter takes a request,
 * and which bytes go where. The package owns no socket, timer or clock, and never changes a byte that it was
 * given: parsers tell spans. Whatever two programs could read differently is *malformed*, with the reason, and
 * is for the pod as it came, never guessed.
 *
 * HTTP/2 is read at the edge, by node:http2.
 */
export { fromLatin1, latin1 } from "./bytes.ts";
export { type Detection, Detector, HTTP2_PREFACE } from "./detect.ts";
export { BodyReader, type OnPayload } from "./http1/body.ts";
export {
  type Body,
  hasToken,
  isPersistent,
  type Malformed,
  responseBody,
} from "./http1/framing.ts";
export {
  type Header,
  HeadScanner,
  MAX_HEAD,
  MAX_HEADERS,
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
} from "./http1/head.ts";
export { MAX_REQUEST_LINE } from "./http1/request-line.ts";
export type { Command, SplitterOptions } from "./http1/split-contract.ts";
export { Splitter } from "./http1/splitter.ts";

/**
 * HTTP without sockets: what a client speaks, where its messages begin and end, which filter takes a request,
 * and which bytes go where. The package owns no socket, timer or clock, and never changes a byte that it was
 * given: parsers tell spans. Whatever two programs could read differently is *malformed*, with the reason, and
 * is for the pod as it came, never guessed.
 *
 * - `Detector`: the protocol, by a connection's first bytes.
 * - `HelloReader`: whom a client of TLS means, and what it can speak inside.
 * - `Splitter`: one client's HTTP/1 connection, each request to its destination.
 * - `RequestCopier`: the same of copies, where only the client's bytes are seen and nobody is answered.
 * - `Http2Splitter`: the same of HTTP/2, each stream to its destination.
 * - `ConnectionReader`: what requests a client makes, for somebody who only looks on.
 * - *filter*: which requests somebody wants; `Routes`: who gets one if several want some. Both ask for a method,
 *   a target and headers only, of any version.
 *
 * Of HTTP/2 it is streams that are passed on, not bytes: HPACK has a state for the whole connection, so that its
 * frames cannot go untouched to several destinations. It is our own reading because node:http2 keeps neither the
 * order of header fields nor where a stream that is reset has ended, refuses streams in silence after its GOAWAY,
 * and costs four times as much.
 */
export { answeredBy } from "./answered-by.ts";
export { fromLatin1, latin1, Unread } from "./bytes.ts";
export { type Detection, Detector, startsAsHttp2Server } from "./detect.ts";
export { describeFilter } from "./filter/describe.ts";
export { type Answer, compileFilter, type Filter } from "./filter/filter.ts";
export { FilterError } from "./filter/filter-error.ts";
export { isConflict, type Relation, relate } from "./filter/judge.ts";
export { isKubeletRequest, type ProbeSpec, type RequestTest } from "./filter/probes.ts";
export { type Conflict, Routes, type Tally } from "./filter/routes.ts";
export {
  type FilterSpec,
  type HttpFilterSpec,
  parseFilter,
  parseHttpFilter,
  renderFilter,
} from "./filter/spec.ts";
export { type RequestFacts, requestOfHttp2, Subject } from "./filter/subject.ts";
export type { TextPattern } from "./filter/text-pattern.ts";
export { BodyReader, type OnPayload } from "./http1/body.ts";
export type { Field } from "./http1/edit-head.ts";
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
export { type CopierEvent, type CopierOptions, RequestCopier } from "./http1/request-copier.ts";
export { MAX_REQUEST_LINE } from "./http1/request-line.ts";
export type { Command, SplitterOptions } from "./http1/split-contract.ts";
export { Splitter } from "./http1/splitter.ts";
export { FrameCutter } from "./http2/frame-cutter.ts";
export { RequestFrames } from "./http2/request-frames.ts";
export { Http2Splitter, type Http2SplitterOptions } from "./http2/splitter.ts";
export { HTTP2_PREFACE } from "./preface.ts";
export { ConnectionReader } from "./reading/connection-reader.ts";
export type { ReadEvent, RequestEnd, SeenRequest } from "./reading/events.ts";
export { type ClientHello, HelloReader, type HelloReading } from "./tls/client-hello.ts";

/** Requests as entries of an HTTP archive, HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/). Pure. */
import { VERSION } from "../version.ts";
import { base64, unsteering } from "./json.ts";
import {
  codingOf,
  endpoint,
  headerOf,
  headersOf,
  type NameValue,
  type SeenRequest,
  type Shown,
  targetOf,
  textOf,
  versionOf,
} from "./shape.ts";

const COMMENT =
  "requests only, made by inpod dump of copies of what clients sent: nobody has seen the responses, which are empty here";

/** What comes before the first entry; entries are separated by HAR_BETWEEN. */
export const HAR_BEGIN = `{"log":${JSON.stringify({
  version: "1.2",
  creator: { name: "inpod", version: VERSION },
  comment: COMMENT,
}).slice(0, -1)},"entries":[\n`;
export const HAR_BETWEEN = ",\n";
export const HAR_END = "\n]}}\n";

const NO_RESPONSE = {
  ...{ status: 0, statusText: "", httpVersion: "", cookies: [], headers: [] },
  content: { size: 0, mimeType: "x-unknown" },
  ...{ redirectURL: "", headersSize: -1, bodySize: -1 },
  comment: "not seen: copies are of what clients send",
};

/** One line. */
export function asEntry(seen: SeenRequest, shown: Shown): string {
  const { connection, time } = seen;
  const headers = headersOf(seen.request.headers, shown);
  const url = urlOf(seen);
  const entry = {
    startedDateTime: time.toISOString(),
    time: 0,
    request: {
      method: seen.request.method,
      url,
      httpVersion: versionOf(seen),
      cookies: cookies(headers, shown),
      headers,
      queryString: queryOf(url),
      headersSize: -1,
      bodySize: seen.end === "whole" ? seen.body.length : -1,
      ...postData(seen),
    },
    response: NO_RESPONSE,
    cache: {},
    timings: { send: 0, wait: 0, receive: 0 },
    serverIPAddress: connection.local.address,
    connection: String(connection.number),
    comment: `from ${endpoint(connection.client)}`,
  };
  return unsteering(JSON.stringify(entry));
}

function urlOf(seen: SeenRequest): string {
  const target = targetOf(seen);
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(target)) return target;
  const host = headerOf(seen, "host") ?? endpoint(seen.connection.local);
  const origin = `${seen.request.scheme ?? "http"}://${host}`;
  return target.startsWith("/") ? origin + target : `${origin}/`;
}

function queryOf(url: string): NameValue[] {
  const query = /\?([^#]*)/.exec(url)?.[1] ?? "";
  return [...new URLSearchParams(query)].map(([name, value]) => ({ name, value }));
}

/** Their names and values are secrets together. */
const cookies = (headers: readonly NameValue[], { showSecrets }: Shown): NameValue[] =>
  !showSecrets
    ? []
    : headers
        .filter(({ name }) => name === "cookie")
        .flatMap(({ value }) => value.split(";"))
        .map((pair) => /^\s*([^=]*)=?(.*?)\s*$/s.exec(pair) ?? [])
        .map(([, name = "", value = ""]) => ({ name, value }));

function postData(seen: SeenRequest): object {
  const { bytes, length } = seen.body;
  if (length === 0) return {};
  const isCut = seen.end !== "whole" || bytes.length < length;
  const coding = codingOf(seen);
  const text = coding === undefined ? textOf(bytes, isCut) : undefined;
  const notes = [
    ...(text === undefined ? ["text is base64"] : []),
    ...(coding === undefined ? [] : [`coded as ${coding}`]),
    ...(isCut ? [`only the first ${bytes.length} bytes`] : []),
  ];
  return {
    postData: {
      mimeType: headerOf(seen, "content-type") ?? "",
      params: [],
      text: text ?? base64(bytes),
      // A field of our own, as the specification has them: it knows no encoding of what is sent.
      ...(text === undefined ? { _encoding: "base64" } : {}),
      ...(notes.length === 0 ? {} : { comment: notes.join("; ") }),
    },
  };
}

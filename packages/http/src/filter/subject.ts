/** What filters look at: one request, of any version of HTTP. Made once, however many filters ask. */
import type { Header } from "../http1/head.ts";

export interface RequestFacts {
  readonly method: string;
  /** HTTP/1's request target, HTTP/2's `:path`. */
  readonly target: string;
  /** Names in lower case. */
  readonly headers: readonly Header[];
  /**
   * The values of the headers with this name, for who can tell them without making all headers.
   *
   * @param name in lower case
   */
  valuesOf?(name: string): readonly string[];
}

/**
 * @param headers of an HTTP/2 request, as node:http2 gives them or as pairs, pseudo-headers included;
 *   `:authority` stands for Host
 */
export function requestOfHttp2(
  headers: Iterable<readonly [string, string | readonly string[] | undefined]>,
): RequestFacts {
  let method = "";
  let target = "";
  let authority: string | undefined;
  const regular: Header[] = [];
  for (const [name, values] of headers) {
    const all = values === undefined ? [] : typeof values === "string" ? [values] : values;
    if (name === ":method") method = all[0] ?? "";
    else if (name === ":path") target = all[0] ?? "";
    else if (name === ":authority") authority = all[0];
    else if (!name.startsWith(":")) {
      for (const value of all) regular.push({ name: name.toLowerCase(), value });
    }
  }
  if (authority !== undefined && !regular.some(({ name }) => name === "host")) {
    regular.unshift({ name: "host", value: authority });
  }
  return { method, target, headers: regular };
}

export class Subject {
  readonly method: string;
  readonly #target: string;
  /** Asked for its headers when a filter is: a request may make them only then. */
  readonly #request: RequestFacts;
  #paths: readonly string[] | undefined;
  #lines: readonly string[] | undefined;
  #foldedLines: string | undefined;
  /** What was asked last: the filters of several developers mostly ask for one header. */
  #name = "";
  #values: readonly string[] = [];
  readonly #body: Uint8Array | undefined;
  #json: { readonly value: unknown } | "none" | undefined;

  /** @param body without chunk sizes and compression; undefined: there is none to look at */
  constructor(request: RequestFacts, body?: Uint8Array) {
    this.method = request.method;
    this.#target = request.target;
    this.#request = request;
    this.#body = body;
  }

  /** The path, and the path with its query; nothing for CONNECT. */
  get paths(): readonly string[] {
    this.#paths ??= this.method === "CONNECT" ? [] : pathsOf(this.#target);
    return this.#paths;
  }

  /** `name: value`, the name in lower case. */
  get lines(): readonly string[] {
    this.#lines ??= this.#request.headers.map(({ name, value }) => `${name}: ${value}`);
    return this.#lines;
  }

  /** All of them in lower case, one below the other. */
  get foldedLines(): string {
    this.#foldedLines ??= this.lines.join("\n").toLowerCase();
    return this.#foldedLines;
  }

  /** @param name in lower case */
  values(name: string): readonly string[] {
    if (name !== this.#name) {
      this.#name = name;
      this.#values = this.#request.valuesOf?.(name) ?? valuesOf(this.#request.headers, name);
    }
    return this.#values;
  }

  /** @returns undefined: there is no body, or it is no JSON */
  get json(): { readonly value: unknown } | undefined {
    this.#json ??= parseJson(this.#body);
    return this.#json === "none" ? undefined : this.#json;
  }
}

const valuesOf = (headers: readonly Header[], wanted: string): readonly string[] =>
  headers.filter(({ name }) => name === wanted).map(({ value }) => value);

function pathsOf(target: string): string[] {
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?]*/i, "").replace(/^(?=\?|$)/, "/");
  const query = path.indexOf("?");
  return query === -1 ? [path] : [path.slice(0, query), path];
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function parseJson(body: Uint8Array | undefined): { readonly value: unknown } | "none" {
  if (body === undefined) return "none";
  try {
    return { value: JSON.parse(decoder.decode(body)) };
  } catch {
    return "none";
  }
}

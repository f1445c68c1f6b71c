import assert from "node:assert/strict";
import { test } from "node:test";
import {
  compileFilter,
  describeFilter,
  FilterError,
  fromLatin1,
  parseFilter,
  parseHttpFilter,
  type RequestFacts,
  renderFilter,
  requestOfHttp2,
  Subject,
} from "../src/index.ts";
import { Random } from "./support/random.ts";

function request(line: string, headers: Readonly<Record<string, string>> = {}): RequestFacts {
  const [method = "", target = ""] = line.split(" ");
  return {
    method,
    target,
    headers: Object.entries(headers).map(([name, value]) => ({ name, value })),
  };
}

const matches = (filter: unknown, facts: RequestFacts) =>
  compileFilter(parseFilter(filter)).matches(new Subject(facts));

const withBody = (filter: unknown, body: string | undefined, facts = request("POST /")) =>
  compileFilter(parseFilter(filter)).matchesWithBody(
    new Subject(facts, body === undefined ? undefined : new TextEncoder().encode(body)),
  );

const me = request("GET /api/v1?x=1", { host: "shop", "x-user": "me", cookie: "a=b" });

test("header_filter is held against `name: value` of each header, whatever the case", () => {
  for (const [source, expected] of [
    ["^x-user: me$", true],
    ["^X-USER: ME$", true],
    ["x-user", true],
    [": me", true],
    ["^x-user: m", true],
    ["^x-user:\\s+m.$", true],
    ["^x-(user|id): me$", true],
    ["^x-user: you|^cookie: a", true],
    ["^x-user: (you|me)$", true],
    ["(?i)^x-user: me$", true],
    ["^x-user: you$", false],
    ["^user: me$", false],
    ["^x-user: mee?e$", false],
    ["^x-user:me$", false],
    ["x-user: ME", true],
    ["shop\nx-user", false],
    ["e\\.", false],
    ["", true],
    ["^$", false],
  ] as const) {
    assert.equal(matches({ header_filter: source }, me), expected, source);
    assert.equal(matches({ any_of: [{ header: source }] }, me), expected, source);
  }
});

test("exact and prefix forms say what they say", () => {
  for (const [filter, expected] of [
    [{ header: { name: "X-User", exact: "me" } }, true],
    [{ header: { name: "X-User", exact: "Me" } }, false],
    [{ header: { name: "X-User", exact: "Me", ignore_case: true } }, true],
    [{ header: { name: "X-User", prefix: "m" } }, true],
    [{ header: { name: "X-User", matches: "^M" } }, true],
    [{ header: { name: "X-User" } }, true],
    [{ header: { name: "X-Other" } }, false],
    [{ header: { name: "X-User", exact: "m.*" } }, false],
    [{ path: { exact: "/api/v1" } }, true],
    [{ path: { exact: "/api/v1?x=1" } }, true],
    [{ path: { exact: "/api" } }, false],
    [{ path: { prefix: "/api/" } }, true],
    [{ path: { prefix: "/API/" } }, false],
    [{ method: { exact: "GET" } }, true],
  ] as const) {
    assert.equal(matches(filter, me), expected, JSON.stringify(filter));
  }
});

test("path_filter is held against the path, and against the path with its query", () => {
  for (const [source, target, expected] of [
    ["^/api/v1$", "/api/v1?x=1", true],
    ["x=1$", "/api/v1?x=1", true],
    ["^/API", "/api", true],
    ["^/$", "/?a", true],
    ["^/api", "http://shop/api", true],
    ["shop", "http://shop/api", false],
    ["^/$", "http://shop", true],
    ["^/$", "http://shop?a", true],
    ["^\\*$", "*", true],
    ["^/api", "/x/api", false],
  ] as const) {
    assert.equal(matches({ path_filter: source }, request(`GET ${target}`)), expected, target);
  }
  assert.equal(matches({ path_filter: "db" }, request("CONNECT db:1")), false);
});

test("method_filter is a method, or an expression for all of it", () => {
  for (const [source, method, expected] of [
    ["get", "GET", true],
    ["GET", "TARGET", false],
    ["GET|POST", "POST", true],
    ["GET|POST", "POSTS", false],
    ["P.*", "PUT", true],
    ["M-SEARCH", "M-SEARCH", true],
  ] as const) {
    assert.equal(matches({ method_filter: source }, request(`${method} /`)), expected, source);
  }
});

test("look-aheads work as mirrord's documentation uses them", () => {
  const probe = request("GET /health/live", { "user-agent": "kube-probe/1.35" });
  const curl = request("GET /api", { "user-agent": "curl/8" });
  for (const [filter, ofProbe, ofCurl] of [
    [{ header_filter: "^User-Agent: (?!kube-probe)" }, false, true],
    [{ path_filter: "^(?!/health/)" }, false, true],
    [{ path_filter: "^(?!/health)(?!/ready).*$" }, false, true],
    [{ path_filter: "^/(?=health|ready).+" }, true, false],
    [{ path_filter: "^/h[a-z](?!x)" }, true, false],
    [{ none_of: [{ path: { prefix: "/health/" } }, { path: "^/ready" }] }, false, true],
  ] as const) {
    assert.equal(matches(filter, probe), ofProbe, JSON.stringify(filter));
    assert.equal(matches(filter, curl), ofCurl, JSON.stringify(filter));
  }
});

test("all_of, any_of and none_of, inside each other", () => {
  const filter = {
    all_of: [
      { method: "GET" },
      { any_of: [{ path: "^/api" }, { header: "^x-all: 1" }] },
      { none_of: [{ header: "^x-user: you" }, { path: "^/api/v2" }] },
    ],
  };
  assert.equal(matches(filter, me), true);
  assert.equal(matches(filter, request("GET /x", { "x-all": "1" })), true);
  assert.equal(matches(filter, request("GET /x")), false);
  assert.equal(matches(filter, request("GET /api/v2")), false);
  assert.equal(matches(filter, request("POST /api")), false);
});

test("header_filter_jq is run for each header, and is a match if it says true", () => {
  const program = 'startswith("x-user: ") and (ltrimstr("x-user: ") | test("^M"; "i"))';
  assert.equal(matches({ header_filter_jq: program }, me), true);
  assert.equal(
    matches({ header_filter_jq: program }, request("GET /", { "x-user": "you" })),
    false,
  );
});

test("body_filter needs the body, where the head does not decide", () => {
  const body = { body: "json", query: "$.user.id", matches: "^me$" };
  assert.equal(matches({ body_filter: body }, me), "needs-body");
  assert.equal(matches({ all_of: [{ method: "POST" }, body] }, me), false);
  assert.equal(matches({ any_of: [{ method: "GET" }, body] }, me), true);
  assert.equal(matches({ none_of: [{ method: "GET" }, body] }, me), false);
  assert.equal(matches({ none_of: [{ method: "POST" }, body] }, me), "needs-body");
  assert.equal(withBody({ body_filter: body }, '{"user": {"id": "me"}}'), true);
  assert.equal(withBody({ all_of: [{ method: "POST" }, body] }, '{"user": {"id": "me"}}'), true);
  assert.equal(withBody({ body_filter: body }, '{"user": {"id": "you"}}'), false);
});

test("a body's value is the string itself, or the JSON text of anything else", () => {
  const filter = (matches: string) => ({ body_filter: { body: "json", query: "$.a", matches } });
  assert.equal(withBody(filter("^12$"), '{"a": 12}'), true);
  assert.equal(withBody(filter("^null$"), '{"a": null}'), true);
  assert.equal(withBody(filter('^\\["b"\\]$'), '{"a": ["b"]}'), true);
  assert.equal(withBody(filter("^caf\u00e9$"), '{"a": "caf\u00e9"}'), true);
  assert.equal(withBody(filter("^B$"), '{"a": "b"}'), false, "the case counts");
});

test("a body that is not there, is no JSON, or no UTF-8 matches nothing", () => {
  const filter = { body_filter: { body: "json", query: "$", matches: "" } };
  assert.equal(withBody(filter, "1"), true);
  for (const body of [undefined, "", "{", "a=b", "[".repeat(60_000)]) {
    assert.equal(withBody(filter, body), false);
  }
  const subject = new Subject(request("POST /"), fromLatin1('"caf\xe9"'));
  assert.equal(compileFilter(parseFilter(filter)).matchesWithBody(subject), false);
});

test("a request of HTTP/2 is asked in the same way", () => {
  const facts = requestOfHttp2(
    Object.entries({
      ":method": "POST",
      ":path": "/shop.Orders/Get?x",
      ":authority": "shop",
      ":scheme": "http",
      "x-user": "me",
      "set-cookie": ["a", "b"],
    }),
  );
  assert.equal(facts.headers.length, 4);
  for (const filter of [
    { header: "^host: shop$" },
    { header: "^x-user: me$" },
    { header: "^set-cookie: b" },
    { path: { exact: "/shop.Orders/Get" } },
    { method: "POST" },
  ]) {
    assert.equal(matches(filter, facts), true, JSON.stringify(filter));
  }
  assert.equal(matches({ header: ":path" }, facts), false);
});

for (const [what, filter, path] of [
  ["nothing", {}, ""],
  ["two at once", { header: "a", path: "b" }, ""],
  ["an unknown key", { heder: "a" }, "heder"],
  ["no string", { header: 1 }, "header"],
  ["no expression", { path_filter: "(" }, "path_filter"],
  ["an expression that is too long", { path: "a".repeat(1025) }, "path"],
  ["an expression that is too large", { path: "(a{1,50}){1,50}(b{1,50}){1,50}" }, "path"],
  ["a look-ahead elsewhere", { path: "a(?!b)" }, "path"],
  ["a back reference", { path: "(a)\\1" }, "path"],
  ["an empty list", { all_of: [] }, "all_of"],
  ["no list", { any_of: { path: "a" } }, "any_of"],
  [
    "a bad one inside",
    { all_of: [{ path: "a" }, { any_of: [{ path: "[" }] }] },
    "all_of[1].any_of[0].path",
  ],
  ["two forms", { header: { name: "a", exact: "b", prefix: "b" } }, "header"],
  ["no name", { header: { exact: "b" } }, "header.name"],
  ["a name with a colon", { header: { name: "a:", exact: "b" } }, "header.name"],
  ["no JSON", { body_filter: { body: "xml", query: "$", matches: "" } }, "body_filter.body"],
  ["no query", { body_filter: { body: "json", matches: "" } }, "body_filter.query"],
  ["a bad query", { body_filter: { body: "json", query: "a", matches: "" } }, "body_filter.query"],
  ["a bad program", { header_filter_jq: ".a | env" }, "header_filter_jq"],
] as const) {
  test(`refused, with its place: ${what}`, () => {
    assert.throws(
      () => parseFilter(filter),
      (error) => error instanceof FilterError && error.path === path,
    );
  });
}

test("filters that are too many or too deep are refused", () => {
  const many = { any_of: Array.from({ length: 64 }, () => ({ path: "a" })) };
  assert.throws(() => parseFilter(many), FilterError);
  let deep: unknown = { path: "a" };
  for (let i = 0; i < 8; i++) deep = { all_of: [deep] };
  assert.throws(() => parseFilter(deep), FilterError);
});

test("ports stand beside the filter", () => {
  assert.deepEqual(
    parseHttpFilter({ method_filter: "GET", ports: [80, 80, 8080] })?.ports,
    [80, 8080],
  );
  assert.equal(parseHttpFilter({ method_filter: "GET" })?.ports, undefined);
  assert.equal(parseHttpFilter({ ports: [80] }), undefined);
  assert.equal(parseHttpFilter({ header_filter: null }), undefined);
  for (const ports of [[], [0], [65536], ["80"], 80]) {
    assert.throws(() => parseHttpFilter({ method_filter: "GET", ports }), FilterError);
  }
});

test("each filter has its line for people, and is read again as it was", () => {
  for (const [filter, line] of [
    [{ header_filter: "^x-user: me$" }, "header x-user = me (any case)"],
    [{ header_filter: "^x-user: 12$" }, "header x-user = 12"],
    [{ header_filter: "^baggage: .*user=me" }, "header ~ ^baggage: .*user=me"],
    [{ header_filter: "user" }, "header ~ user"],
    [{ header: { name: "X-User" } }, "header x-user"],
    [{ header: { name: "X-User", prefix: "me" } }, "header x-user ^= me"],
    [{ header: { name: "X-User", matches: "a|b" } }, "header x-user ~ a|b"],
    [{ path_filter: "^/api/" }, "path ^= /api/ (any case)"],
    [{ path: { exact: "/api" } }, "path = /api"],
    [{ method_filter: "get" }, "method = GET"],
    [{ header_filter_jq: "true" }, "header jq true"],
    [{ body_filter: { body: "json", query: "$.a", exact: "b" } }, "body $.a = b"],
    [
      {
        all_of: [
          { method: "GET" },
          { any_of: [{ path: { exact: "/1" } }, { path: { exact: "/2" } }] },
        ],
      },
      "(method = GET and (path = /1 or path = /2))",
    ],
    [{ none_of: [{ path: { exact: "/1" } }] }, "not (path = /1)"],
    [{ header: { name: "a", exact: "\x1b[2J\u202e" } }, "header a = \\u{1b}[2J\\u{202e}"],
  ] as const) {
    const spec = parseFilter(filter);
    assert.equal(describeFilter(spec), line);
    assert.deepEqual(parseFilter(renderFilter(spec)), spec);
    assert.deepEqual(parseFilter(JSON.parse(JSON.stringify(renderFilter(spec)))), spec);
  }
  const long = {
    any_of: Array.from({ length: 20 }, (_, i) => ({ path: { exact: `/long/${i}` } })),
  };
  assert.equal(describeFilter(parseFilter(long)).length, 200);
});

test("whatever comes instead of a filter is refused as a filter, or is one that can be asked", () => {
  const random = new Random(41);
  const keys = [
    "header",
    "header_filter",
    "path",
    "method",
    "body",
    "header_jq",
    "all_of",
    "any_of",
  ];
  const words = [
    "none_of",
    "name",
    "exact",
    "prefix",
    "matches",
    "query",
    "json",
    "$.a",
    "^x: y",
    "(",
  ];
  const value = (depth: number): unknown => {
    const form = random.below(depth === 0 ? 4 : 7);
    if (form < 2)
      return random.pick([...words, ...keys, "", "^(?!a)b", "a{1000}", "$..*", ".", "[["]);
    if (form === 2) return random.pick([0, -1, 1e9, true, false, null, undefined]);
    if (form < 4) return {};
    const inner = () => value(depth - 1);
    if (form === 4) return Array.from({ length: random.below(3) }, inner);
    const pick = () => random.pick([...keys, ...words, "__proto__", "constructor", "ports"]);
    return Object.fromEntries(Array.from({ length: 1 + random.below(2) }, () => [pick(), inner()]));
  };
  let count = 0;
  for (let i = 0; i < 20_000; i++) {
    const given = value(4);
    try {
      const spec = parseFilter(given);
      const filter = compileFilter(spec);
      filter.matches(new Subject(me));
      filter.matchesWithBody(new Subject(me, fromLatin1('{"a": [1, {"b": "x"}]}')));
      assert.deepEqual(parseFilter(renderFilter(spec)), spec);
      describeFilter(spec);
      count += 1;
    } catch (error) {
      assert.ok(error instanceof FilterError, `${JSON.stringify(given)}: ${error}`);
    }
  }
  assert.ok(count > 100, `${count}`);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type CopierEvent,
  type CopierOptions,
  fromLatin1,
  latin1,
  RequestCopier,
  type RequestHead,
} from "../src/index.ts";

type Name = "ann" | "bob";

const user = ({ headers }: RequestHead): string =>
  headers.find(({ name }) => name === "x-user")?.value ?? "";
/** `X-User: ann`, `bob`, `both` or anybody; `body`: who is named in the body. */
const named = (text: string): Name[] =>
  text === "both" ? ["ann", "bob"] : text === "ann" || text === "bob" ? [text] : [];

const OPTIONS: CopierOptions<Name> = {
  wants: (request) => (user(request) === "body" ? "needs-body" : named(user(request))),
  wantsWithBody: (_, body) => named(body === undefined ? "" : latin1(body)),
};

interface Copies {
  ann: string;
  bob: string;
  stopped: string | undefined;
  inside: readonly Name[];
}

/** What each has in the end, after `text` in these pieces and, unless it stays open, its client's FIN. */
function copies(pieces: readonly string[], end = true, options = OPTIONS): Copies {
  const copier = new RequestCopier<Name>(options);
  const found: Copies = { ann: "", bob: "", stopped: undefined, inside: [] };
  const take = (events: readonly CopierEvent<Name>[]): void => {
    for (const event of events) {
      assert.equal(found.stopped, undefined, "nothing follows");
      if (event.kind === "stopped") {
        found.stopped = event.why;
        found.inside = event.inside;
      } else for (const to of event.to) found[to] += latin1(event.bytes);
    }
  };
  for (const piece of pieces) take(copier.bytes(fromLatin1(piece)));
  if (end) take(copier.end());
  return found;
}

/** At once, one byte at a time, and cut at every place: always the same. */
function copied(text: string, end = true, options = OPTIONS): Copies {
  const whole = copies([text], end, options);
  assert.deepEqual(copies([...text], end, options), whole, "one byte at a time");
  for (let at = 1; at < Math.min(text.length, 2000); at++) {
    assert.deepEqual(
      copies([text.slice(0, at), text.slice(at)], end, options),
      whole,
      `cut at ${at}`,
    );
  }
  return whole;
}

const get = (who: string, path = "/", more = ""): string =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\nX-User: ${who}\r\n${more}\r\n`;
const post = (who: string, body: string): string =>
  `POST / HTTP/1.1\r\nX-User: ${who}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const chunked = (who: string): string =>
  `POST / HTTP/1.1\r\nx-user:${who}\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\n`;

test("each request goes to who wants it, as it came, and what nobody wants is left out", () => {
  const text =
    get("ann") + get("x") + post("bob", "GET /ann") + chunked("ann") + chunked("x") + get("both");
  assert.deepEqual(copied(text), {
    ann: get("ann") + chunked("ann") + get("both"),
    bob: post("bob", "GET /ann") + get("both"),
    stopped: undefined,
    inside: [],
  });
});

test("a request's bytes come as they arrive, not at its end; only the first ones begin it", () => {
  const copier = new RequestCopier<Name>(OPTIONS);
  assert.deepEqual(
    copier.bytes(fromLatin1("PUT / HTTP/1.1\r\nX-User: ann\r\nContent-Length: 4\r\n")),
    [],
  );
  const bytes = (piece: string) =>
    copier.bytes(fromLatin1(piece)).map((event) => {
      assert.equal(event.kind, "copy");
      return event.kind === "copy" ? [latin1(event.bytes).slice(-4), event.isStart] : [];
    });
  assert.deepEqual(bytes("\r\n"), [["\r\n\r\n", true]]);
  assert.deepEqual(bytes("da"), [["da", false]]);
  assert.deepEqual(bytes(`ta${get("ann")}`), [
    ["ta", false],
    ["\r\n\r\n", true],
  ]);
  assert.equal(copier.waitingBytes, 0);
});

test("a body decides when it is complete, too long, or its client has ended", () => {
  assert.equal(copied(post("body", "ann")).ann, post("body", "ann"));
  assert.equal(copied(`${post("body", "x")}${post("body", "both")}`).bob, post("body", "both"));
  const inChunks =
    "POST / HTTP/1.1\r\nX-User: body\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n2\r\nob\r\n0\r\n\r\n";
  assert.equal(copied(inChunks).bob, inChunks);
  const limited: CopierOptions<Name> = {
    ...OPTIONS,
    bodyLimitBytes: 10,
    wantsWithBody: (_, body) => (body === undefined ? ["ann"] : ["bob"]),
  };
  const long = post("body", "b".repeat(40));
  assert.deepEqual(copied(long + get("x"), true, limited), {
    ...{ ann: long, bob: "", stopped: undefined, inside: [] },
  });
  const cut = post("body", "12345").slice(0, -2);
  assert.equal(copied(cut, false, limited).ann, "");
  assert.equal(copied(cut, true, limited).ann, cut);
});

test("who waits for 100 Continue waits for nobody here", () => {
  const text = `PUT / HTTP/1.1\r\nX-User: ann\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi`;
  assert.equal(copied(text + get("x")).ann, text);
});

const upgrade = (who: string): string =>
  get(who, "/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n");

test("what follows an upgrade and is no request line belongs to who has the upgrade", () => {
  for (const frames of [
    "\x81\x85abcdhello",
    "\x01\x81abcd1GET / HTTP/1.1\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  ]) {
    assert.equal(
      copied(upgrade("ann") + frames + get("bob")).ann,
      upgrade("ann") + frames + get("bob"),
    );
    assert.deepEqual(copied(upgrade("x") + frames + get("bob")), {
      ...{ ann: "", bob: "", stopped: undefined, inside: [] },
    });
  }
});

test("what follows an upgrade and is a request line shows that it was refused", () => {
  assert.equal(copied(upgrade("ann") + get("bob") + get("ann")).ann, upgrade("ann") + get("ann"));
  assert.equal(copied(upgrade("x") + get("bob")).bob, get("bob"));
  // It may become one: nobody knows whose it is, until its client ends.
  assert.equal(copied(`${upgrade("ann")}GET /`, false).ann, upgrade("ann"));
  assert.equal(copied(`${upgrade("ann")}GET /`).ann, `${upgrade("ann")}GET /`);
});

test("what follows CONNECT belongs to it, even if it is HTTP", () => {
  const connect = "CONNECT a:80 HTTP/1.1\r\nX-User: ann\r\n\r\n";
  assert.deepEqual(copied(connect + get("bob")), {
    ...{ ann: connect + get("bob"), bob: "", stopped: undefined, inside: [] },
  });
});

test("nothing is a request behind one that closes the connection", () => {
  const last = get("ann", "/", "Connection: close\r\n");
  assert.equal(copied(last + get("ann")).ann, last);
  const old = "GET / HTTP/1.0\r\nX-User: ann\r\n\r\n";
  assert.equal(copied(old + old).ann, old);
});

test("an empty line between requests is nobody's", () => {
  assert.equal(copied(`${post("ann", "a")}\r\n${get("ann")}`).ann, post("ann", "a") + get("ann"));
});

test("from what cannot be read on nothing is anybody's; who has an incomplete request is told", () => {
  const twice =
    "POST / HTTP/1.1\r\nX-User: ann\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
  assert.deepEqual(copied(get("ann") + twice + get("ann")), {
    ...{ ann: get("ann"), bob: "", stopped: "Content-Length with Transfer-Encoding", inside: [] },
  });
  const begun = "POST / HTTP/1.1\r\nX-User: ann\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
  const { ann, stopped, inside } = copied(`${begun}what?${get("bob")}`);
  assert.deepEqual(
    { ann, stopped, inside },
    { ann: begun, stopped: "no chunk size", inside: ["ann"] },
  );
  assert.equal(copied(`${begun.replace("ann", "body")}what?`).stopped, "no chunk size");
});

test("what waits is limited", () => {
  const copier = new RequestCopier<Name>(OPTIONS);
  const line = fromLatin1(`A: ${"b".repeat(1000)}\r\n`);
  copier.bytes(fromLatin1("GET / HTTP/1.1\r\n"));
  for (let sent = 0; sent < 10_000_000; sent += line.length) {
    copier.bytes(line);
    assert.ok(copier.waitingBytes <= 64 * 1024);
  }
  const body = new RequestCopier<Name>(OPTIONS);
  body.bytes(fromLatin1("PUT / HTTP/1.1\r\nX-User: body\r\nContent-Length: 10000000\r\n\r\n"));
  for (let sent = 0; sent < 10_000_000; sent += line.length) {
    body.bytes(line);
    assert.ok(body.waitingBytes <= 140 * 1024);
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  apply,
  get,
  lines,
  MINE,
  ok,
  play,
  post,
  replied,
  sent,
  split,
  when,
} from "./support/dialogue.ts";

test("each request of a connection goes where it belongs, each destination over one connection", () => {
  play([
    when(["client", get("/1")], "open 1 pod", sent(1, get("/1"))),
    when(["answer", 1, ok("one")], replied(ok("one"))),
    when(["client", get("/2", MINE)], "open 2 mine", sent(2, get("/2", MINE))),
    when(["answer", 2, ok("two")], replied(ok("two"))),
    when(["client", post("/3", "abc")], sent(1, post("/3", "abc"))),
    when(["answer", 1, ok("three")], replied(ok("three"))),
    when(["client", get("/4", MINE)], sent(2, get("/4", MINE))),
    when(["answer", 2, ok("four")], replied(ok("four"))),
  ]);
});

test("pipelined requests to one destination follow each other, to another they wait for the answers", () => {
  const all = get("/1") + get("/2") + get("/3", MINE) + get("/4");
  play([
    when(["client", all], "open 1 pod", sent(1, get("/1") + get("/2"))),
    when(["answer", 1, ok("one")], replied(ok("one"))),
    when(["answer", 1, ok("two")], replied(ok("two")), "open 2 mine", sent(2, get("/3", MINE))),
    when(["answer", 2, ok("three")], replied(ok("three")), sent(1, get("/4"))),
    when(["answer", 1, ok("four")], replied(ok("four"))),
  ]);
});

test("chunks pass both ways as they are, with their extensions and trailers", () => {
  const chunks = "3;x=1\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n";
  const request = `PUT / HTTP/1.1\r\n${MINE}\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`;
  const response = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`;
  play([
    when(["client", request + get("/2")], "open 1 mine", sent(1, request)),
    when(["answer", 1, response], replied(response), "open 2 pod", sent(2, get("/2"))),
  ]);
});

test("answers without a body: to HEAD, 204, 304, and interim ones before the final one", () => {
  const head = "HEAD / HTTP/1.1\r\n\r\n";
  const long = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
  const early = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
  const none = "HTTP/1.1 204 No Content\r\n\r\n";
  const same = "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n";
  play([
    when(
      ["client", head + get("/2") + get("/3") + get("/4", MINE)],
      "open 1 pod",
      sent(1, head + get("/2") + get("/3")),
    ),
    when(["answer", 1, long], replied(long)),
    when(["answer", 1, early + none], replied(early + none)),
    when(["answer", 1, same], replied(same), "open 2 mine", sent(2, get("/4", MINE))),
  ]);
});

test("100-continue is between the client and the destination", () => {
  const head = `POST / HTTP/1.1\r\n${MINE}\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n`;
  const go = "HTTP/1.1 100 Continue\r\n\r\n";
  play([
    when(["client", head], "open 1 mine", sent(1, head)),
    when(["answer", 1, go], replied(go)),
    when(["client", "abc"], sent(1, "abc")),
    when(["answer", 1, ok("")], replied(ok(""))),
    when(["client", get("/2")], "open 2 pod", sent(2, get("/2"))),
  ]);
});

test("an early answer does not end the request", () => {
  play([
    when(
      ["client", `${post("/", "abcdef", MINE).slice(0, -3)}`],
      "open 1 mine",
      sent(1, post("/", "abcdef", MINE).slice(0, -3)),
    ),
    when(["answer", 1, ok("no")], replied(ok("no"))),
    when(["client", `def${get("/2")}`], sent(1, "def"), "open 2 pod", sent(2, get("/2"))),
  ]);
});

for (const user of ["mine", "pod"]) {
  test(`after an upgrade the bytes are between the client and ${user}, for ever`, () => {
    const request = get(
      "/ws",
      `X-User: ${user}`,
      "Connection: keep-alive, Upgrade",
      "Upgrade: websocket",
    );
    const yes = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    play([
      when(["client", `${request}\x81\x00`], `open 1 ${user}`, sent(1, request)),
      when(
        ["answer", 1, `${yes}\x82`],
        `raw ${user}: HTTP was left`,
        sent(1, "\x81\x00"),
        replied(`${yes}\x82`),
      ),
      when(["client", get("/2")], sent(1, get("/2"))),
      when(["answer", 1, "anything"], replied("anything")),
      when(["end", 1], "end-client"),
      when(["client", "more"], sent(1, "more")),
      when(["client-end"], "end 1"),
    ]);
  });
}

test("a refused upgrade leaves the connection to HTTP", () => {
  const request = get("/ws", MINE, "Connection: upgrade", "Upgrade: h2c");
  play([
    when(["client", request + get("/2")], "open 1 mine", sent(1, request)),
    when(["answer", 1, ok("no")], replied(ok("no")), "open 2 pod", sent(2, get("/2"))),
  ]);
});

test("CONNECT is a tunnel if the answer is yes", () => {
  const request = `CONNECT db:1 HTTP/1.1\r\n${MINE}\r\n\r\n`;
  play([
    when(["client", `${request}x`], "open 1 mine", sent(1, request)),
    when(
      ["answer", 1, "HTTP/1.1 200 OK\r\n\r\ny"],
      "raw mine: HTTP was left",
      sent(1, "x"),
      replied("HTTP/1.1 200 OK\r\n\r\ny"),
    ),
  ]);
});

test("what cannot be read goes to the pod as it came, with all that follows", () => {
  const bad =
    "GET / HTTP/1.1\r\nX-User: mine\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
  const why = "raw pod: Content-Length with Transfer-Encoding";
  play([
    when(["client", bad], "open 1 pod", why, sent(1, bad)),
    when(["client", get("/2", MINE)], sent(1, get("/2", MINE))),
    when(["answer", 1, "HTTP/1.1 400 x\n\n"], replied("HTTP/1.1 400 x\n\n")),
    when(["end", 1], "end-client"),
  ]);
});

test("that is so, too, after requests that could be read, when those are answered", () => {
  const bad = "GET / HTTP/1.1\r\nX-User : mine\r\n\r\n";
  play([
    when(["client", get("/1", MINE) + bad], "open 1 mine", sent(1, get("/1", MINE))),
    when(
      ["answer", 1, ok("one")],
      replied(ok("one")),
      "open 2 pod",
      "raw pod: not a header's name",
      "end 1",
      sent(2, bad),
    ),
    when(["client", "\0\0"], sent(2, "\0\0")),
  ]);
});

test("bad chunks go on to the pod raw, and end a connection whose request is a session's", () => {
  const start = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
  play([
    when(["client", start], "open 1 pod", sent(1, start)),
    when(["client", "zz\r\n"], "raw pod: no chunk size", sent(1, "zz\r\n")),
  ]);
  const stolen = start.replace("Transfer", `${MINE}\r\nTransfer`);
  const splitter = split();
  apply(splitter, ["client", stolen]);
  assert.deepEqual(lines(apply(splitter, ["client", "zz\r\n"])), ["reset-client", "reset 1"]);
  assert.equal(splitter.isOver, true);
});

test("bad chunks that came together with their head reach nobody but the pod", () => {
  const bad = `POST / HTTP/1.1\r\n${MINE}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`;
  assert.deepEqual(lines(apply(split(), ["client", bad])), [
    "open 1 pod",
    "raw pod: no chunk size",
    sent(1, bad),
  ]);
});

test("empty lines after a body are for whoever got the body", () => {
  play([
    when(
      ["client", `${post("/", "abc", MINE)}\r\n`],
      "open 1 mine",
      sent(1, `${post("/", "abc", MINE)}\r\n`),
    ),
    when(["answer", 1, ok("x")], replied(ok("x"))),
    when(["client", `\r\n${get("/2")}`], sent(1, "\r\n"), "open 2 pod", sent(2, get("/2"))),
  ]);
});

test("a response that closes the connection is the last one", () => {
  const last = ok("bye", "Connection: close");
  play([
    when(["client", get("/1", MINE) + get("/2")], "open 1 mine", sent(1, get("/1", MINE))),
    when(["answer", 1, last], replied(last)),
    when(["client", get("/3")]),
    when(["end", 1], "end 1", "end-client"),
  ]);
});

test("a response without a length lasts until its connection ends", () => {
  const start = "HTTP/1.0 200 OK\r\n\r\n";
  play([
    when(["client", get("/1", MINE)], "open 1 mine", sent(1, get("/1", MINE))),
    when(["answer", 1, `${start}abc`], replied(`${start}abc`)),
    when(["answer", 1, get("/")], replied(get("/"))),
    when(["end", 1], "end 1", "end-client"),
  ]);
});

test("an HTTP/1.0 request is the last one of its connection unless it says otherwise", () => {
  play([
    when(
      ["client", `GET / HTTP/1.0\r\n\r\n${get("/2")}`],
      "open 1 pod",
      sent(1, "GET / HTTP/1.0\r\n\r\n"),
    ),
    when(["answer", 1, ok("x")], replied(ok("x"))),
    when(["end", 1], "end 1", "end-client"),
  ]);
  const kept = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
  play([
    when(["client", kept], "open 1 pod", sent(1, kept)),
    when(
      ["answer", 1, ok("x", "Connection: keep-alive")],
      replied(ok("x", "Connection: keep-alive")),
    ),
    when(["client", get("/2", MINE)], "open 2 mine", sent(2, get("/2", MINE))),
  ]);
});

test("what follows the last request is not sent, even if the answers cannot be read", () => {
  const one = "GET / HTTP/1.0\r\n\r\n";
  const splitter = split();
  assert.deepEqual(lines(apply(splitter, ["client", `${one}GET /a`])), [
    "open 1 pod",
    sent(1, one),
  ]);
  assert.deepEqual(lines(apply(splitter, ["answer", 1, `${ok("x")}?`])), [replied(`${ok("x")}?`)]);
  assert.deepEqual(lines(apply(splitter, ["client", " HTTP/1.1\r\n\r\n"])), []);
});

test("a response that cannot be read passes; the pod's connection goes on raw, a session's ends at the next request", () => {
  const bad = "HTTP/1.1 200 OK\n\nabc";
  const pods = split();
  apply(pods, ["client", get("/1")]);
  assert.deepEqual(lines(apply(pods, ["answer", 1, bad])), [
    replied(bad),
    "raw pod: LF without CR in a head",
  ]);
  assert.deepEqual(lines(apply(pods, ["client", get("/2", MINE)])), [sent(1, get("/2", MINE))]);
  const mine = split();
  apply(mine, ["client", get("/1", MINE)]);
  assert.deepEqual(lines(apply(mine, ["answer", 1, bad])), [replied(bad)]);
  assert.deepEqual(lines(apply(mine, ["answer", 1, "more"])), [replied("more")]);
  assert.deepEqual(lines(apply(mine, ["client", get("/2")])), ["end-client", "reset 1"]);
});

test("a server that closes an idle connection closes the client's", () => {
  play([
    when(["client", get("/1")], "open 1 pod", sent(1, get("/1"))),
    when(["answer", 1, ok("x")], replied(ok("x"))),
    when(["end", 1], "end 1", "end-client"),
  ]);
});

test("unless the client is busy with another destination: then it is opened again when it is needed", () => {
  play([
    when(["client", get("/1")], "open 1 pod", sent(1, get("/1"))),
    when(["answer", 1, ok("x")], replied(ok("x"))),
    when(["client", get("/2", MINE)], "open 2 mine", sent(2, get("/2", MINE))),
    when(["end", 1], "end 1"),
    when(["answer", 2, ok("y")], replied(ok("y"))),
    when(["client", get("/3")], "open 3 pod", sent(3, get("/3"))),
  ]);
});

test("what a server says before it closes an idle connection is passed on", () => {
  const bye = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n";
  const served = (user: string) => {
    const splitter = split();
    apply(splitter, ["client", get("/1", `X-User: ${user}`)]);
    apply(splitter, ["answer", 1, ok("x")]);
    return splitter;
  };
  assert.deepEqual(lines(apply(served("pod"), ["answer", 1, bye])), [
    replied(bye),
    "raw pod: a response to nothing",
  ]);
  const mine = served("mine");
  assert.deepEqual(lines(apply(mine, ["answer", 1, bye])), [replied(bye)]);
  assert.deepEqual(lines(apply(mine, ["end", 1])), ["end 1", "end-client"]);
  const busy = served("mine");
  apply(busy, ["client", get("/2")]);
  assert.deepEqual(lines(apply(busy, ["answer", 1, bye])), ["reset 1"]);
});

test("a cut response is cut for the client, a reset one reset", () => {
  play([
    when(["client", get("/1")], "open 1 pod", sent(1, get("/1"))),
    when(["answer", 1, ok("abc").slice(0, -1)], replied(ok("abc").slice(0, -1))),
    when(["end", 1], "end 1", "end-client"),
  ]);
  play([
    when(["client", get("/1", MINE)], "open 1 mine", sent(1, get("/1", MINE))),
    when(["reset", 1], "reset-client", "reset 1"),
  ]);
});

test("a client that ends gets its answers first", () => {
  play([
    when(["client", get("/1") + get("/2", MINE)], "open 1 pod", sent(1, get("/1"))),
    when(["client-end"]),
    when(
      ["answer", 1, ok("x")],
      replied(ok("x")),
      "open 2 mine",
      sent(2, get("/2", MINE)),
      "end 1",
      "end 2",
    ),
    when(["end", 1]),
    when(["answer", 2, ok("y")], replied(ok("y"))),
    when(["end", 2], "end-client"),
  ]);
});

test("a client that ends inside a head is the pod's to answer", () => {
  play([
    when(["client", "GET / HTTP/1.1\r\nX-U"]),
    when(
      ["client-end"],
      "open 1 pod",
      "raw pod: the client ended inside a head",
      sent(1, "GET / HTTP/1.1\r\nX-U"),
      "end 1",
    ),
  ]);
});

test("an upstream that is open already is used, and one that nobody needs is ended in the end", () => {
  const opened = () => split({ opened: "pod" });
  assert.deepEqual(lines(apply(opened(), ["client", get("/1")])), [sent(1, get("/1"))]);
  const mine = opened();
  assert.deepEqual(lines(apply(mine, ["client", get("/1", MINE)])), [
    "open 2 mine",
    sent(2, get("/1", MINE)),
  ]);
  assert.deepEqual(lines(apply(mine, ["answer", 2, ok("x")])), [replied(ok("x"))]);
  assert.deepEqual(lines(apply(mine, ["client-end"])), ["end 1", "end 2"]);
  const alone = opened();
  apply(alone, ["client", get("/1", MINE)]);
  assert.deepEqual(lines(apply(alone, ["end", 1])), ["end 1"]);
});

test("a client that is reset resets everything", () => {
  play([
    when(["client", get("/1")], "open 1 pod", sent(1, get("/1"))),
    when(["client-reset"], "reset 1"),
    when(["answer", 1, ok("x")]),
  ]);
});

test("a body that decides is waited for, and then goes as it came", () => {
  const request = post("/", "I am mine", "X-Body: 1");
  const chunked =
    "POST / HTTP/1.1\r\nX-Body: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nmi\r\n2\r\nne\r\n0\r\n\r\n";
  play([
    when(["client", request.slice(0, -1)]),
    when(["client", "e"], "open 1 mine", sent(1, request)),
    when(["answer", 1, ok("x")], replied(ok("x"))),
    when(["client", chunked], sent(1, chunked)),
    when(["answer", 1, ok("x")], replied(ok("x"))),
    when(
      ["client", post("/", "not", "X-Body: 1")],
      "open 2 pod",
      sent(2, post("/", "not", "X-Body: 1")),
    ),
  ]);
});

test("a body that is too long or too late does not decide", () => {
  const long = `POST / HTTP/1.1\r\nX-Body: 1\r\nContent-Length: 99\r\n\r\nI am mine`;
  assert.deepEqual(lines(apply(split({ bodyLimitBytes: 8 }), ["client", long])), [
    "open 1 pod",
    sent(1, long),
  ]);
  const splitter = split({ bodyLimitBytes: 100 });
  assert.deepEqual(lines(apply(splitter, ["client", long])), []);
  assert.equal(splitter.isWaitingForBody, true);
  assert.deepEqual(lines(apply(splitter, ["deadline"])), ["open 1 pod", sent(1, long)]);
  assert.equal(splitter.isWaitingForBody, false);
});

test("who expects 100-continue before a body that decides is told by us, once, and not inside another answer", () => {
  const head = "POST / HTTP/1.1\r\nX-Body: 1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
  const go = "HTTP/1.1 100 Continue\r\n\r\n";
  play([
    when(["client", get("/1") + head], "open 1 pod", sent(1, get("/1"))),
    when(["answer", 1, ok("x")], replied(ok("x") + go)),
    when(["client", "mine"], "open 2 mine", sent(2, `${head}mine`)),
    when(["answer", 2, go + ok("y")], replied(ok("y"))),
    when(["client", get("/2")], sent(1, get("/2"))),
  ]);
});

test("reading stops while more than 64 KiB wait for an answer to something before", () => {
  const splitter = split();
  apply(splitter, ["client", get("/1") + post("/2", "a".repeat(70_000), MINE).slice(0, 50_000)]);
  assert.equal(splitter.wantsClientBytes, true);
  apply(splitter, ["client", "a".repeat(20_000)]);
  assert.equal(splitter.wantsClientBytes, false);
  apply(splitter, ["answer", 1, ok("x")]);
  assert.equal(splitter.wantsClientBytes, true);
});

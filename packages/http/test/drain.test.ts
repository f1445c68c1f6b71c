/** What becomes of a client's connection that is to end in good order, and what is added to answers on demand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { editedHead } from "../src/http1/edit-head.ts";
import { answeredBy, fromLatin1, latin1 } from "../src/index.ts";
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
import { Random } from "./support/random.ts";

/** What `ok(body)` is when it is the last. */
const last = (body: string): string =>
  ok(body).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
const edited = (head: string, closes: boolean, by?: "pod" | "developer"): string =>
  latin1(editedHead(fromLatin1(head), { closes, field: by && answeredBy(by) }));

test("a connection on which nothing is asked ends at once", () => {
  const splitter = play([
    when(["client", get("/1")], "open 1 pod", sent(1, get("/1"))),
    when(["answer", 1, ok("one")], replied(ok("one"))),
    when(["drain"], "end-client", "end 1"),
    when(["client", get("/2")]),
  ]);
  assert.ok(splitter.isOver);
});

test("the answer that is waited for says that it is the last, and ends the connection", () => {
  play([
    when(["client", get("/1", MINE)], "open 1 mine", sent(1, get("/1", MINE))),
    when(["drain"]),
    when(["answer", 1, ok("one")], replied(last("one")), "end-client", "end 1"),
  ]);
});

test("an answer that has begun is completed as it is, and the connection ends with it", () => {
  play([
    when(["client", get("/1")], "open 1 pod", sent(1, get("/1"))),
    when(["answer", 1, ok("one").slice(0, -1)], replied(ok("one").slice(0, -1))),
    when(["drain"]),
    when(["answer", 1, "e"], replied("e"), "end-client", "end 1"),
  ]);
});

test("it is known of whom something is asked: from the request's head to the end of its answer", () => {
  const splitter = split();
  const asked = (...event: Parameters<typeof apply>[1]): string => {
    apply(splitter, event as Parameters<typeof apply>[1]);
    return (["pod", "mine"] as const).filter((to) => splitter.isAsking(to)).join();
  };
  assert.equal(asked("client", "GET /1 HT"), "");
  assert.equal(asked("client", get("/1", MINE).slice("GET /1 HT".length)), "mine");
  assert.equal(asked("answer", 1, ok("one").slice(0, -1)), "mine");
  assert.equal(asked("answer", 1, "e"), "");
  const request = post("/2", "abc");
  assert.equal(asked("client", request.slice(0, -1)), "pod");
  assert.equal(asked("client", "c"), "pod");
  assert.equal(asked("answer", 2, ok("two")), "");
  assert.equal(asked("client", get("/3")), "pod");
  assert.equal(asked("client-reset"), "");
});

test("the end of somebody of whom nothing is asked is not the client's when he goes away", () => {
  const splitter = split();
  const did = (event: Parameters<typeof apply>[1]): string[] => lines(apply(splitter, event));
  did(["client", get("/1", MINE)]);
  assert.deepEqual(splitter.leave("mine"), [], "it is waited for");
  did(["answer", 1, ok("one")]);
  assert.deepEqual(lines(splitter.leave("mine")), ["end 1"]);
  assert.deepEqual(did(["reset", 1]), []);
  assert.deepEqual(did(["client", get("/2")]), ["open 2 pod", sent(2, get("/2"))]);
});

test("a request that has begun is answered, too", () => {
  const request = post("/1", "abc");
  play([
    when(["client", request.slice(0, 5)]),
    when(["drain"]),
    when(["client", request.slice(5, -1)], "open 1 pod", sent(1, request.slice(0, -1))),
    when(["client", "c"], sent(1, "c")),
    when(["answer", 1, ok("one")], replied(last("one")), "end-client", "end 1"),
  ]);
});

test("of pipelined requests those that were sent are answered, the others are for another connection", () => {
  play([
    when(["client", get("/1") + get("/2")], "open 1 pod", sent(1, get("/1") + get("/2"))),
    when(["drain"]),
    when(["client", get("/3") + get("/4", MINE)]),
    when(["answer", 1, ok("one")], replied(ok("one"))),
    when(["answer", 1, ok("two")], replied(last("two")), "end-client", "end 1"),
  ]);
  play([
    when(["client", get("/1") + get("/2", MINE)], "open 1 pod", sent(1, get("/1"))),
    when(["drain"]),
    when(["answer", 1, ok("one")], replied(ok("one")), "open 2 mine", sent(2, get("/2", MINE))),
    when(["answer", 2, ok("two")], replied(last("two")), "end-client", "end 1", "end 2"),
  ]);
});

test("a client that sends on while it drains is held back", () => {
  const splitter = split();
  splitter.clientBytes(fromLatin1(get("/1")));
  splitter.drain();
  assert.ok(splitter.wantsClientBytes);
  splitter.clientBytes(fromLatin1(get("/2", `X: ${"x".repeat(64 * 1024)}`)));
  assert.ok(!splitter.wantsClientBytes);
});

test("an answer that comes before the request's end does not cut it off", () => {
  const request = post("/1", "abc");
  play([
    when(["client", request.slice(0, -1)], "open 1 pod", sent(1, request.slice(0, -1))),
    when(["drain"]),
    when(["answer", 1, ok("one")], replied(last("one"))),
    when(["client", "c"], sent(1, "c"), "end-client", "end 1"),
  ]);
});

test("chunks, interim answers and answers that end themselves keep their bytes", () => {
  const early = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
  const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
  play([
    when(["client", get("/1")], "open 1 pod", sent(1, get("/1"))),
    when(["drain"]),
    when(["answer", 1, early], replied(early)),
    when(
      ["answer", 1, `${head}\r\n1\r\na\r\n0\r\n\r\n`],
      replied(`${head}Connection: close\r\n\r\n1\r\na\r\n0\r\n\r\n`),
      "end-client",
      "end 1",
    ),
  ]);
  const closing = ok("one", "Connection: close");
  play([
    when(["client", get("/1")], "open 1 pod", sent(1, get("/1"))),
    when(["drain"]),
    when(["answer", 1, closing], replied(closing)),
    when(["end", 1], "end 1", "end-client"),
  ]);
});

test("after an upgrade, and where nothing could be read, the connection lives on", () => {
  const upgrade = get("/", "Connection: upgrade", "Upgrade: echo");
  const switching = "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
  play([
    when(["client", upgrade], "open 1 pod", sent(1, upgrade)),
    when(["drain"]),
    when(["answer", 1, switching], "raw pod: HTTP was left", replied(switching)),
    when(["client", "x"], sent(1, "x")),
    when(["drain"]),
    when(["answer", 1, "y"], replied("y")),
  ]);
  play([
    when(["client", upgrade], "open 1 pod", sent(1, upgrade)),
    when(["drain"]),
    when(["answer", 1, ok("no")], replied(last("no")), "end-client", "end 1"),
  ]);
});

test("a head that is edited keeps its other lines", () => {
  const head =
    "HTTP/1.1 200 OK\r\nA: caf\xe9\r\nconnection: Keep-Alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop:  1 \r\n\r\n";
  assert.equal(
    edited(head, true),
    "HTTP/1.1 200 OK\r\nA: caf\xe9\r\nX-Hop:  1 \r\nConnection: close, X-Hop\r\n\r\n",
  );
  assert.equal(
    edited(head, false, "pod"),
    head.replace(/\r\n\r\n$/, "\r\ninpod-answered-by: pod\r\n\r\n"),
  );
  assert.equal(
    edited("HTTP/1.1 204\r\nInpod-Answered-By: pod\r\n\r\n", true, "developer"),
    "HTTP/1.1 204\r\nConnection: close\r\ninpod-answered-by: developer\r\n\r\n",
  );
});

test("each answer says who gave it, where that is wanted, and nothing else in it changes", () => {
  const by = (who: string, answer: string): string =>
    answer.replace("\r\n\r\n", `\r\ninpod-answered-by: ${who}\r\n\r\n`);
  const early = "HTTP/1.1 100 Continue\r\n\r\n";
  play(
    [
      when(["client", get("/1")], "open 1 pod", sent(1, get("/1"))),
      when(["answer", 1, ok("one\r\n\r\n")], replied(by("pod", ok("one\r\n\r\n")))),
      when(["client", get("/2", MINE)], "open 2 mine", sent(2, get("/2", MINE))),
      when(["answer", 2, early + ok("two")], replied(early + by("developer", ok("two")))),
      when(["client", get("/3")], sent(1, get("/3"))),
      when(["drain"]),
      when(
        ["answer", 1, ok("three")],
        replied(by("pod", last("three"))),
        "end-client",
        "end 1",
        "end 2",
      ),
    ],
    { fieldOf: (to) => answeredBy(to === "pod" ? "pod" : "developer") },
  );
});

test("whenever it is drained, whatever was sent on is answered as a whole, in order, and then it ends", () => {
  const random = new Random(31);
  let closed = 0;
  for (let round = 0; round < 3000; round++) {
    const requests = Array.from({ length: 1 + random.below(6) }, (_, i) => {
      const headers = random.chance(0.5) ? [MINE] : [];
      return random.chance(0.3) ? post(`/${i}`, "abc", ...headers) : get(`/${i}`, ...headers);
    });
    const splitter = split();
    const received = new Map<number, string>();
    /** Bytes of answers that are due, by upstream. */
    const due = new Map<number, string>();
    let [replied, hasEnd, sentOn] = ["", false, 0];
    const note = (commands: ReturnType<typeof apply>): void => {
      for (const command of commands) {
        if (command.kind === "reply") {
          assert.ok(!hasEnd);
          replied += latin1(command.bytes);
        } else if (command.kind === "end-client") hasEnd = true;
        else if (command.kind === "send") {
          const { upstream: id, bytes } = command;
          let text = (received.get(id) ?? "") + latin1(bytes);
          // Each destination answers what has come as a whole; the requests differ by their paths.
          while (text.startsWith(requests[sentOn] ?? "none")) {
            text = text.slice((requests[sentOn] as string).length);
            due.set(id, (due.get(id) ?? "") + ok(`answer ${sentOn}`));
            sentOn += 1;
          }
          received.set(id, text);
        } else assert.ok(command.kind !== "reset" && command.kind !== "reset-client");
      }
    };
    const pieces = random.pieces(fromLatin1(requests.join("")), random.pick([3, 40, 1000]));
    const drainAt = random.below(pieces.length + 1);
    const answer = (): void => {
      const [id] = [...due.keys()].filter((each) => due.get(each) !== "");
      if (id === undefined) return;
      const text = due.get(id) as string;
      const count = 1 + random.below(random.pick([5, text.length]));
      due.set(id, text.slice(count));
      note(splitter.upstreamBytes(id, fromLatin1(text.slice(0, count))));
    };
    for (const [at, piece] of pieces.entries()) {
      if (at === drainAt) note(splitter.drain());
      note(splitter.clientBytes(piece));
      while (random.chance(0.5)) answer();
    }
    if (drainAt === pieces.length) note(splitter.drain());
    while ([...due.values()].some((text) => text !== "")) answer();
    assert.ok(hasEnd && splitter.isOver, JSON.stringify({ requests, replied }));
    const ends = replied.match(/Connection: close\r\n/g)?.length ?? 0;
    assert.ok(ends <= 1);
    closed += ends;
    const whole = Array.from({ length: sentOn }, (_, i) => ok(`answer ${i}`)).join("");
    assert.equal(replied.replace("Connection: close\r\n", ""), whole, JSON.stringify(requests));
  }
  assert.ok(closed > 500, `${closed} answers said that they are the last`);
});

/** Dialogues of a client, the pod and a developer's program ("me") through the splitter. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { HTTP2_PREFACE } from "../src/index.ts";
import { Dialogue, frame, settings, uint32 } from "./support/http2.ts";

const byUser = { route: (_: string, user: string) => (user === "me" ? "me" : "pod") };
const begun = (): Dialogue => {
  const dialogue = new Dialogue(byUser);
  dialogue.begin();
  return dialogue;
};
const MAX = 0x7fffffff;
const noWindows = (lines: string[]): string[] => lines.filter((line) => !/WINDOW/.test(line));

test("the pod's connection is opened with the client's, which is told what the pod allows", () => {
  const dialogue = new Dialogue(byUser);
  assert.deepEqual(dialogue.says(HTTP2_PREFACE, settings({ 6: 16384 })), [
    "open 1 pod",
    "pod: SETTINGS 4=131072 2=0 6=16384",
    "pod: WINDOW 0 +8323073",
  ]);
  assert.deepEqual(dialogue.answers(1, settings({ 3: 50, 6: 9000, 8: 1 })), [
    "pod: SETTINGS ACK",
    "client: SETTINGS 4=131072 3=50 8=1 6=9000",
    "client: WINDOW 0 +8323073",
    "client: SETTINGS ACK",
  ]);
  assert.deepEqual(dialogue.answers(1, settings({ 3: 20 })), [
    "pod: SETTINGS ACK",
    "client: SETTINGS 3=20",
  ]);
});

test("a pod that says nothing, or cannot be reached, does not keep the client waiting", () => {
  for (const failing of [true, false]) {
    const dialogue = new Dialogue(byUser);
    dialogue.says(HTTP2_PREFACE, settings());
    assert.equal(dialogue.splitter.isWaitingForBody, true);
    const { splitter } = dialogue;
    const said = dialogue.lines(failing ? splitter.upstreamReset(1) : splitter.bodyDeadline());
    assert.match(said[0] ?? "", /^client: SETTINGS 4=131072 3=1000/);
    assert.equal(splitter.isWaitingForBody, false);
  }
});

test("each stream goes to who wants it, and answers come in any order", () => {
  const dialogue = begun();
  const { client } = dialogue;
  assert.deepEqual(
    noWindows(
      dialogue.says(client.get(1, "/1"), client.get(3, "/3", "x-user=me"), client.get(5, "/5")),
    ),
    [
      "open 2 me",
      "pod: HEADERS 1 END :method=GET :scheme=http :authority=a :path=/1",
      "pod: HEADERS 3 END :method=GET :scheme=http :authority=a :path=/5",
      "me: SETTINGS 4=131072 2=0 6=262144",
      "me: HEADERS 1 END :method=GET :scheme=http :authority=a :path=/3 x-user=me",
    ],
  );
  const [pod, me] = [dialogue.peer(1), dialogue.peer(2)];
  assert.deepEqual(
    dialogue.answers(2, settings(), me.headers(1, false, ":status=200"), me.data(1, "mine", true)),
    ["me: SETTINGS ACK", "client: HEADERS 3 :status=200", "client: DATA 3 END mine"],
  );
  assert.deepEqual(
    dialogue.answers(1, pod.headers(3, true, ":status=204"), pod.headers(1, true, ":status=404")),
    ["client: HEADERS 5 END :status=204", "client: HEADERS 1 END :status=404"],
  );
});

test("header fields keep their order, repetitions and secrecy; trailers and 1xx go both ways", () => {
  const dialogue = begun();
  const { client } = dialogue;
  const fields = ["a=1", "b=2", "a=3", "!authorization=secret", "te=trailers", "123=4"];
  assert.deepEqual(dialogue.says(client.post(1, "/", ...fields)), [
    `pod: HEADERS 1 :method=POST :scheme=http :authority=a :path=/ ${fields.join(" ")}`,
  ]);
  assert.deepEqual(dialogue.says(client.data(1, "body"), client.headers(1, true, "sum=7")), [
    "pod: DATA 1 body",
    "pod: HEADERS 1 END sum=7",
  ]);
  const pod = dialogue.peer(1);
  assert.deepEqual(
    dialogue.answers(
      1,
      pod.headers(1, false, ":status=103", "link=</x>"),
      pod.headers(1, false, ":status=200", "set-cookie=a", "set-cookie=b"),
      pod.data(1, "answer"),
      pod.headers(1, true, "grpc-status=0", "grpc-message="),
    ),
    [
      "client: HEADERS 1 :status=103 link=</x>",
      "client: HEADERS 1 :status=200 set-cookie=a set-cookie=b",
      "client: DATA 1 answer",
      "client: HEADERS 1 END grpc-status=0 grpc-message=",
    ],
  );
});

test("a response can say whose it is; what is only informational, or trailers, does not", () => {
  const fieldOf = (to: string) => ({ name: "x-from", value: to });
  const dialogue = new Dialogue({ ...byUser, fieldOf });
  dialogue.begin();
  dialogue.says(dialogue.client.get(1, "/"));
  const pod = dialogue.peer(1);
  assert.deepEqual(
    dialogue.answers(
      1,
      pod.headers(1, false, ":status=103"),
      pod.headers(1, false, ":status=200"),
      pod.headers(1, true, "a=b"),
    ),
    [
      "client: HEADERS 1 :status=103",
      "client: HEADERS 1 :status=200 x-from=pod",
      "client: HEADERS 1 END a=b",
    ],
  );
});

test("resets keep their code, both ways; a whole answer comes before the reset that follows it", () => {
  const dialogue = begun();
  const { client } = dialogue;
  dialogue.says(client.post(1, "/1"), client.post(3, "/3"), client.post(5, "/5"));
  const pod = dialogue.peer(1);
  assert.deepEqual(dialogue.says(client.reset(1, 8)), ["pod: RESET 1 CANCEL"]);
  assert.deepEqual(dialogue.answers(1, pod.reset(3, 11)), ["client: RESET 3 CALM"]);
  assert.deepEqual(
    dialogue.answers(
      1,
      pod.headers(5, false, ":status=413"),
      pod.data(5, "too long", true),
      pod.reset(5, 0),
    ),
    ["client: HEADERS 5 :status=413", "client: DATA 5 END too long", "client: RESET 5 NONE"],
  );
  // What crossed the resets is nobody's.
  assert.deepEqual(dialogue.says(client.data(3, "late"), client.data(5, "late", true)), []);
  assert.deepEqual(dialogue.answers(1, pod.headers(1, true, ":status=200")), []);
});

test("what the client may send is what its destination has taken", () => {
  const dialogue = new Dialogue(byUser);
  dialogue.begin({}, { 4: 10 });
  const { client } = dialogue;
  assert.deepEqual(dialogue.says(client.post(1, "/"), client.data(1, "0123456789abc")).slice(1), [
    "pod: DATA 1 0123456789",
  ]);
  const pod = dialogue.peer(1);
  assert.deepEqual(dialogue.answers(1, pod.window(1, 5)), ["pod: DATA 1 abc"]);
  const kib = Buffer.alloc(16384);
  const full = Array.from({ length: 7 }, () => client.data(1, kib));
  assert.deepEqual(dialogue.says(...full).length, 1);
  // The pod takes no more: the client may not send more than its window.
  const over = dialogue.says(client.data(1, kib), client.data(1, kib));
  assert.deepEqual(over, ["pod: RESET 1 FLOW", "client: RESET 1 FLOW"]);
});

test("a client that takes nothing stops its sender, and that one only", () => {
  const dialogue = new Dialogue(byUser);
  dialogue.begin({ 4: 0 });
  const { client } = dialogue;
  dialogue.says(client.get(1, "/1"), client.get(3, "/3"));
  const pod = dialogue.peer(1);
  const kib = Buffer.alloc(16384);
  const answer = [pod.headers(1, false, ":status=200")];
  for (let each = 0; each < 8; each++) answer.push(pod.data(1, kib));
  assert.deepEqual(dialogue.answers(1, ...answer), ["client: HEADERS 1 :status=200"]);
  assert.deepEqual(dialogue.answers(1, pod.headers(3, true, ":status=204")), [
    "client: HEADERS 3 END :status=204",
  ]);
  const taken = dialogue.says(client.window(1, 40_000));
  assert.deepEqual(taken, [
    "client: DATA 1 16384 bytes",
    "client: DATA 1 16384 bytes",
    "client: DATA 1 7232 bytes",
    "pod: WINDOW 1 +32768",
  ]);
});

test("a destination that takes no bytes does not hold up the others", () => {
  const dialogue = begun();
  const { client, splitter } = dialogue;
  dialogue.says(client.get(1, "/1", "x-user=me"));
  splitter.upstreamFull(2);
  assert.deepEqual(dialogue.says(client.get(3, "/3", "x-user=me"), client.get(5, "/5")), [
    "pod: HEADERS 1 END :method=GET :scheme=http :authority=a :path=/5",
  ]);
  assert.deepEqual(dialogue.lines(splitter.upstreamDrained(2)), [
    "me: HEADERS 3 END :method=GET :scheme=http :authority=a :path=/3 x-user=me",
  ]);
});

test("streams beyond what a destination allows wait for their turn", () => {
  const dialogue = new Dialogue(byUser);
  dialogue.begin({}, { 3: 1 });
  const { client } = dialogue;
  assert.equal(dialogue.says(client.get(1, "/1"), client.get(3, "/3")).length, 1);
  // Reset before its turn: nobody hears of it.
  assert.deepEqual(dialogue.says(client.get(5, "/5"), client.reset(3, 8)), []);
  const pod = dialogue.peer(1);
  const answer = dialogue.answers(1, pod.headers(1, true, ":status=200"));
  assert.deepEqual(answer, [
    "pod: HEADERS 3 END :method=GET :scheme=http :authority=a :path=/5",
    "client: HEADERS 1 END :status=200",
  ]);
  assert.deepEqual(dialogue.says(client.ping("12345678")), ["client: PING ACK 12345678"]);
});

test("who comes or goes while the connection is open is who gets the next stream", () => {
  let to = "pod";
  const dialogue = new Dialogue({ route: () => to });
  dialogue.begin();
  const { client } = dialogue;
  assert.match(dialogue.says(client.get(1, "/"))[0] ?? "", /^pod: HEADERS/);
  to = "me";
  assert.match(dialogue.says(client.get(3, "/"))[0] ?? "", /^open 2 me/);
  to = "pod";
  assert.match(dialogue.says(client.get(5, "/"))[0] ?? "", /^pod: HEADERS 3/);
});

test("a body decides when it is whole, too long, or late; it is passed on as it came", () => {
  const body = (text: string | undefined): string => (text === "me" ? "me" : "pod");
  const dialogue = new Dialogue({ route: () => "needs-body", body });
  dialogue.begin();
  const { client, splitter } = dialogue;
  assert.deepEqual(dialogue.says(client.post(1, "/"), client.data(1, "m")), []);
  assert.equal(splitter.isWaitingForBody, true);
  const said = noWindows(dialogue.says(client.data(1, "e"), client.headers(1, true, "t=1")));
  assert.deepEqual(said.slice(-3), [
    "me: HEADERS 1 :method=POST :scheme=http :authority=a :path=/",
    "me: DATA 1 me",
    "me: HEADERS 1 END t=1",
  ]);
  assert.match(dialogue.says(client.get(3, "/")).join(), /^pod: HEADERS 1 END/);
  const long = Array.from({ length: 4 }, () => client.data(5, Buffer.alloc(16384)));
  dialogue.answers(1, dialogue.peer(1).window(0, 100_000));
  assert.match(dialogue.says(client.post(5, "/"), ...long).join(), /^pod: HEADERS 3 .*DATA 3/);
  dialogue.nowMs = 5000;
  assert.deepEqual(dialogue.says(client.post(7, "/"), client.data(7, "m")), []);
  dialogue.nowMs = 5500;
  assert.deepEqual(dialogue.lines(splitter.bodyDeadline()), []);
  dialogue.nowMs = 6000;
  assert.match(dialogue.lines(splitter.bodyDeadline()).join(), /^pod: HEADERS 5 .*,pod: DATA 5 m$/);
  assert.equal(splitter.isWaitingForBody, false);
});

test("who waits for 100 Continue hears it once, whether we say it or the destination does", () => {
  const dialogue = new Dialogue({ route: () => "needs-body", body: () => "pod" });
  dialogue.begin();
  const { client } = dialogue;
  assert.deepEqual(dialogue.says(client.post(1, "/", "expect=100-continue")), [
    "client: HEADERS 1 :status=100",
  ]);
  dialogue.says(client.data(1, "x", true));
  const pod = dialogue.peer(1);
  assert.deepEqual(
    dialogue.answers(1, pod.headers(1, false, ":status=100"), pod.headers(1, true, ":status=200")),
    ["client: HEADERS 1 END :status=200"],
  );
});

test("a destination that is lost costs only its streams; a gRPC client hears UNAVAILABLE", () => {
  const dialogue = begun();
  const { client, splitter } = dialogue;
  const grpc = ["x-user=me", "content-type=application/grpc+proto", "te=trailers"];
  dialogue.says(
    client.get(1, "/1"),
    client.get(3, "/3", "x-user=me"),
    client.post(5, "/5", ...grpc),
  );
  dialogue.says(client.post(7, "/7", ...grpc));
  const me = dialogue.peer(2);
  dialogue.answers(2, settings(), me.headers(3, false, ":status=200"));
  const lost = "grpc-status=14 grpc-message=the connection to the destination was lost";
  assert.deepEqual(dialogue.lines(splitter.upstreamReset(2)), [
    "client: RESET 3 INTERNAL",
    `client: HEADERS 5 END ${lost}`,
    "client: RESET 5 NONE",
    `client: HEADERS 7 END :status=200 content-type=application/grpc ${lost}`,
    "client: RESET 7 NONE",
  ]);
  const pod = dialogue.peer(1);
  assert.deepEqual(dialogue.answers(1, pod.headers(1, true, ":status=200")), [
    "client: HEADERS 1 END :status=200",
  ]);
  assert.match(dialogue.says(client.get(9, "/9", "x-user=me"))[0] ?? "", /^open 3 me/);
});

test("streams that were never sent are refused: a client may send them again", () => {
  const dialogue = new Dialogue(byUser);
  dialogue.begin({}, { 3: 0 });
  const { client, splitter } = dialogue;
  assert.deepEqual(dialogue.says(client.get(1, "/")), []);
  assert.deepEqual(dialogue.lines(splitter.upstreamReset(1)), ["client: RESET 1 REFUSED"]);
});

test("a pod that goes away lets its streams end, and tells the client to come again", () => {
  const dialogue = begun();
  const { client } = dialogue;
  dialogue.says(client.get(1, "/1"), client.get(3, "/3"));
  const pod = dialogue.peer(1);
  assert.deepEqual(dialogue.answers(1, pod.goaway(1, 0)), [
    "pod: RESET 3 CANCEL",
    "client: RESET 3 REFUSED",
    `client: GOAWAY ${MAX} NONE`,
    "client: PING inpod-go",
  ]);
  // A stream that was under way already.
  assert.match(dialogue.says(client.get(5, "/5")).join(), /^open 2 pod,.*pod: HEADERS 1 END/);
  assert.deepEqual(dialogue.says(client.ping("inpod-go", true)), ["client: GOAWAY 5 NONE"]);
  assert.deepEqual(dialogue.answers(1, pod.headers(1, true, ":status=200")), [
    "end 1",
    "client: HEADERS 1 END :status=200",
  ]);
  const again = dialogue.peer(2);
  const last = dialogue.answers(2, settings(), again.headers(1, true, ":status=200"));
  assert.ok(last.includes("end-client"), last.join());
  assert.equal(dialogue.splitter.isOver, true);
});

test("why the pod goes away is passed on; that a developer's program does is not", () => {
  const dialogue = begun();
  const { client } = dialogue;
  dialogue.says(client.get(1, "/"), client.get(3, "/", "x-user=me"));
  const me = dialogue.peer(2);
  assert.deepEqual(dialogue.answers(2, settings(), me.goaway(0, 0)), [
    "me: SETTINGS ACK",
    "me: RESET 1 CANCEL",
    "end 2",
    "client: RESET 3 REFUSED",
  ]);
  const pod = dialogue.peer(1);
  assert.deepEqual(dialogue.answers(1, pod.goaway(1, 11, "too_many_pings")), [
    "client: GOAWAY 3 CALM too_many_pings",
  ]);
});

test("when stealing ends, the client is told, and what it still sends is served", () => {
  const dialogue = begun();
  const { client, splitter } = dialogue;
  assert.deepEqual(dialogue.lines(splitter.drain()), [
    `client: GOAWAY ${MAX} NONE`,
    "client: PING inpod-go",
  ]);
  assert.deepEqual(dialogue.lines(splitter.drain()), []);
  assert.equal(splitter.isAsking("pod"), false);
  dialogue.says(client.get(1, "/1"));
  assert.equal(splitter.isAsking("pod"), true);
  assert.equal(splitter.isAsking("mine"), false);
  assert.deepEqual(dialogue.says(client.ping("inpod-go", true)), ["client: GOAWAY 1 NONE"]);
  // It was told: this one is nobody's.
  assert.deepEqual(dialogue.says(client.get(3, "/3")), []);
  const said = dialogue.answers(1, dialogue.peer(1).headers(1, true, ":status=200"));
  assert.deepEqual(said, [
    "client: HEADERS 1 END :status=200",
    "end-client",
    "pod: GOAWAY 0 NONE",
    "end 1",
  ]);
});

test("a client that ends, or breaks off, resets what it has open everywhere", () => {
  for (const isReset of [false, true]) {
    const dialogue = begun();
    const { client, splitter } = dialogue;
    dialogue.says(client.post(1, "/1"), client.post(3, "/3", "x-user=me"));
    const said = dialogue.lines(isReset ? splitter.clientReset() : splitter.clientEnd());
    assert.equal(splitter.isOver, true);
    if (isReset) assert.deepEqual(said, ["reset 1", "reset 2"]);
    else {
      assert.deepEqual(said, [
        "pod: RESET 1 CANCEL",
        "pod: GOAWAY 0 NONE",
        "end 1",
        "me: RESET 1 CANCEL",
        "me: GOAWAY 0 NONE",
        "end 2",
      ]);
    }
    assert.deepEqual(dialogue.says(client.get(5, "/")), []);
  }
});

test("requests that two programs could read differently are nobody's", () => {
  const wrong: string[][] = [
    [":method=GET", ":scheme=http", ":path=/", ":path=/other"],
    [":method=GET", ":scheme=http", "a=b", ":path=/"],
    [":method=GET", ":scheme=http", ":path=/", "X-User=me"],
    [":method=GET", ":scheme=http", ":path=/", "connection=close"],
    [":method=GET", ":scheme=http", ":path=/", "transfer-encoding=chunked"],
    [":method=GET", ":scheme=http", ":path=/", "te=gzip"],
    [":method=GET", ":scheme=http", ":path=/", "a=b\r\nx-user: me"],
    [":method=GET", ":scheme=http", ":path="],
    [":method=GET", ":path=/"],
    [":scheme=http", ":path=/"],
    [":method=GET", ":scheme=http", ":path=/", ":status=200"],
    [":method=CONNECT", ":authority=a:1", ":path=/"],
  ];
  for (const [at, fields] of wrong.entries()) {
    const dialogue = begun();
    assert.deepEqual(
      dialogue.says(dialogue.client.headers(1, true, ...fields)),
      ["client: RESET 1 PROTOCOL"],
      `${at}: ${fields}`,
    );
  }
  const dialogue = begun();
  const { client } = dialogue;
  assert.deepEqual(dialogue.says(client.headers(1, false, ":method=CONNECT", ":authority=a:1")), [
    "pod: HEADERS 1 :method=CONNECT :authority=a:1",
  ]);
});

test("what a destination may not send ends that stream, or that connection", () => {
  const dialogue = begun();
  const { client } = dialogue;
  dialogue.says(client.get(1, "/1"), client.get(3, "/3"), client.get(5, "/5"));
  const pod = dialogue.peer(1);
  assert.deepEqual(dialogue.answers(1, pod.data(1, "no head")), [
    "pod: RESET 1 PROTOCOL",
    "client: RESET 1 INTERNAL",
  ]);
  assert.deepEqual(dialogue.answers(1, pod.headers(3, false, "a=b")), [
    "pod: RESET 3 PROTOCOL",
    "client: RESET 3 INTERNAL",
  ]);
  assert.deepEqual(dialogue.answers(1, frame(5, 4, 5, uint32(2))), [
    "pod: GOAWAY 0 PROTOCOL PUSH_PROMISE was not asked for",
    "end 1",
    "client: RESET 5 INTERNAL",
  ]);
});

test("a destination that speaks no HTTP/2 costs its streams", () => {
  const dialogue = new Dialogue(byUser);
  dialogue.says(HTTP2_PREFACE, settings(), dialogue.client.get(1, "/"));
  const said = dialogue.answers(1, Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"));
  assert.ok(said.includes("client: RESET 1 INTERNAL"), said.join());
});

test("floods are bounded: of resets, of CONTINUATION, of streams, of header fields", () => {
  const calm = (lines: string[]): boolean =>
    lines.some((line) => /^client: GOAWAY \d+ CALM/.test(line)) && lines.includes("end-client");
  const rapid = begun();
  let said: string[] = [];
  for (let id = 1; id < 2200 && !calm(said); id += 2) {
    said = rapid.says(rapid.client.get(id, "/"), rapid.client.reset(id, 8));
    assert.equal(calm(said), id === 2001, `stream ${id}`);
  }
  const slow = begun();
  for (let id = 1; id < 6000; id += 2) {
    slow.nowMs += 10;
    assert.equal(calm(slow.says(slow.client.get(id, "/"), slow.client.reset(id, 8))), false);
  }
  const continued = begun();
  said = continued.says(frame(1, 0, 1, Buffer.alloc(0)));
  for (let each = 0; each < 65; each++) said = continued.says(frame(9, 0, 1, Buffer.alloc(0)));
  assert.ok(calm(said));
  const many = begun();
  for (let id = 1; id < 2000; id += 2) many.says(many.client.post(id, "/"));
  assert.deepEqual(many.says(many.client.post(2001, "/")), ["client: RESET 2001 REFUSED"]);
  const large = begun();
  const value = "v".repeat(4000);
  said = [];
  const block = large.client.get(1, "/", `a=${value}`);
  large.says(block);
  // Its index, 70 times: more than 256 KiB.
  const bomb = Buffer.concat([block.subarray(9, -1), Buffer.alloc(70, 0xbe)]);
  said = large.says(frame(1, 5, 3, bomb));
  assert.deepEqual(said, ["client: HEADERS 3 END :status=431"]);
});

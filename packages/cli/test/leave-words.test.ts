/** Which sessions are meant by what people type, and how `inpod status` tells of them. Pure. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import type { Agent, ListedService } from "@inpod/targets";
import { parseArguments } from "../src/arguments.ts";
import { choose } from "../src/leave/choose.ts";
import { parseEntry, type RunningSession } from "../src/running/entry.ts";
import type { Asked } from "../src/status/ask.ts";
import { rowsOf } from "../src/status/rows.ts";
import { holdings, serviceRows } from "../src/status/services.ts";

const entry = (sessionId: string, more: Partial<RunningSession> = {}) => ({
  session: {
    pid: 7,
    ...{ sessionId, mode: "exec", target: "deployment/web", pod: "pod/web-7d4f/container/app" },
    ...{ namespace: "shop", context: "c", sinceMs: 5, ...more },
  },
});
const ALL = [
  entry("aaaa000001"),
  entry("bbbb000002", { mode: "mesh", target: "service/orders", pod: "pod/orders-1" }),
  entry("cccc000003", { target: "process/17", pod: "process/17", namespace: undefined }),
];
const chosen = (sessions: string[], more = {}): string[] =>
  choose(ALL, {
    sessions,
    isAll: false,
    namespace: undefined,
    context: undefined,
    ...more,
  }).chosen.map(({ session }) => session.sessionId.slice(0, 4));

test("a session is meant by its id or its beginning, by its target as named or found, or by that one's name", () => {
  for (const word of ["aaaa000001", "aaaa", "deployment/web", "web", "pod/web-7d4f", "web-7d4f"])
    assert.deepEqual(chosen([word]), ["aaaa"], word);
  assert.deepEqual(chosen(["deployment/web/container/other"]), ["aaaa"]);
  assert.deepEqual(chosen(["process/17"]), ["cccc"]);
  assert.deepEqual(chosen(["17", "orders"]), ["bbbb", "cccc"]);
  for (const word of ["aaa", "we", "service/web", "shop", ""]) assert.deepEqual(chosen([word]), []);
});

test("without a name the only one is meant; of several none, but with --all", () => {
  assert.throws(
    () => chosen([]),
    (error) =>
      error instanceof UserError &&
      error.code === "LEAVE_WHICH" &&
      error.hints[1] ===
        'inpod leave bbbb000002   # mesh service/orders (pod/orders-1) in namespace "shop"' &&
      error.hints.length === 4,
  );
  assert.deepEqual(chosen([], { isAll: true }), ["aaaa", "bbbb", "cccc"]);
  assert.deepEqual(chosen([], { isAll: true, namespace: "shop" }), ["aaaa", "bbbb"]);
  assert.deepEqual(chosen(["orders"], { namespace: "other" }), []);
  const { chosen: none, unknown } = choose(ALL, {
    ...{ sessions: ["orders", "x"], isAll: false, namespace: "n", context: undefined },
  });
  assert.deepEqual([none, unknown], [[], ["orders", "x"]]);
});

test("what is no entry of a session is none", () => {
  const { session } = entry("aaaa000001");
  assert.deepEqual(parseEntry(JSON.stringify(session)), session);
  for (const wrong of ["", "{", "null", "[]", "1", '{"pid":1}'])
    assert.equal(parseEntry(wrong), undefined, wrong);
  assert.equal(parseEntry(JSON.stringify({ ...session, pid: "7" })), undefined);
  assert.equal(parseEntry(JSON.stringify({ ...session, namespace: 1 })), undefined);
});

const NOW = Date.parse("2026-01-01T00:10:00Z");
const port = {
  port: 8080,
  protocol: "tcp" as const,
  ...{ way: "steal" as const, sinceMs: NOW - 60_000, isActive: true, connections: 3, requests: 2 },
};
const PASSED = [{ port: 8080, connections: 1, requests: 4 }];
const told = (target: string, sessions: object[], passed: object[] = PASSED): Asked =>
  ({
    kind: "told",
    agent: { facts: { namespace: "shop", name: "x", target } } as Agent,
    status: { sessions, passed },
  }) as unknown as Asked;
const session = (owner: string, about: object | undefined, ports: object[], ageMs = 0) => ({
  ...{ sessionId: "s", owner, isConnected: true, sinceMs: NOW - ageMs, ports },
  ...(about === undefined ? {} : { about }),
});
const MESH = { mode: "mesh", target: "service/orders", machine: "desk" };
const FORWARD = { mode: "forward", target: "pod/db", machine: "lap", detail: "-L 5432:db:5432" };
const DB = told("pod/db", [session("bob", FORWARD, [], 5000)], []);
const ASKED: Asked[] = [
  told("pod/orders-1", [
    session("ann", MESH, [{ ...port, filter: "header version = ann" }]),
    session("old", undefined, [{ ...port, way: "mirror" }], 9000),
  ]),
  DB,
];

test("the status tells by which command each has what, and where it runs; of older ones what is known", () => {
  const rows = rowsOf(ASKED, { isEverywhere: false, nowMs: NOW });
  const orders = ["", "pod/orders-1"];
  assert.deepEqual(rows, [
    ["", "pod/db", "bob", "forward", "", "", "-L 5432:db:5432", "5s", "", "", "lap"],
    [
      ...[...orders, "ann", "mesh", "service/orders", "8080", "header version = ann"],
      ...["60s", "3", "2", "desk"],
    ],
    [...orders, "old", "", "", "8080", "copies of all", "60s", "3", "", ""],
    [...orders, "(the pod)", "", "", "8080", "what nobody takes", "", "1", "4"],
  ]);
  const by = (sort: "who" | "mode" | "age"): (string | undefined)[] =>
    rowsOf(ASKED.slice(0, 1).concat(DB), { isEverywhere: true, nowMs: NOW, sort })
      .map((row) => row[2])
      .filter((who) => who !== "(the pod)");
  assert.deepEqual(by("who"), ["ann", "bob", "old"]);
  assert.deepEqual(by("mode"), ["old", "bob", "ann"]);
  assert.deepEqual(by("age"), ["ann", "bob", "old"]);
});

const service = (name: string, pods: string[], more = {}): ListedService => ({
  ...{ namespace: "shop", name, ports: ["80/TCP"], pods, isOurs: false, owner: undefined, ...more },
});

test("a Service is whose pods, whose session's or whose preview it is", () => {
  const services = [
    service("web", ["web-1"]),
    service("orders", ["orders-1", "orders-2"]),
    service("mine", [], { isOurs: true, owner: "ann" }),
    service("db", ["db"]),
  ];
  const held = holdings(services, ASKED);
  const how = { isEverywhere: false, isHeldOnly: true, sort: "target" } as const;
  assert.deepEqual(serviceRows(held, how), [
    ["", "db", "80/TCP", "forward", "bob", "-L 5432:db:5432"],
    ["", "mine", "80/TCP", "preview", "ann", "all"],
    ["", "orders", "80/TCP", "mesh", "ann", "8080: header version = ann"],
    ["", "orders", "80/TCP", "", "old", "8080: copies of all"],
  ]);
  const all = serviceRows(held, { ...how, isHeldOnly: false, sort: "mode" });
  assert.deepEqual(
    all.map((row) => row[1]),
    ["orders", "db", "orders", "mine", "web"],
  );
});

test("what ktctl sorts by is understood", () => {
  const sort = (...argv: string[]) => {
    const parsed = parseArguments(["status", ...argv]);
    return parsed.kind === "status" ? parsed.sort : undefined;
  };
  assert.deepEqual(
    [sort(), sort("--sort-by", "status"), sort("--sort-by=name"), sort("--sort-by", "age")],
    ["target", "mode", "target", "age"],
  );
  assert.throws(() => sort("--sort-by", "colour"), /target, who, mode, age/);
});

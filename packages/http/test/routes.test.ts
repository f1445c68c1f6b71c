/** Who gets a request if several want some, and what is counted of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFilter, type RequestFacts, Routes } from "../src/index.ts";

const request = (name?: string): RequestFacts => ({
  method: "POST",
  target: "/",
  headers: name === undefined ? [] : [{ name: "x-user", value: name }],
});
const none = () => ({ requests: 0 });

test("each request is counted once, for whoever gets it", () => {
  const [pod, ann, all] = [none(), none(), none()];
  const routes = new Routes<string>("pod", pod);
  routes.add("ann", parseFilter({ header: "^x-user: ann$" }), ann);
  assert.equal(routes.route(request("ann")), "ann");
  assert.equal(routes.route(request()), "pod");
  routes.add("all", undefined, all);
  assert.equal(routes.route(request()), "all");
  assert.equal(routes.route(request()), "all");
  routes.remove("all");
  assert.equal(routes.route(request()), "pod");
  assert.deepEqual([pod, ann, all], [{ requests: 2 }, { requests: 1 }, { requests: 2 }]);
});

test("a request whose body decides is counted when it has decided", () => {
  const [pod, body] = [none(), none()];
  const routes = new Routes<string>("pod", pod);
  routes.add("body", parseFilter({ body: { body: "json", query: "$.a", matches: "^1$" } }), body);
  const asks: RequestFacts = {
    ...request(),
    headers: [{ name: "content-type", value: "application/json" }],
  };
  assert.equal(routes.route(asks), "needs-body");
  assert.deepEqual([pod, body], [none(), none()]);
  assert.equal(routes.routeWithBody(asks, Buffer.from('{"a": 1}')), "body");
  assert.equal(routes.routeWithBody(asks, Buffer.from('{"a": 2}')), "pod");
  assert.deepEqual([pod, body], [{ requests: 1 }, { requests: 1 }]);
});

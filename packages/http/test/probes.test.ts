import assert from "node:assert/strict";
import { test } from "node:test";
import { isKubeletRequest, parseFilter, Routes } from "@inpod/http";

const request = (target: string, userAgent?: string) => ({
  method: "GET",
  target,
  headers: userAgent === undefined ? [] : [{ name: "user-agent", value: userAgent }],
});

test("the kubelet says who it is, whatever path the pod's redirects send it to", () => {
  const isProbe = isKubeletRequest([{ kind: "http", path: "/healthz" }]);
  assert.equal(isProbe?.(request("/healthz", "kube-probe/1.35")), true);
  assert.equal(isProbe?.(request("/healthz/", "kube-probe/1.35")), true);
  assert.equal(isProbe?.(request("/stop", "kube-lifecycle/1.35")), true);
  assert.equal(isProbe?.(request("/healthz", "curl/8")), false);
  assert.equal(isProbe?.(request("/healthz")), false);
  assert.equal(isProbe?.(request("/healthz", "not kube-probe/1.35")), false);
});

test("a probe with a User-Agent of its own is known by that and its path", () => {
  const isProbe = isKubeletRequest([
    { kind: "http", path: "ready now?a=1#x", userAgent: " mine " },
    { kind: "http", path: "/silent", userAgent: "" },
  ]);
  assert.equal(isProbe?.(request("/ready%20now?a=1", "mine")), true);
  assert.equal(isProbe?.(request("/ready%20now", "mine")), false);
  assert.equal(isProbe?.(request("/ready%20now?a=1", "other")), false);
  assert.equal(isProbe?.(request("/silent")), true);
  assert.equal(isProbe?.(request("/other")), false);
  assert.equal(isProbe?.(request("/%", "mine")), false);
});

test("where there are TCP probes only no request is one", () => {
  assert.equal(isKubeletRequest([{ kind: "tcp" }]), undefined);
  assert.notEqual(isKubeletRequest([{ kind: "grpc" }]), undefined);
});

test("a probe goes to nobody who has not asked for probes, whatever filters match it", () => {
  const routes = new Routes(
    "pod",
    undefined,
    isKubeletRequest([{ kind: "http", path: "/healthz" }]),
  );
  const probe = request("/healthz", "kube-probe/1.35");
  routes.add("ann", parseFilter({ path: "^/healthz" }));
  routes.add("eve", undefined);
  assert.equal(routes.route(probe), "pod");
  assert.equal(routes.routeWithBody(probe, undefined), "pod");
  assert.equal(routes.restOfProbes, "pod");
  assert.equal(routes.route(request("/healthz", "curl/8")), "ann");
  assert.equal(routes.route(request("/", "curl/8")), "eve");
  const all = parseFilter({ header: "^user-agent: kube" });
  assert.equal(routes.add("bob", all, undefined, { takesProbes: true }), undefined);
  assert.equal(routes.route(probe), "bob");
  assert.equal(routes.routeWithBody(probe, undefined), "bob");
  routes.remove("bob");
  routes.remove("eve");
  routes.add("eve", undefined, undefined, { takesProbes: true });
  assert.equal(routes.route(probe), "eve");
  assert.equal(routes.restOfProbes, "eve");
});

test("a probe does not wait for a body that would decide", () => {
  const routes = new Routes("pod", undefined, isKubeletRequest([{ kind: "http" }]));
  routes.add("ann", parseFilter({ body: "json", query: "$.a", matches: "1" }));
  assert.equal(routes.route(request("/", "kube-probe/1.35")), "pod");
  assert.equal(routes.route(request("/", "curl/8")), "needs-body");
});

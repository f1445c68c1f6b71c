import assert from "node:assert/strict";
import { test } from "node:test";
import type { TlsObstacle } from "@inpod/protocol";
import { ALLOWS_ALL } from "@inpod/protocol";
import { missedLine, tlsLine } from "../src/exec/follow.ts";
import { whyNoMirror } from "../src/exec/permission.ts";
import { rungLine } from "../src/exec/rung.ts";

const JOB = { kind: "job", words: "a job", missing: {} } as const;

test("stealing and mirroring need different rights, and each is named when it is missing", () => {
  assert.equal(rungLine(JOB, {}), undefined);
  assert.equal(
    rungLine(JOB, { incoming: "A" }),
    "agent: a job: stealing is not available because A",
  );
  assert.equal(
    rungLine(JOB, { mirror: "B" }),
    "agent: a job: mirroring is not available because B",
  );
  for (const [missing, why] of [
    [{ incoming: "A", mirror: "B" }, "A; B"],
    [{ incoming: "A", mirror: "A" }, "A"],
  ] as const)
    assert.equal(rungLine(JOB, missing), `agent: a job: incoming is not available because ${why}`);
});

test("the cluster's words say why nothing comes in, and the agent's are left out", () => {
  const rung = {
    kind: "unprivileged-ephemeral",
    words: "small",
    missing: { incoming: "C" },
  } as const;
  for (const missing of [{}, { mirror: "B" }, { incoming: "A", mirror: "B" }])
    assert.equal(rungLine(rung, missing), "agent: small: incoming is not available because C");
});

test("what was not mirrored is one line, with the count and the port where it is known", () => {
  assert.equal(
    missedLine({ port: 8080, what: "began-before", count: 1 }),
    "inpod: mirror of port 8080: 1 connection from before not mirrored until made anew",
  );
  assert.match(
    missedLine({ port: 8080, what: "tls", count: 3 }),
    /: 3 connections with TLS not mirrored/,
  );
  assert.match(
    missedLine({ port: 0, what: "packets", count: 2 }),
    /^inpod: mirror: 2 packets lost/,
  );
  for (const what of ["hole", "limit", "malformed"] as const)
    assert.match(missedLine({ port: 1, what, count: 1 }), /1 connection mirrored no further/);
  assert.match(
    missedLine({ port: 1, what: "not-http", count: 2 }),
    /^inpod: mirror of port 1: 2 connections without HTTP not mirrored: http_filter/,
  );
});

test("owners who forbid copies are named", () => {
  const from = ["deployment/orders"];
  assert.equal(whyNoMirror(undefined), undefined);
  assert.equal(whyNoMirror({ ...ALLOWS_ALL, from, steal: "forbidden" }), undefined);
  assert.match(
    whyNoMirror({ ...ALLOWS_ALL, from, mirror: "forbidden" }) ?? "",
    /deployment\/orders says no-mirror/,
  );
});

test("of TLS that no filter sees one line says why, and what to do or what becomes of it", () => {
  const line = (why: TlsObstacle, detail = ""): string => tlsLine({ port: 8443, why, detail });
  assert.match(
    line("no-certificate"),
    /port 8443: your filter sees nothing.*incoming\.tls.*without/,
  );
  assert.match(line("other-name", "a.test"), /"a\.test".*none of your certificates.*untouched/);
  assert.match(line("client-certificate"), /asks its clients for certificates.*untouched/);
  assert.match(line("pod", "handshake failure"), /refuses TLS \(handshake failure\).*untouched/);
  assert.match(line("refused", "unknown ca"), /does not take your certificate: unknown ca/);
});

/** The words of inpod dump, and what becomes of foreign bytes in each of its forms. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Seen } from "@inpod/ports";
import { UserError } from "@inpod/protocol";
import { parseArguments } from "../src/arguments.ts";
import type { DumpArguments } from "../src/dump/arguments.ts";
import { formOf } from "../src/dump/form.ts";
import { withoutSecrets } from "../src/dump/secrets.ts";

const dump = (...words: string[]): DumpArguments =>
  parseArguments(["dump", ...words]) as DumpArguments;
const refusal = (...words: string[]): string => {
  try {
    dump(...words);
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return [error.code, error.message, ...error.hints].join("\n");
  }
  return assert.fail("it was understood");
};

test("mirrord's words and ours are the same dump", () => {
  assert.deepEqual(dump("-t", "pod/a", "-p", "80", "-p", "81"), dump("pod/a", "-p", "80,81"));
  const { target, ports, maxBodyBytes, output } = dump("a", "-p", "http,53/UDP", "--max-body=64k");
  assert.deepEqual([target, maxBodyBytes, output], ["a", 65_536, "text"]);
  assert.deepEqual(
    ports.map(({ port, protocol }) => [port, protocol]),
    [
      ["http", undefined],
      [53, "udp"],
    ],
  );
});

test("what is no port, size or single target is refused with what would be one", () => {
  for (const port of ["0", "65536", "80/sctp", "80:81", "-", "a_b"])
    assert.match(refusal("a", "-p", port), /USAGE_INVALID\n-p ".*" is no port\n.*-p 8080,http/);
  assert.match(refusal("a", "-t", "b"), /two targets: "a" and -t "b"/);
  for (const size of ["17m", "-1", "x"]) assert.match(refusal("a", `--max-body=${size}`), /16m/);
  assert.match(refusal("a", "-o", "xml"), /text, json, har/);
});

const connection = {
  number: 1,
  protocol: "tcp",
  client: { address: "fd00::9", port: 5 },
  local: { address: "10.0.0.1", port: 80 },
} as const;
const time = new Date(0);
const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");
const hostile: Seen[] = [
  {
    ...{ kind: "request", connection, time, stream: undefined, trailers: [], end: "whole" },
    request: {
      ...{ version: "1.1", method: "POST", target: "/\xc2\x9b31m\x9b?a=%zz&b" },
      headers: [
        { name: "host", value: "\xff\x9b[evil" },
        { name: "cookie", value: "s3cret=1" },
        { name: "x-name", value: "\xc3\xa9\tx" },
      ],
    },
    body: { bytes: bytes("a\xc2\x9bb"), length: 4 },
  },
  {
    kind: "bytes",
    connection,
    time,
    offset: 16,
    length: 99,
    ofHead: false,
    bytes: bytes("\x1b]0;x\x07 x-API-key : s3cret\r\n"),
  },
  { kind: "bytes", connection, time, offset: 0, length: 6, ofHead: true, bytes: bytes("s3cret") },
];

test("foreign bytes neither steer a terminal nor carry secrets, in any form", () => {
  for (const format of ["text", "json", "har"] as const) {
    const form = formOf(format, { showSecrets: false });
    const said = form.begin + hostile.map((seen) => form.next(seen)).join("") + form.end;
    // A hex dump ends its lines; nothing else may be a control character.
    assert.doesNotMatch(said, /[^\P{Cc}\n]/u, format);
    const decoded = said.replace(/"base64":"([^"]*)"/g, (_, text) =>
      Buffer.from(text, "base64").toString("latin1"),
    );
    assert.ok(!decoded.includes("s3cret"), `${format}: ${decoded}`);
    const open = formOf(format, { showSecrets: true });
    assert.ok(
      hostile
        .map((seen) => open.next(seen))
        .join("")
        .includes("s3cret=1"),
      format,
    );
  }
});

test("what looks like a secret's header in other bytes keeps its length", () => {
  assert.equal(
    Buffer.from(withoutSecrets(bytes("\xff\r\nAuthorization: Bearer x\r\nA: b"))).toString(
      "latin1",
    ),
    "\xff\r\nAuthorization: ********\r\nA: b",
  );
});

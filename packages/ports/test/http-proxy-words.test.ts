import assert from "node:assert/strict";
import { test } from "node:test";
import { endToEnd, readAbsoluteForm, readAuthority } from "../src/http-proxy/words.ts";

test("CONNECT's authority is a host and a port, IPv6 in brackets", () => {
  assert.deepEqual(readAuthority("orders.shop:443"), { host: "orders.shop", port: 443 });
  assert.deepEqual(readAuthority("[fd00::7]:443"), { host: "fd00::7", port: 443 });
  assert.deepEqual(readAuthority("10.0.0.7", 80), { host: "10.0.0.7", port: 80 });
  for (const text of [
    ...["orders", "orders:", "orders:0", "orders:65536", ":443", "a b:443", "fd00::7:443", ""],
    ...["[fd00::7]", "[x]:443", "[10.0.0.7]:443", "a/b:443", "a@b:443", `${"a".repeat(254)}:443`],
  ])
    assert.equal(readAuthority(text), undefined, text);
});

test("an absolute form is http, and goes on in origin form", () => {
  const path = (text: string): string | undefined => {
    const form = readAbsoluteForm(text);
    return form && `${form.to.host} ${form.to.port} ${form.path}`;
  };
  assert.equal(path("http://orders/a?b=1"), "orders 80 /a?b=1");
  assert.equal(path("HTTP://orders:8080"), "orders 8080 /");
  assert.equal(path("http://orders?q"), "orders 80 /?q");
  assert.equal(path("http://me:secret@orders/"), "orders 80 /");
  assert.equal(path("http://[fd00::7]:81/x"), "fd00::7 81 /x");
  for (const text of ["/a", "*", "https://orders/", "http://", "http:///a", "ftp://orders/", ""])
    assert.equal(path(text), undefined, text);
});

test("fields of this hop are left out, also those that Connection names, but never a message's length or host", () => {
  assert.deepEqual(
    endToEnd([
      ...["Host", "a", "Proxy-Connection", "keep-alive", "Proxy-Authorization", "c4n4ry"],
      ...["Connection", "close, X-Own, Content-Length, host", "X-Own", "1", "Content-Length", "3"],
      ...["Set-Cookie", "a", "Set-Cookie", "b", "TE", "trailers", "X-Kept", "v"],
    ]),
    ["Host", "a", "Content-Length", "3", "Set-Cookie", "a", "Set-Cookie", "b", "X-Kept", "v"],
  );
});

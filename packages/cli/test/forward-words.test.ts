import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import { parseArguments } from "../src/arguments.ts";
import type { ConnectArguments } from "../src/connect/arguments.ts";
import { chooseMode } from "../src/connect/mode.ts";
import { proxyVariables, renderVariables } from "../src/connect/variables.ts";
import type { ForwardArguments } from "../src/forward/arguments.ts";

const forward = (...words: string[]): ForwardArguments => {
  const read = parseArguments(["forward", ...words]);
  assert.equal(read.kind, "forward");
  return read as ForwardArguments;
};
const connect = (...words: string[]): ConnectArguments =>
  parseArguments(["connect", ...words]) as ConnectArguments;
/** As it is meant: ADDRESS LOCAL HOST PORT PROTOCOL. */
const locals = (...words: string[]): string[] =>
  forward(...words).locals.map(({ address, localPort, host, port, protocol }) =>
    [address ?? "loopback", localPort, host ?? "target", port, protocol].join(" "),
  );
const usage = (words: readonly string[], what: RegExp): void => {
  assert.throws(
    () => parseArguments(words),
    (error) => error instanceof UserError && /^USAGE/.test(error.code) && what.test(error.message),
    words.join(" "),
  );
};

test("-L takes what ssh, mirrord and kubectl call it", () => {
  for (const [text, meant] of [
    ["8080:orders:80", "loopback 8080 orders 80 tcp"],
    ["8080:10.0.0.7:80", "loopback 8080 10.0.0.7 80 tcp"],
    ["10.0.0.7:80", "loopback 80 10.0.0.7 80 tcp"],
    ["orders.shop.svc:80", "loopback 80 orders.shop.svc 80 tcp"],
    ["0.0.0.0:8080:orders:80", "0.0.0.0 8080 orders 80 tcp"],
    ["127.0.0.1:orders:80", "127.0.0.1 80 orders 80 tcp"],
    ["*:8080:orders:80", "0.0.0.0 8080 orders 80 tcp"],
    ["localhost:8080:orders:80", "loopback 8080 orders 80 tcp"],
    ["[::1]:8080:[fd00::7]:80", "::1 8080 fd00::7 80 tcp"],
    [":8080:orders:80", "loopback 8080 orders 80 tcp"],
    ["8080:80", "loopback 8080 target 80 tcp"],
    ["80", "loopback 80 target 80 tcp"],
    ["0:orders:80", "loopback 0 orders 80 tcp"],
    ["5353:kube-dns.kube-system:53/udp", "loopback 5353 kube-dns.kube-system 53 udp"],
    ["53/UDP", "loopback 53 target 53 udp"],
    ["8080:example.com.:80/tcp", "loopback 8080 example.com. 80 tcp"],
  ] as const)
    assert.deepEqual(locals("-L", text), [meant], text);
  assert.equal(locals("-L", "1:a:1, 2:b:2", "-L", "3:c:3").length, 3);
});

test("operands are a Service, an address or a target, and ports", () => {
  assert.deepEqual(locals("orders", "8080:80", "9090"), [
    "loopback 8080 orders 80 tcp",
    "loopback 9090 orders 9090 tcp",
  ]);
  assert.deepEqual(locals("svc/orders", "8080:80"), ["loopback 8080 orders 80 tcp"]);
  assert.deepEqual(locals("10.0.0.7", "53/udp"), ["loopback 53 10.0.0.7 53 udp"]);
  assert.deepEqual(locals("[fd00::7]", "80"), ["loopback 80 fd00::7 80 tcp"]);
  assert.deepEqual(locals("-t", "pod/a", "8080:80"), ["loopback 8080 target 80 tcp"]);
  assert.equal(forward("deploy/orders", "8080:80").target, "deployment/orders");
  assert.equal(forward("orders", "8080:80").target, undefined);
  assert.equal(parseArguments(["port-forward", "orders", "80"]).kind, "forward");
});

test("-R takes the target's port first", () => {
  const [one, other, udp] = forward(
    "-t",
    "pod/a",
    "-R",
    "80:8080,9000",
    "-R",
    "53:5353/udp",
  ).remotes;
  assert.deepEqual([one?.remote, one?.local, one?.protocol], [80, 8080, "tcp"]);
  assert.deepEqual([other?.remote, other?.local], [9000, 9000]);
  assert.deepEqual([udp?.remote, udp?.local, udp?.protocol], [53, 5353, "udp"]);
});

test("what says no ports is refused with what would", () => {
  for (const text of [
    ...[
      "",
      "a",
      "a:b",
      "a:b:c",
      "80:",
      "8080:orders:",
      "65536",
      "8080:orders:65536",
      "0",
      "8080:0",
    ],
    ...["8080:orders:80:1:2", "fd00::7:80", "[fd00::7:80", "x:8080:orders:80", "8080:or ders:80"],
    ...["8080:orders:80/sctp", "-1:orders:80", "8080:http://orders:80", "8080:orders:80,"],
    "8080:orders..shop:80",
  ])
    usage(["forward", `-L${text}`], /says no ports|argument missing/);
  for (const text of ["", "a", "0", "80:8080:1", "80:", ":80", "0:80", "80:0", "80:8080/quic"])
    usage(["forward", "-t", "pod/a", `-R${text}`], /says no ports|argument missing/);
  usage(["forward"], /needs ports/);
  usage(["forward", "orders"], /which port of orders/);
  usage(["forward", "deployment/orders"], /which port of deployment\/orders/);
  usage(["forward", "orders", "a:80"], /says no ports/);
  usage(["forward", "or ders", "80"], /says no ports/);
  usage(["forward", "-t", "pod/a", "pod/b", "80"], /from pod\/b or from pod\/a/);
  usage(["forward", "-L", "80:a:80,80:b:80"], /to go to two places/);
  assert.equal(locals("-L", "53:a:53,53:a:53/udp,0:a:1,0:a:2").length, 4);
});

test("3000 mutations of a specification are read or refused, and never fail otherwise", () => {
  let state = 0x2545f491;
  const next = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  const pieces = [
    "8080",
    "0",
    ":",
    "[",
    "]",
    "::",
    "orders",
    ".",
    "/udp",
    "10.0.0.7",
    ",",
    " ",
    "-",
  ];
  let good = 0;
  for (let i = 0; i < 3000; i++) {
    const text = Array.from({ length: 1 + next(7) }, () => pieces[next(pieces.length)]).join("");
    try {
      for (const { port, localPort } of forward("-t", "pod/a", `-L${text}`).locals)
        assert.ok(port > 0 && port < 65_536 && localPort >= 0);
      good++;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
    }
  }
  assert.ok(good > 20, `${good}`);
});

test("connect has a command, a proxy or routes, and flags of one are none of another", () => {
  assert.deepEqual(connect("-n", "shop", "--", "curl", "-v", "http://orders").command, [
    ...["curl", "-v", "http://orders"],
  ]);
  assert.deepEqual(connect("bash", "-c", "true").command, ["bash", "-c", "true"]);
  assert.equal(connect("--proxyPort", "2223", "--proxyAddr", "127.0.0.2").port, 2223);
  assert.equal(connect("--address", "localhost").address, "127.0.0.1");
  usage(["connect", "--port", "1", "--", "true"], /--port is for inpod connect without a command/);
  usage(["connect", "--mode", "routes", "--port", "1"], /--port is of the proxy/);
  usage(["connect", "--port", "x"], /invalid/);
  usage(["connect", "--address", "example.com"], /invalid/);
  usage(["connect", "--mode", "vpn"], /not known here|invalid/);
  const linux = { platform: "linux", isRoot: true, noRoutes: undefined } as const;
  const kinds = (args: ConnectArguments, machine: Parameters<typeof chooseMode>[1]): string =>
    chooseMode(args, machine).kind;
  assert.equal(kinds(connect(), linux), "routes");
  assert.equal(kinds(connect(), { ...linux, isRoot: false }), "proxy");
  assert.equal(kinds(connect(), { ...linux, platform: "darwin" }), "proxy");
  assert.equal(kinds(connect(), { ...linux, noRoutes: "no" }), "proxy");
  assert.equal(kinds(connect("--port", "0"), linux), "proxy");
  assert.equal(kinds(connect("--include", "10.0.0.0/8"), { ...linux, isRoot: false }), "routes");
  usage(["connect", "--mode", "proxy", "--exclude", "10.0.0.0/8"], /--exclude is of routes/);
  usage(["connect", "--no-dns", "--", "true"], /--no-dns is of routes/);
  assert.equal(kinds(connect("--mode", "proxy"), linux), "proxy");
  assert.equal(kinds(connect("--", "true"), linux), "command");
});

test("the proxy's variables are in the words of each shell", () => {
  const variables = proxyVariables({ host: "::1", port: 1080 });
  assert.equal(variables.ALL_PROXY, "socks5h://[::1]:1080");
  assert.match(
    renderVariables("shell", variables),
    /^export .*http_proxy='http:\/\/\[::1\]:1080'.*\n$/,
  );
  assert.match(
    renderVariables("fish", variables),
    /set -gx no_proxy 'localhost,127\.0\.0\.1,::1';\n$/,
  );
  assert.doesNotMatch(renderVariables("powershell", variables), /http_proxy/);
  assert.deepEqual(JSON.parse(renderVariables("json", variables)), variables);
});

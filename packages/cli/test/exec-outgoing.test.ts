import assert from "node:assert/strict";
import { test } from "node:test";
import { NETWORK, type WitnessName, witnessNames } from "@inpod/sandbox";
import { quoted, Run, runInpod, startInpod, useSandbox, witness } from "./exec-support.ts";

const { sandbox } = await useSandbox();

const named = (suffix: string): WitnessName[] =>
  witnessNames.filter((name) => name.endsWith(suffix));
const { greetings, httpPort, refusedPort } = NETWORK.services;
const BODY = `greetings to ${NETWORK.pod.address}`;

test("curl is answered by name and by address, and names a refusal", async () => {
  const script = `
    curl -sS --max-time 20 http://greetings/ || exit 1
    curl -sS --max-time 20 -w '%{remote_ip}:%{remote_port} %{local_ip}\\n' http://${greetings}/ || exit 1
    curl -sS --max-time 20 http://greetings:${refusedPort}/ 2>/dev/null; echo "code $?"`;
  const { stdout, stderr, code } = await runInpod(sandbox, ["sh", "-c", script]);
  assert.equal(code, 0, stderr);
  assert.equal(
    stdout,
    `${BODY}\n${BODY}\n${greetings}:${httpPort} ${NETWORK.pod.address}\ncode 7\n`,
  );
});

test("a client's own deadline ends a connect to an address that never answers", async (t) => {
  const argv = await witness("c-client", t);
  if (argv === undefined) return;
  const script = `
    curl -s --connect-timeout 1 http://${NETWORK.blackHole}/; echo "curl $?"
    python3 -c 'import socket
try: socket.create_connection(("${NETWORK.blackHole}", 80), timeout=1)
except TimeoutError: print("TimeoutError")'
    timeout 1 ${quoted([...argv, NETWORK.blackHole, "80", "/"])}; echo "blocking $?"`;
  const since = performance.now();
  const { stdout, stderr } = await runInpod(sandbox, ["sh", "-c", script]);
  assert.equal(stdout, "curl 28\nTimeoutError\nblocking 124\n", stderr);
  // The kernel gives up after 127 s.
  assert.ok(performance.now() - since < 100_000);
});

test("without TCP Fast Open, from the beginning or later, a blocking connect waits and is answered", async (t) => {
  const setting = "/proc/sys/net/ipv4/tcp_fastopen";
  const set = async (value: string): Promise<number | null> => {
    const argv = ["sh", "-c", `echo ${value} >${setting}`];
    return (await new Run(sandbox.inLaptop(argv)).ended).code;
  };
  if ((await set("0")) !== 0) return t.skip(`${setting} of a network namespace cannot be set`);
  const client = `
import socket
for host, port in (("${greetings}", ${httpPort}), ("${greetings}", ${refusedPort})):
    input()
    s = socket.socket()
    print("connect", s.connect_ex((host, port)), flush=True)
print("over", flush=True)`;
  try {
    for (const later of ["0", "1"]) {
      assert.equal(await set(later), 0);
      const run = await startInpod(
        sandbox,
        ["python3", "-c", `print("started", flush=True)${client}`],
        {
          stdin: "pipe",
        },
      );
      await run.said("started");
      await set("0");
      run.child.stdin?.end("one\ntwo\n");
      const { stdout, stderr } = await run.ended;
      assert.equal(stdout, "started\nconnect 0\nconnect 111\nover\n", stderr);
    }
  } finally {
    await set("1");
  }
});

for (const name of named("-nonblock50")) {
  test(`${name} has 50 connections at once, and each refusal says ECONNREFUSED`, async (t) => {
    const argv = await witness(name, t);
    if (argv === undefined) return;
    const call = (port: number): string => quoted([...argv, greetings, String(port)]);
    const { stdout, stderr } = await runInpod(sandbox, [
      "sh",
      "-c",
      `${call(httpPort)}; ${call(refusedPort)}`,
    ]);
    const lines = stdout.trim().split("\n");
    assert.equal(lines.length, 2, stderr + stdout);
    const [good, refused] = lines.map((line) => JSON.parse(line).results);
    assert.deepEqual(good, { ok: 50 }, stderr);
    assert.deepEqual(refused, { ECONNREFUSED: 50 }, stderr);
  });
}

const DATAGRAM = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect(("${greetings}", ${NETWORK.services.udpEchoPort}))
s.send(b"connected"); print(s.recv(100).decode(), s.getpeername(), s.getsockname()[0])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.sendto(b"unconnected", ("${greetings}", ${NETWORK.services.udpEchoPort})); print(s.recvfrom(100))
`;

test("datagrams leave from the pod and come back from their peer", async () => {
  const { stdout, stderr } = await runInpod(sandbox, ["python3", "-c", DATAGRAM]);
  const peer = `('${greetings}', ${NETWORK.services.udpEchoPort})`;
  assert.equal(
    stdout,
    `connected ${peer} ${NETWORK.pod.address}\n(b'unconnected', ${peer})\n`,
    stderr,
  );
});

test("the pod's own loopback is reached, and what listens only here is reached where it refuses", async () => {
  const script = `
import socket, threading, os
own = socket.socket(); own.bind(("127.0.0.1", 0)); own.listen()
sidecar = socket.create_connection(("127.0.0.1", ${NETWORK.pod.sidecarPort}), timeout=5)
sidecar.sendall(b"to the sidecar"); print(sidecar.recv(100).decode())
here = socket.create_connection(("127.0.0.1", own.getsockname()[1]), timeout=5)
there, _ = own.accept(); here.sendall(b"to myself"); print(there.recv(100).decode())
try: socket.create_connection(("127.0.0.1", 1), timeout=5)
except ConnectionRefusedError: print("refused")`;
  const { stdout, stderr } = await runInpod(sandbox, ["python3", "-c", script]);
  assert.equal(stdout, "to the sidecar\nto myself\nrefused\n", stderr);
});

test("a name with more addresses than a datagram holds is resolved over TCP", async () => {
  const script = `import socket; print(len({a[4][0] for a in socket.getaddrinfo("large", 80)}))`;
  const { stdout, stderr } = await runInpod(sandbox, ["python3", "-c", script]);
  assert.equal(stdout, "60\n", stderr);
});

/** Which of the addresses a program reaches; the laptop has no network, so what is local fails at once. */
const REACH = (urls: readonly string[]): string[] => [
  "sh",
  "-c",
  urls.map((url) => `curl -s -o /dev/null --max-time 10 ${url}; echo "$?"`).join("\n"),
];
const METADATA = `http://${NETWORK.services.metadata}/`;
const GREETINGS = `http://${greetings}/`;

test("with a filter by address only that address is the pod's", async () => {
  const config = {
    feature: { network: { outgoing: { filter: { remote: [NETWORK.services.metadata] } } } },
  };
  const { stdout, stderr } = await runInpod(sandbox, REACH([METADATA, GREETINGS]), { config });
  assert.equal(stdout, "0\n7\n", stderr);
});

test("with a filter by name the addresses of that name are the pod's", async () => {
  const config = {
    feature: {
      network: { outgoing: { filter: { remote: ["greetings.shop.svc.cluster.local"] } } },
    },
  };
  const { stdout, stderr } = await runInpod(sandbox, REACH(["http://greetings/", METADATA]), {
    config,
  });
  assert.equal(stdout, "0\n7\n", stderr);
});

test("a local filter leaves everything else to the pod", async () => {
  const config = {
    feature: { network: { outgoing: { filter: { local: [`${greetings}:80`] } } } },
  };
  const { stdout, stderr } = await runInpod(sandbox, REACH([METADATA, GREETINGS]), { config });
  assert.equal(stdout, "0\n7\n", stderr);
});

test("--no-outgoing and --no-remote-dns leave connections and names to this machine", async () => {
  const off = await runInpod(sandbox, REACH([METADATA]), { flags: ["--no-outgoing"] });
  assert.equal(off.stdout, "7\n", off.stderr);
  // 6: curl could not resolve the name.
  const noNames = await runInpod(sandbox, REACH(["http://greetings/", GREETINGS]), {
    flags: ["--no-remote-dns"],
  });
  assert.equal(noNames.stdout, "6\n0\n", noNames.stderr);
});

test("a skipped program is on this machine, what it starts is not", async () => {
  const config = { skip_processes: ["curl"] };
  const script = `curl -s --max-time 10 ${GREETINGS}; echo "curl $?"
    python3 -c 'import urllib.request; print(urllib.request.urlopen("${GREETINGS}").read().decode().strip())'`;
  const { stdout, stderr } = await runInpod(sandbox, ["sh", "-c", script], { config });
  assert.equal(stdout, `curl 7\n${BODY}\n`, stderr);
});

test("decisions are told with their reasons under --verbose, and nothing of it on stdout", async () => {
  const run = await startInpod(sandbox, ["curl", "-s", GREETINGS], { flags: ["--verbose"] });
  const { stdout, stderr } = await run.ended;
  assert.equal(stdout, `${BODY}\n`);
  assert.match(stderr, /decision connect tcp 198\.18\.200\.10:80 → remote {2}because /);
});

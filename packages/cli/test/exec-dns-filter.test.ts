/** feature.network.dns.filter and feature.network.ipv6, as programs see them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import { runInpod, useSandbox } from "./exec-support.ts";

const { sandbox } = await useSandbox();

const { greetings, nameServer } = NETWORK.services;

/** A name that only this machine's hosts file has, with one address of IPv4. */
function ownName(): readonly [name: string, address: string] | undefined {
  const lines = readFileSync("/etc/hosts", "latin1").split("\n");
  for (const line of lines) {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    const name = names.find(
      (each) => /^[a-z][a-z0-9-]*$/i.test(each) && !/^(ip6-|localhost)/.test(each),
    );
    const others = lines.filter((each) => name !== undefined && each.split(/\s+/).includes(name));
    if (name !== undefined && /^[\d.]+$/.test(address) && others.length === 1)
      return [name, address];
  }
  return undefined;
}

/** Prints what each name is by the program's own resolver, and by a question over TCP. */
const RESOLVE = `
import socket, struct, sys
def tcp(name):
    query = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0)
    query += b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\\0" + struct.pack(">HH", 1, 1)
    s = socket.create_connection(("${nameServer}", 53), timeout=10)
    s.sendall(struct.pack(">H", len(query)) + query)
    size = struct.unpack(">H", s.recv(2, socket.MSG_WAITALL))[0]
    answer = s.recv(size, socket.MSG_WAITALL)
    rcode, count = answer[3] & 15, struct.unpack(">H", answer[6:8])[0]
    return "rcode %d" % rcode if not count else socket.inet_ntoa(answer[-4:])
for name in sys.argv[1:]:
    try: udp = sorted({a[4][0] for a in socket.getaddrinfo(name, 80, socket.AF_INET)})
    except socket.gaierror: udp = []
    print(name, *udp, "|", tcp(name))`;

const resolved = async (filter: object, names: readonly string[]): Promise<string> => {
  const { stdout, stderr, code } = await runInpod(sandbox, ["python3", "-c", RESOLVE, ...names], {
    config: { feature: { network: { dns: { filter } } } },
  });
  assert.equal(code, 0, stderr);
  return stdout;
};

test("names that dns.filter.local names are this machine's, by its own files; the others are the pod's", async (t) => {
  const own = ownName();
  if (!own) return t.skip("needs a name of its own in this machine's /etc/hosts");
  const [name, address] = own;
  assert.equal(
    await resolved({ local: [name] }, [name, "greetings.shop.svc.cluster.local"]),
    `${name} ${address} | ${address}\ngreetings.shop.svc.cluster.local ${greetings} | ${greetings}\n`,
  );
});

test("with dns.filter.remote only those names are the pod's", async () => {
  const [pods, others] = ["greetings.shop.svc.cluster.local", "orders.shop.svc.cluster.local"];
  assert.equal(
    await resolved({ remote: ["greetings"] }, [pods, others]),
    `${pods} ${greetings} | ${greetings}\n${others} | rcode 3\n`,
  );
});

test("with feature.network.ipv6 off there are no sockets of IPv6, and IPv4 is as before", async () => {
  const script = `
import errno, socket, urllib.request
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    try: socket.socket(socket.AF_INET6, kind); print("made")
    except OSError as e: print(errno.errorcode[e.errno])
print(urllib.request.urlopen("http://greetings/").read().decode().strip())`;
  const { stdout, stderr } = await runInpod(sandbox, ["python3", "-c", script], {
    config: { feature: { network: { ipv6: false } } },
  });
  assert.equal(stdout, `EAFNOSUPPORT\nEAFNOSUPPORT\ngreetings to ${NETWORK.pod.address}\n`, stderr);
});

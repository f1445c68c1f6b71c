import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { listeningPorts } from "../src/incoming/listening-ports.ts";

test("a port is there while somebody listens on it, by the kind of address", async () => {
  const ipv4 = createServer().listen(0, "127.0.0.1");
  await once(ipv4, "listening");
  const { port } = ipv4.address() as { port: number };
  assert.equal((await listeningPorts())?.ipv4.has(port), true);
  ipv4.close();
  await once(ipv4, "close");
  assert.equal((await listeningPorts())?.ipv4.has(port), false);
});

const row = (port: number, state: string): string =>
  `   0: 0100007F:${port.toString(16).toUpperCase().padStart(4, "0")} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 1 1 0000000000000000 100 0 0 10 0                  \n`;
const TITLES =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

test("nothing beyond the listening sockets is read, and a table without an end tells nothing", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "inpod-listening-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const many = Array.from({ length: 300 }, (_, at) => row(1000 + at, "0A")).join("");
  writeFileSync(join(folder, "tcp"), `${TITLES}${many}${row(5, "01")}${row(6, "0A")}`);
  const found = await listeningPorts(folder);
  assert.equal(found?.ipv4.size, 300);
  assert.deepEqual(
    [found?.ipv4.has(1299), found?.ipv4.has(5), found?.ipv4.has(6)],
    [true, false, false],
  );
  assert.equal(found?.ipv6.size, 0, "a machine without IPv6");
  writeFileSync(join(folder, "tcp"), TITLES + row(7, "0A").repeat(10_000));
  assert.equal(await listeningPorts(folder), undefined);
  assert.equal(await listeningPorts(join(folder, "none")), undefined);
});

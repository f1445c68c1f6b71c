import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { createLog, Metrics } from "@inpod/agent";

function logged(level: "off" | "warn" | "info", isPlain: boolean): string {
  let text = "";
  const log = createLog({
    level,
    isPlain,
    write: (line) => {
      text += line;
    },
  });
  log("steal", { port: 8080, session: "k3x" });
  log("refused", { why: 'no "hello"\nforged line' });
  log("stream", { kind: "tcp" });
  return text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME");
}

test("a line for people has time, level, event and fields, whatever is in them", () => {
  assert.equal(
    logged("info", true),
    'TIME INFO steal port=8080 session=k3x\nTIME WARN refused why="no \\"hello\\"\\nforged line"\n',
  );
});

test("a JSON line has the same", () => {
  const lines = logged("info", false).trimEnd().split("\n");
  assert.deepEqual(JSON.parse(lines[0] ?? ""), {
    time: "TIME",
    level: "info",
    event: "steal",
    port: 8080,
    session: "k3x",
  });
  assert.equal(lines.length, 2);
});

test("a level leaves out what matters less, and off everything", () => {
  assert.match(logged("warn", true), /^TIME WARN refused [^\n]*\n$/);
  assert.equal(logged("off", true), "");
});

test("bytes of a tunnel are counted while it is open and after its end", async (t) => {
  const metrics = new Metrics();
  const server = createServer();
  t.after(() => server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const client = connect(port, "127.0.0.1");
  const [socket] = (await once(server, "connection")) as [Socket];
  metrics.count(socket);
  client.write("12345");
  await once(socket, "data");
  assert.match(metrics.render(1), /^inpod_agent_received_bytes_total 5$/m);
  socket.end("123");
  client.resume();
  client.end();
  await once(socket, "close");
  const text = metrics.render(0);
  assert.match(text, /^inpod_agent_received_bytes_total 5$/m);
  assert.match(text, /^inpod_agent_sent_bytes_total 3$/m);
  assert.match(text, /^# TYPE inpod_agent_sessions gauge\ninpod_agent_sessions 0$/m);
});

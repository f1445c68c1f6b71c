/**
 * A client of HTTP/2, run as `node http2-client.cjs HOST PORT`: each line of stdin is a request in JSON, all on one
 * connection; each line of stdout what has become of one, and when the connection was told to end.
 */
const http2 = require("node:http2");
const { createHash } = require("node:crypto");
const [, , host, port] = process.argv;

const say = (what) => console.log(JSON.stringify(what));
const session = http2.connect(`http://${host.includes(":") ? `[${host}]` : host}:${port}`);
session.on("error", (error) => say({ event: "error", code: error.code }));
session.on("goaway", (code, lastStreamId) => say({ event: "goaway", code, lastStreamId }));
session.on("close", () => say({ event: "close" }));

const streams = new Map();

function ask({ id, headers, secret, body, size, trailers, isOpen, isPaused }) {
  const all = { ":path": "/", ...headers };
  if (secret) all[http2.sensitiveHeaders] = secret;
  const hasBody = body !== undefined || size !== undefined || trailers || isOpen;
  const stream = session.request(all, { endStream: !hasBody, waitForTrailers: Boolean(trailers) });
  streams.set(id, stream);
  const found = { id, status: undefined, info: [], length: 0, text: "" };
  const hash = createHash("sha256");
  stream.on("headers", (info) => found.info.push(info[":status"]));
  stream.on("response", (response, _flags, raw) => {
    found.status = response[":status"];
    found.raw = raw;
    if (isOpen || isPaused) say({ id, event: "response", status: found.status });
  });
  stream.on("trailers", (fields) => {
    found.trailers = fields;
  });
  if (!isPaused) {
    stream.on("data", (bytes) => {
      hash.update(bytes);
      found.length += bytes.length;
      if (found.text.length < 2000) found.text += bytes.toString("latin1");
      if (isOpen) say({ id, event: "data", text: bytes.toString("latin1") });
    });
  }
  stream.on("error", (error) => {
    found.error = error.code;
  });
  stream.on("close", () => {
    say({ ...found, event: "done", code: stream.rstCode, hash: hash.digest("hex") });
  });
  if (trailers) stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  if (size !== undefined) stream.end(Buffer.alloc(size, "x"));
  else if (body !== undefined) stream.end(body);
  else if (trailers) stream.end();
}

function act(line) {
  const { kind = "ask", ...rest } = JSON.parse(line);
  const stream = streams.get(rest.id);
  if (kind === "ask") ask(rest);
  else if (kind === "write") stream.write(rest.text);
  else if (kind === "end") stream.end();
  else if (kind === "cancel") stream.close(rest.code);
  else if (kind === "resume") stream.resume();
  else if (kind === "pour") {
    // As much as the other end takes; says how much that is as it grows.
    let sent = 0;
    const more = () => {
      while (sent < rest.size && stream.write(Buffer.alloc(65536))) sent += 65536;
      say({ id: rest.id, event: "poured", sent });
    };
    stream.on("drain", more);
    more();
  }
}

require("node:readline")
  .createInterface({ input: process.stdin })
  .on("line", act)
  .on("close", () => session.destroy());
session.on("connect", () => say({ event: "connect" }));
session.on("remoteSettings", (settings) => say({ event: "settings", ...settings }));

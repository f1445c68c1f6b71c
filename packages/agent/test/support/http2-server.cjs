/** A server of HTTP/2 that says its name. The pod runs it with `node -e`, a test gives it the streams of a tunnel. */
const http2 = require("node:http2");
const { createHash } = require("node:crypto");

exports.http2Server = (name) => {
  let connections = 0;
  const server = http2.createServer({ settings: { enableConnectProtocol: true } });
  server.on("session", (session) => {
    connections += 1;
    session.on("error", () => undefined);
  });
  server.on("stream", (stream, headers, _flags, raw) => {
    stream.on("error", () => undefined);
    const method = headers[":method"];
    const path = headers[":path"];
    const { peer = stream.session.socket.remoteAddress } = stream.session;
    switch (path.split("?")[0]) {
      case "/echo":
        stream.respond({ ":status": 200 });
        stream.pipe(stream);
        return;
      case "/digest": {
        const hash = createHash("sha256");
        stream.on("data", (bytes) => hash.update(bytes));
        stream.on("end", () => {
          stream.respond({ ":status": 200, "x-name": name });
          stream.end(hash.digest("hex"));
        });
        return;
      }
      case "/bytes": {
        let left = Number(path.split("?")[1]);
        stream.respond({ ":status": 200 });
        const more = () => {
          while (left > 0) {
            const length = Math.min(left, 65536);
            left -= length;
            if (!stream.write(Buffer.alloc(length, "b"))) return stream.once("drain", more);
          }
          return stream.end();
        };
        more();
        return;
      }
      case "/trailers":
        stream.additionalHeaders({ ":status": 103, link: "</style.css>" });
        stream.on("trailers", (trailers) => {
          stream.respond(
            { ":status": 200, "set-cookie": ["a=1", "b=2"] },
            { waitForTrailers: true },
          );
          stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": trailers["x-sum"] }));
          stream.end(name);
        });
        stream.resume();
        return;
      case "/reset":
        stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
        return;
      case "/hangs":
        stream.respond({ ":status": 200 });
        stream.write(name);
        stream.on("close", () => {
          server.lastCode = stream.rstCode;
        });
        return;
      case "/last-code":
        stream.respond({ ":status": 200 });
        stream.end(String(server.lastCode));
        return;
      case "/raw":
        stream.respond({ ":status": 200 });
        stream.end(JSON.stringify({ raw, secret: headers[http2.sensitiveHeaders] }));
        return;
      case "/leave":
        stream.respond({ ":status": 200 });
        stream.session.goaway(0);
        setImmediate(() => stream.end(name));
        return;
      case "/socket":
        stream.respond({ ":status": 200 });
        stream.on("data", (bytes) => stream.write(`${headers[":protocol"]} ${bytes}`));
        return;
      default: {
        let body = "";
        stream.setEncoding("latin1").on("data", (text) => {
          body += text;
        });
        stream.on("end", () => {
          stream.respond(
            { ":status": method === "HEAD" ? 204 : 200 },
            { endStream: method === "HEAD" },
          );
          if (method !== "HEAD")
            stream.end(
              `${name} ${peer.replace("::ffff:", "")} ${connections} ${method} ${path} ${body}`,
            );
        });
      }
    }
  });
  return server;
};

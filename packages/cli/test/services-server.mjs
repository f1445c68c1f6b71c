/** A developer's server: HTTP (1 and 2 without TLS), an echo and a UDP port. Says its ports, then what comes, in lines. */
import { createSocket } from "node:dgram";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { Duplex } from "node:stream";

const [httpPort, echoPort, udpPort] = process.argv.slice(2).map(Number);
const say = (...words) => process.stdout.write(`${words.join(" ")}\n`);

const answer = (request, response) => {
  say("request", request.method, request.url);
  let length = 0;
  request.on("data", (bytes) => {
    length += bytes.length;
  });
  request.on("end", () => {
    const { version, "x-mark": mark } = request.headers;
    response.setHeader("x-length", String(length));
    const answer = `I am here: ${request.url} ${version ?? ""} ${mark ?? ""}`.trim();
    setTimeout(() => response.end(answer), Number(request.headers["x-wait-ms"] ?? 0));
  });
};
const http1 = http.createServer(answer);
const h2 = http2.createServer(answer);
const both = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  socket.once("data", (first) => {
    socket.pause();
    socket.unshift(first);
    // Both read a net.Socket below what was unshifted.
    const stream = Duplex.from({ readable: socket, writable: socket });
    stream.on("error", () => {});
    (first[0] === 0x50 && first[1] === 0x52 ? h2 : http1).emit("connection", stream);
  });
  socket.on("error", () => {});
});
const echo = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  socket.on("error", () => {});
  socket.on("data", (bytes) => say("data", bytes.toString("latin1").trim().slice(0, 40)));
  socket.on("end", () => say("end"));
  socket.on("close", (hadError) => say("close", hadError));
  socket.pipe(socket);
});
const udp = createSocket("udp4", (message, { port, address }) => {
  say("datagram", message.toString());
  udp.send(`here: ${message}`, port, address);
});

const listening = (server, listen) =>
  new Promise((resolve, reject) => {
    server.once("error", reject);
    listen(resolve);
  });
await Promise.all([
  listening(both, (done) => both.listen(httpPort, "127.0.0.1", done)),
  listening(echo, (done) => echo.listen(echoPort, "127.0.0.1", done)),
  listening(udp, (done) => udp.bind(udpPort, "127.0.0.1", done)),
]);
const ports = { http: both.address().port, echo: echo.address().port, udp: udp.address().port };
say(JSON.stringify(ports));

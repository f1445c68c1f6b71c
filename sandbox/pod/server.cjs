// The pod's main process, pid 1 of its own pid namespace.
const dgram = require("node:dgram");
const http = require("node:http");
const net = require("node:net");

const [httpPort, echoPort, sidecarPort, udpPort] = process.argv.slice(2).map(Number);

const server = http.createServer((request, response) => {
  // The body is read to its end: keep-alive needs it.
  request.resume().once("end", () => {
    response.setHeader("content-type", "text/plain");
    response.setHeader("x-peer-port", String(request.socket.remotePort));
    response.end(
      `I am the pod, you are ${request.socket.remoteAddress}\n${request.method} ${request.url}\n`,
    );
  });
});
server.keepAliveTimeout = 60_000;

const echo = (socket) => {
  socket.on("error", () => socket.destroy());
  socket.pipe(socket);
};

let listening = 0;
const onListening = () => {
  listening += 1;
  // One line on stdout when all ports answer: whoever started the pod waits for it.
  if (listening === 4) console.log("listening");
};
server.listen(httpPort, "0.0.0.0", onListening);
net.createServer({ allowHalfOpen: true }, echo).listen(echoPort, "0.0.0.0", onListening);
net.createServer({ allowHalfOpen: true }, echo).listen(sidecarPort, "127.0.0.1", onListening);

const udp = dgram.createSocket("udp4");
udp.on("message", (text, { address, port }) =>
  udp.send(`I am the pod, you are ${address}:${port}: ${text}`, port, address),
);
udp.bind(udpPort, "0.0.0.0", onListening);

// Signals without a handler do not reach pid 1 of a pid namespace (pid_namespaces(7)).
process.on("SIGTERM", () => process.exit(0));

// One request a connection: argv is PORT; the answer's body is the client's port. Says "ready".
const http = require("node:http");
const server = http.createServer((request, response) => {
  const body = String(request.socket.remotePort);
  response.setHeader("content-length", body.length);
  response.shouldKeepAlive = false;
  response.end(body);
});
server.listen({ port: Number(process.argv[2]), host: "0.0.0.0", backlog: 4096 }, () =>
  console.log("ready"),
);

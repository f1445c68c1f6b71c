// A small answer from Node's own HTTP server: argv is PORT and the answer. Says "ready".
const http = require("node:http");
const [port, answer] = process.argv.slice(2);
const server = http.createServer((_request, response) => {
  response.setHeader("content-length", Buffer.byteLength(answer));
  response.end(answer);
});
server.keepAliveTimeout = 60_000;
server.listen({ port: Number(port), host: "0.0.0.0", backlog: 4096 }, () => console.log("ready"));

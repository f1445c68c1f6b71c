// A small answer from Node's own HTTP server: argv is PORT, the answer and microseconds of work for it. Says "ready".
const http = require("node:http");
const [port, answer, work = "0"] = process.argv.slice(2);
const server = http.createServer((_request, response) => {
  const until = performance.now() + Number(work) / 1000;
  while (performance.now() < until);
  response.setHeader("content-length", Buffer.byteLength(answer));
  response.end(answer);
});
server.keepAliveTimeout = 60_000;
server.listen({ port: Number(port), host: "0.0.0.0", backlog: 4096 }, () => console.log("ready"));

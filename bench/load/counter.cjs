// Counts what clients send; argv is PORT. Says "ready", and "bytes N" when no connection is open any more.
const net = require("node:net");
let bytes = 0;
let open = 0;
const server = net.createServer((socket) => {
  open++;
  socket.on("data", (chunk) => {
    bytes += chunk.length;
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    open--;
    if (open > 0) return;
    console.log(`bytes ${bytes}`);
    bytes = 0;
  });
});
server.listen({ port: Number(process.argv[2]), backlog: 4096 }, () => console.log("ready"));

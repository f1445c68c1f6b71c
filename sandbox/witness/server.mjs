// PORT. Says "listening PORT", then answers every request with the addresses it sees.
import http from "node:http";

const port = Number(process.argv[2]);
const plain = (address) => address.replace(/^::ffff:/, "");
const server = http.createServer(({ socket }, response) => {
  const peer = `${plain(socket.remoteAddress)}:${socket.remotePort}`;
  response.end(`local node sees ${peer} at ${plain(socket.localAddress)}:${socket.localPort}\n`);
});
server.listen(port, () => console.log(`listening ${port}`));

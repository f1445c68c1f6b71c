// PORT. Answers each datagram "local node sees ADDRESS:PORT: TEXT".
import { createSocket } from "node:dgram";

const socket = createSocket("udp6");
socket.on("message", (text, { address, port }) =>
  socket.send(`local node sees ${address.replace("::ffff:", "")}:${port}: ${text}`, port, address),
);
socket.bind(Number(process.argv[2]), () => console.log("bound", socket.address().port));

/** `datagrams-under-signals.ts PROGRAM THREADS ROUNDS`: uninterrupted.c, under a tap of its own; says what it says. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { encodeAddress } from "../src/index.ts";
import { letGo, run, tap } from "./support.ts";

const PEER = "198.18.0.9";
const [program = "", ...counts] = process.argv.slice(2);

const socket = createSocket("udp4").bind(0, "127.0.0.1");
await once(socket, "listening");
socket.on("message", (message, from) => socket.send(message, from.port, from.address));
const { port } = socket.address();
tap.setName("datagram", port, encodeAddress("198.18.0.1", 1), encodeAddress(PEER, 53));
const { stdout, stderr } = await run([program, PEER, ...counts], (event) => {
  if (event.kind === "sendto") tap.replySentTo(event.token, port);
  else letGo(event);
});
socket.close();
tap.unref();
process.stdout.write(stdout + stderr);

// The pod's neighbours: a service called greetings, a metadata service and a UDP echo.
import dgram from "node:dgram";
import http from "node:http";

/** Shaped like a cloud's answer; nothing in it opens anything. */
const CREDENTIALS = {
  Code: "Success",
  AccessKeyId: "AKIA-NOT-A-REAL-KEY",
  SecretAccessKey: "not-a-real-secret",
  Token: "not-a-real-token",
};

/** @param {typeof import("../src/network.ts").NETWORK} network */
export async function serveNeighbours(network) {
  const { greetings, httpPort, metadata, udpEchoPort } = network.services;
  await Promise.all([
    serveHttp(greetings, httpPort, (request, response) => {
      response.setHeader("content-type", "text/plain");
      response.end(`greetings to ${request.socket.remoteAddress}\n`);
    }),
    serveHttp(metadata, httpPort, (_request, response) => {
      response.setHeader("content-type", "application/json");
      response.end(`${JSON.stringify(CREDENTIALS)}\n`);
    }),
    serveUdpEcho(greetings, udpEchoPort),
  ]);
}

function serveHttp(address, port, onRequest) {
  const server = http.createServer(onRequest);
  server.keepAliveTimeout = 60_000;
  return new Promise((resolve, reject) =>
    server.once("error", reject).listen(port, address, resolve),
  );
}

function serveUdpEcho(address, port) {
  const socket = dgram.createSocket("udp4");
  socket.on("message", (bytes, from) => socket.send(bytes, from.port, from.address));
  return new Promise((resolve, reject) =>
    socket.once("error", reject).bind(port, address, resolve),
  );
}

/** One port that is a proxy of SOCKS5 and of HTTP: the first byte of a connection tells. */
import type { Socket } from "node:net";
import { HttpProxy, type HttpProxyOptions } from "./http-proxy/serve.ts";
import type { TcpPort } from "./local-port.ts";
import { SOCKS_VERSION } from "./socks/message.ts";
import { serveSocks } from "./socks/serve.ts";

/** Browsers connect ahead of time, and keep such connections for some minutes. */
const FIRST_BYTE_MS = 300_000;
/** Its first byte is the version, too. */
const SOCKS4 = 4;

export type ProxyOptions = HttpProxyOptions;

/** Serves the connections of `port` until it is closed. */
export function serveProxy(port: TcpPort, options: ProxyOptions): { close(): void } {
  const http = new HttpProxy(options);
  port.serve((socket) => {
    const nothing = (): void => void socket.destroy();
    const timer = setTimeout(nothing, FIRST_BYTE_MS);
    const over = (): void => clearTimeout(timer);
    socket.once("close", over);
    socket.once("end", nothing);
    socket.once("data", (first: Buffer) => {
      over();
      socket.off("close", over);
      socket.off("end", nothing);
      socket.pause();
      demultiplex(socket, first, http, options);
    });
    socket.resume();
  });
  return { close: () => http.close() };
}

function demultiplex(socket: Socket, first: Buffer, http: HttpProxy, options: ProxyOptions): void {
  if (first[0] === SOCKS_VERSION) serveSocks(socket, first, options).catch(() => socket.destroy());
  else if (first[0] === SOCKS4) {
    options.onRefused?.("a client of SOCKS4");
    // u8 0 · u8 91, refused · port and address (the SOCKS4 protocol's own words for it)
    socket.end(Uint8Array.of(0, 91, 0, 0, 0, 0, 0, 0));
    socket.destroySoon();
  } else http.serve(socket, first);
}

/**
 * The developer's end of a session where it is a port, and no tapped process: Node alone, on any system. Nothing here
 * loads a `.node` file, has a policy of its own, or writes a word for people.
 *
 * - *exposed port*: one of this machine to which connections are brought that arrive at the target.
 * - *watcher*: copies that are looked at, as requests or bytes.
 * - *local end*: the connection of ours to whoever listens there.
 */
export { type ExposedOptions, ExposedPort } from "./exposed.ts";
export { type ForwardOptions, forwardTcp, forwardUdp } from "./forward.ts";
export { type LocalAddress, TcpPort, UdpPort } from "./local-port.ts";
export { type ProxyOptions, serveProxy } from "./proxy.ts";
export type { Destination, Reach } from "./reach.ts";
export { type Seen, type SeenConnection, Watcher, type WatchOptions } from "./watched.ts";

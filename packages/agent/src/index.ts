/**
 * The agent: what runs beside a target. `enter` (native/enter, static C) has the rights: it joins the
 * target's namespaces, owns the rules, opens packet sockets, and is the parent of the file worker (the target's
 * ids), of the reader of packets and of Node (no rights), which is the rest of this package. It never
 * gives Node a capability, and leaves no rule behind when any of its processes dies.
 */
export { Enter, type Rules, type UdpRules } from "./control/enter.ts";
export type { EnterEvent } from "./control/messages.ts";
export { AnswerReader } from "./exchange.ts";
export { Failure } from "./failure.ts";
export { FileService } from "./files/service.ts";
export { Worker } from "./files/worker.ts";
export { OwnPorts } from "./incoming/own-ports.ts";
export { Ports } from "./incoming/ports.ts";
export { SharedRules } from "./incoming/shared-rules.ts";
export type { Holder } from "./incoming/stolen-port.ts";
export { type Flushed, takeOver } from "./incoming/take-over.ts";
export { type FlowLimits, Flows } from "./incoming/udp-flows.ts";
export { type UdpHolder, UdpPorts } from "./incoming/udp-ports.ts";
export { createLog, type Log, logToStderr } from "./log.ts";
export { Metrics } from "./metrics.ts";
export { CopyBudget } from "./mirror/copies.ts";
export { FilteredCopies, type FilteredParts } from "./mirror/filtered.ts";
export { type Capture, Mirror, type Watcher } from "./mirror/mirror.ts";
export { OwnEnds } from "./mirror/own-ends.ts";
export { endsOf, firstFragment, parsePacket } from "./mirror/packet.ts";
export { Reassembly } from "./mirror/reassembly.ts";
export { RecordReader } from "./mirror/records.ts";
export { type Sink, STREAM_LIMITS, Streams } from "./mirror/streams.ts";
export { UdpMirror, type UdpWatcher } from "./mirror/udp.ts";
export type { SessionParts } from "./sessions/session.ts";
export { type Lifetime, Sessions } from "./sessions/sessions.ts";
export { Target } from "./target.ts";

/** File descriptors that enter gives to Node; native/enter/node.h has the same numbers. */
export const NODE_FDS = {
  listen: 3,
  control: 4,
  files: 5,
  metrics: 6,
  packets: 7,
  unixSockets: 8,
} as const;

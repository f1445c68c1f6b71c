/** Puts the agent's Node half together, on the sockets that enter left to it. */
import { createServer, Socket } from "node:net";
import { parseArgs } from "node:util";
import {
  PROTOCOL_VERSION,
  parsePolicy,
  parseRelayPlace,
  type TargetDescription,
} from "@inpod/protocol";
import { acceptTunnel, publicKeyFromRaw, splice, tuneForRelaying } from "@inpod/tunnel";
import { Enter } from "./control/enter.ts";
import { errnoOf, Failure } from "./failure.ts";
import { FileService } from "./files/service.ts";
import { Worker } from "./files/worker.ts";
import { OwnPorts } from "./incoming/own-ports.ts";
import { Ports } from "./incoming/ports.ts";
import { SharedRules } from "./incoming/shared-rules.ts";
import { UdpPorts } from "./incoming/udp-ports.ts";
import { NODE_FDS } from "./index.ts";
import { createLog, LOG_LEVELS } from "./log.ts";
import { Metrics } from "./metrics.ts";
import { Mirror } from "./mirror/mirror.ts";
import { OwnEnds } from "./mirror/own-ends.ts";
import { UdpMirror } from "./mirror/udp.ts";
import { UnixSockets } from "./outgoing/unix.ts";
import { withoutHidden } from "./policy.ts";
import { originOf, RelayPod } from "./relay/relay-pod.ts";
import { Admission } from "./sessions/admission.ts";
import type { Session } from "./sessions/session.ts";
import { RESUME_TIMEOUT_MS, Sessions } from "./sessions/sessions.ts";
import { Target } from "./target.ts";

/** Tunnels and greetings at a time; a greeting that does not come is over after 5 s. */
const MAX_CONNECTIONS = 160;
/** Told to end: for answers that are under way, of the second that enter and its pod leave. */
const TOLD_GRACE_MS = 600;
/** Of copies that sessions have not taken yet; where there is a limit of memory, its share. */
const MIRROR_BUDGET_BYTES = 64 * 1024 * 1024;
const BUILD = `inpod-agent, protocol ${PROTOCOL_VERSION}`;

const { values } = parseArgs({
  options: {
    "public-key": { type: "string" },
    owner: { type: "string" },
    policy: { type: "string", default: "" },
    "idle-timeout-ms": { type: "string" },
    "communication-timeout-ms": { type: "string" },
    "resume-timeout-ms": { type: "string", default: String(RESUME_TIMEOUT_MS) },
    "log-level": { type: "string", default: "info" },
    "json-log": { type: "boolean" },
    "plain-log": { type: "boolean" },
    metrics: { type: "boolean" },
    "memory-mib": { type: "string" },
    "own-ports": { type: "boolean" },
    relay: { type: "string" },
  },
});

function milliseconds(
  name: "idle-timeout-ms" | "communication-timeout-ms" | "resume-timeout-ms",
): number {
  const value = Number(values[name]);
  // setTimeout takes no more.
  if (Number.isInteger(value) && value > 0 && value < 2 ** 31) return value;
  throw new Error(`--${name}: needs milliseconds`);
}

const level = LOG_LEVELS.find((each) => each === values["log-level"]);
if (level === undefined) throw new Error(`--log-level: one of ${LOG_LEVELS.join(", ")}`);
const log = createLog({
  level,
  isPlain: values["plain-log"] === true,
  write: (line) => process.stderr.write(line),
});

/** Node itself takes most of the memory there is: what is left is shared by the tunnel and files. */
const memoryMib = values["memory-mib"] === undefined ? undefined : Number(values["memory-mib"]);
const filesBudgetBytes = memoryMib === undefined ? undefined : (memoryMib / 8) * 1024 * 1024;
const bufferBudgetBytes = filesBudgetBytes;
tuneForRelaying({ mayGrow: memoryMib === undefined });

const publicKey = values["public-key"] ?? "";
// Throws here, not at the first session's greeting.
publicKeyFromRaw(publicKey);

const policy = parsePolicy(values.policy);

const enter = new Enter(new Socket({ fd: NODE_FDS.control, readable: true, writable: true }));
const worker = new Worker(new Socket({ fd: NODE_FDS.files, readable: true, writable: true }));
const fileService = new FileService(worker, {
  isReadOnly: policy.files === "read-only",
  budgetBytes: filesBudgetBytes,
});
const unixSockets = new UnixSockets(worker, process);
const own = new OwnEnds();
const rules = new SharedRules(enter);
const relayPlace = values.relay === undefined ? undefined : parseRelayPlace(values.relay);
const ownPorts =
  relayPlace || values["own-ports"] === true
    ? new OwnPorts(relayPlace && originOf(relayPlace, process.env))
    : undefined;
const ports = new Ports(rules.tcp(), log, own, undefined, ownPorts);
const relayPod = relayPlace && new RelayPod(relayPlace, ports, log);
const udp = {
  ports: new UdpPorts(rules.udp(), log),
  mirror: new UdpMirror(enter, { own, log }),
};
const mirror = new Mirror(
  enter,
  new Socket({ fd: NODE_FDS.packets, readable: true, writable: false }),
  {
    own,
    log,
    udp: udp.mirror,
    budgetBytes: filesBudgetBytes ?? MIRROR_BUDGET_BYTES,
    onUntouched: (port) => ports.canary.copied(port),
    redirections: {
      otherEnd: (tracked) => enter.otherEnd(tracked),
      isRelay: (port) => ports.isRelay(port),
    },
  },
);
const target = new Target(enter, worker, log);
const admission = new Admission({ publicKey, owner: values.owner });
const metrics = new Metrics();
const sessions = new Sessions(
  {
    admission,
    describe: () =>
      enter
        .describe()
        .then((all) => withoutHidden(ownPorts === undefined ? all : canListen(all), policy)),
    fileService,
    ports,
    mirror,
    udp,
    own,
    unixSockets,
    target,
    splice,
    log,
    policy,
    metrics,
  },
  {
    idleTimeoutMs: milliseconds("idle-timeout-ms"),
    communicationTimeoutMs: milliseconds("communication-timeout-ms"),
    resumeTimeoutMs: milliseconds("resume-timeout-ms"),
  },
  (why) => {
    if (relayPlace?.restores === false) {
      // The Service leads here until somebody gives it back, and he ends us then; so does the deadline.
      log("goes-on", { why });
      return;
    }
    log("end", { why });
    // enter removes the rules when we are gone, whatever is still open.
    void (relayPod?.end(why) ?? Promise.resolve()).then(() => process.exit(0));
  },
);

/** No rule can be had here, and none is needed. */
function canListen(all: TargetDescription): TargetDescription {
  const { incoming: _, ...missing } = all.missing;
  return { ...all, missing };
}

target.onGone = () => sessions.targetGone();
enter.onEvent = (event) => {
  log(event.kind, { why: event.detail });
  if (event.kind === "rules-lost") {
    void ports.rulesLost(event.detail);
    void udp.ports.rulesLost(event.detail);
  }
  if (event.kind === "capture-lost") mirror.lost(event.detail);
  else if (event.kind !== "rules-lost") target.take(event);
};

async function accept(socket: Socket): Promise<void> {
  let session: Session | undefined;
  const tunnel = await acceptTunnel(socket, {
    authorize: ({ sessionId }, isSignedBy) => admission.admits(sessionId, isSignedBy),
    build: BUILD,
    bufferBudgetBytes,
    sessionCount: () => sessions.count,
    handlers: ({ sessionId, about }) => {
      session = sessions.find(sessionId);
      if (!session) throw new Failure("EAGAIN", "too many sessions");
      session.about = about;
      return session.handlers;
    },
  });
  if (!session) return;
  metrics.count(socket);
  sessions.attach(session, tunnel);
}

const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
  // A peer's reset during the greeting; the tunnel has a handler of its own.
  socket.on("error", () => undefined);
  accept(socket).catch((error: Error) => {
    metrics.refused++;
    log("refused", {
      errno: error instanceof Failure ? error.errno : errnoOf(error),
      why: error.message,
    });
  });
});
server.maxConnections = MAX_CONNECTIONS;
// EMFILE and the like: the connection waits in the backlog.
server.on("error", (error) => log("accept-failed", { errno: errnoOf(error) }));
if (ownPorts !== undefined) await relayPod?.start((port) => ownPorts.connect(port));
server.listen({ fd: NODE_FDS.listen });
if (values.metrics === true) {
  metrics.serve(
    NODE_FDS.metrics,
    () => sessions.count,
    (error) => log("metrics-failed", { why: error.message }),
  );
}

process.once("SIGTERM", () => {
  const why = "the agent was told to end";
  const end = (): void => {
    sessions.close(why);
    setTimeout(() => process.exit(0), 100);
  };
  // enter has given new connections back before it sends this, and removes the rest of the rules when we have ended.
  void (relayPod?.endSoon(why) ?? ports.drainAll(TOLD_GRACE_MS)).then(end);
});
log("ready");

/** A copy of a connection that may be a probe: opened when it is known that it is none. */
import { Detector, HeadScanner, parseRequestHead } from "@inpod/http";
import type { PortProbes } from "../incoming/probes.ts";
import type { Sink } from "./streams.ts";

/** Bytes: the kubelet's requests have some 200. */
const MAX_HELD = 16 * 1024;

/**
 * @param probes of the port
 * @param open as the mirror wants it: undefined is nobody
 * @returns takes the connection's bytes from the first one on. The kubelet makes a connection for each probe, so that
 *   one whose first request is a probe is left out as a whole.
 */
export function withoutProbes(probes: PortProbes, open: () => Sink | undefined): Sink {
  const detector = new Detector();
  const scanner = new HeadScanner();
  let held: Buffer | undefined = Buffer.alloc(0);
  let sink: Sink | undefined;
  const decide = (isProbe: boolean): void => {
    const bytes = held;
    held = undefined;
    if (isProbe || bytes === undefined) return;
    sink = open();
    if (bytes.length > 0) sink?.data(bytes);
  };
  const look = (bytes: Buffer): boolean | undefined => {
    const all = held ?? bytes;
    const found = detector.push(bytes);
    if (found.kind === "undecided") return all.length > MAX_HELD ? false : undefined;
    if (found.kind !== "http1") return probes.isConnection(found.kind);
    const end = scanner.scan(all);
    if (end === undefined) return all.length > MAX_HELD ? false : undefined;
    if (typeof end !== "number") return false;
    const head = parseRequestHead(all.subarray(0, end));
    return head.kind === "request" && probes.isRequest?.(head) === true;
  };
  return {
    data: (bytes) => {
      if (held === undefined) {
        sink?.data(bytes);
        return;
      }
      // Pieces of a chunk that others are in, too.
      held = Buffer.concat([held, bytes]);
      const isProbe = look(bytes);
      if (isProbe !== undefined) decide(isProbe);
    },
    end: () => {
      if (held !== undefined) decide(false);
      sink?.end();
    },
    reset: (errno) => {
      if (held !== undefined) decide(false);
      sink?.reset(errno);
    },
  };
}

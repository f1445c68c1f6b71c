/**
 * A client's connection to a port of which somebody wants some requests: its first bytes tell what it speaks.
 * HTTP/1 is split, each request for itself; everything else is one destination's, with all its bytes.
 */
import type { Socket } from "node:net";
import { Detector, type Routes, Splitter } from "@inpod/http";
import { Connection, type ConnectionParts } from "./connection.ts";
import { type Passage, Raw } from "./raw.ts";
import { Silent } from "./silent.ts";

/** So long a server that speaks first is kept waiting. */
const SILENCE_MS = 100;
/** Bytes that have come can still become anything. mirrord's agent.http_detection_timeout. */
const UNDECIDED_MS = 2000;

export interface FilteredParts<D> extends ConnectionParts<D> {
  /** Asked for each request: whoever comes or goes meanwhile counts. */
  routes(): Routes<D>;
}

/** @param client paused, half-open allowed */
export function serveFiltered<D>(client: Socket, parts: FilteredParts<D>): void {
  const detector = new Detector();
  const early: Buffer[] = [];
  const decide = (kind: string): void => {
    clearTimeout(timer);
    client.off("data", onData);
    client.off("end", onEnd);
    client.off("close", onClose);
    const { rest } = parts.routes();
    const split = (opened?: D): Passage<D> =>
      new Splitter<D>({
        fallback: rest,
        route: (request) => parts.routes().route(request),
        routeWithBody: (request, body) => parts.routes().routeWithBody(request, body),
        ...(opened === undefined ? {} : { opened }),
      });
    const onRaw = (why: string): void => parts.onRaw(rest, why);
    let passage: Passage<D>;
    if (kind === "http1") passage = split();
    else if (kind === "silent") passage = new Silent({ to: rest, split: () => split(rest), onRaw });
    else {
      passage = new Raw(rest);
      onRaw(kind);
    }
    new Connection(client, passage, parts).start(Buffer.concat(early));
  };
  const onData = (bytes: Buffer): void => {
    early.push(bytes);
    const found = detector.push(bytes);
    if (found.kind !== "undecided") decide(found.kind === "other" ? found.why : found.kind);
    else if (early.length === 1) {
      clearTimeout(timer);
      timer = setTimeout(() => decide("undecided"), UNDECIDED_MS);
    }
  };
  // Its FIN is seen again by what follows.
  const onEnd = (): void => decide("ended");
  const onClose = (): void => clearTimeout(timer);
  let timer = setTimeout(() => decide("silent"), SILENCE_MS);
  client.on("data", onData);
  client.once("end", onEnd);
  client.once("close", onClose);
  client.resume();
}

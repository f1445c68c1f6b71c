/**
 * A client's connection to a port of which somebody wants some requests: its first bytes tell what it speaks.
 * HTTP is split, each request for itself; everything else is one destination's, with all its bytes.
 */
import type { Socket } from "node:net";
import { Detector, type Field, type Routes, Splitter } from "@inpod/http";
import { Connection, type ConnectionParts } from "./connection.ts";
import { http2Passage } from "./http2/passage.ts";
import { type Passage, Raw } from "./raw.ts";
import { afterSilence } from "./silence.ts";
import { Silent } from "./silent.ts";

/** So long a server that speaks first is kept waiting. */
export const SILENCE_MS = 100;
/** Where somebody has given a certificate, TLS is expected, and in TLS the client speaks first. */
const TLS_SILENCE_MS = 10_000;
/** Bytes that have come can still become anything. mirrord's agent.http_detection_timeout. */
const UNDECIDED_MS = 2000;

export interface FilteredParts<D> extends ConnectionParts<D> {
  /** Asked for each request: whoever comes or goes meanwhile counts. */
  routes(): Routes<D>;
  /**
   * Whose a connection of this kind is, whatever is in it; undefined: as the routes say. `untouched`: it ended at once.
   * `http2`: only who is asked first what the client may do; each stream is whose the routes say.
   */
  raw?(kind: string): D | undefined;
  /** A header for each response of `to`; asked for each. */
  fieldOf?(to: D): Field | undefined;
  /** Where a client's TLS may be ended; left out: what is inside it already. */
  readonly tls?: TlsDoor | undefined;
}

export interface TlsDoor {
  /** Whether anybody has given a certificate. */
  hasCertificate(): boolean;
  /** Takes the client over; or has it taken by `raw`, untouched, with all its bytes. */
  end(client: Socket, early: Buffer, raw: (early: Buffer, why: string) => void): void;
}

/** @param client paused, half-open allowed */
export function serveFiltered<D>(client: Socket, parts: FilteredParts<D>): void {
  const detector = new Detector();
  const early: Buffer[] = [];
  const decide = (kind: string): void => {
    heard();
    client.off("data", onData);
    client.off("end", onEnd);
    client.off("close", onClose);
    const { rest } = parts.routes();
    const own = parts.raw?.(kind === "ended" && early.length === 0 ? "untouched" : kind);
    const split = (spoken: "http1" | "http2", opened?: D): Passage<D> =>
      spoken === "http2"
        ? http2Passage(parts, opened)
        : new Splitter<D>({
            fallback: rest,
            route: (request) => parts.routes().route(request),
            routeWithBody: (request, body) => parts.routes().routeWithBody(request, body),
            fieldOf: (to) => parts.fieldOf?.(to),
            ...(opened === undefined ? {} : { opened }),
          });
    const serve = (passage: Passage<D>): void =>
      new Connection(client, passage, parts).start(Buffer.concat(early));
    const onRaw = (why: string): void => parts.onRaw(rest, why);
    // With a certificate the kubelet's requests are told from others inside.
    if (kind === "tls" && parts.tls && (own === undefined || parts.tls.hasCertificate())) {
      client.pause();
      parts.tls.end(client, Buffer.concat(early), (bytes, why) =>
        serveRaw(client, bytes, why, parts, own),
      );
    } else if (own !== undefined && kind === "http2")
      serve(http2Passage(parts, undefined, () => own));
    else if (own !== undefined) serveRaw(client, Buffer.concat(early), kind, parts, own);
    else if (kind === "http1" || kind === "http2") serve(split(kind));
    else if (kind === "silent") {
      serve(new Silent({ to: rest, split: (spoken) => split(spoken, rest), onRaw }));
    } else serveRaw(client, Buffer.concat(early), kind, parts);
  };
  const onData = (bytes: Buffer): void => {
    early.push(bytes);
    const found = detector.push(bytes);
    if (found.kind !== "undecided") decide(found.kind === "other" ? found.why : found.kind);
    else if (early.length === 1) {
      heard();
      heard = afterSilence(UNDECIDED_MS, () => decide("undecided"));
    }
  };
  // Its FIN is seen again by what follows.
  const onEnd = (): void => decide("ended");
  const onClose = (): void => heard();
  const silenceMs = parts.tls?.hasCertificate() ? TLS_SILENCE_MS : SILENCE_MS;
  let heard = afterSilence(silenceMs, () => decide("silent"));
  client.on("data", onData);
  client.once("end", onEnd);
  client.once("close", onClose);
  client.resume();
}

/** All of it is one destination's. */
function serveRaw<D>(
  client: Socket,
  early: Buffer,
  why: string,
  parts: FilteredParts<D>,
  to = parts.routes().rest,
): void {
  parts.onRaw(to, why);
  new Connection(client, new Raw(to), parts).start(early);
}

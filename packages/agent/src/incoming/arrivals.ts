/** A connection to a stolen port: whose it is, as a whole or request by request. */
import type { Socket } from "node:net";
import type { TlsFacts } from "@inpod/protocol";
import type { Rules } from "../control/enter.ts";
import type { Log } from "../log.ts";
import type { OwnEnds } from "../mirror/own-ends.ts";
import { endpoint } from "../outgoing/tcp.ts";
import type { Canary } from "./canary.ts";
import { Connection } from "./connection.ts";
import { type FilteredParts, SILENCE_MS, serveFiltered } from "./filtered.ts";
import { firstSign } from "./first-sign.ts";
import { addressed, connectToPod } from "./pass-through.ts";
import { type Passage, Raw } from "./raw.ts";
import {
  type Claim,
  claimOf,
  type Destination,
  fieldOf,
  type Holder,
  mayBeProbe,
  type StolenPort,
} from "./stolen-port.ts";
import type { ServerCertificate } from "./tls/certificates.ts";
import type { TlsParts } from "./tls/end.ts";
import { channelUpstream, podUpstream } from "./upstream.ts";

export interface ArrivalParts {
  readonly rules: Rules;
  /** Where connections of ours to the pod are noted. */
  readonly own: Pick<OwnEnds, "add" | "remove">;
  readonly log: Log;
  readonly canary: Canary;
  /** To whoever serves the port where it is nobody's; left out: a process in the same network. */
  readonly toOrigin?: ((port: number) => Promise<Socket>) | undefined;
}

export class Arrivals {
  readonly #parts: ArrivalParts;

  constructor(parts: ArrivalParts) {
    this.#parts = parts;
  }

  /** A connection that the port's rule has turned here; paused. @param isLooked it is not the canary */
  route(stolen: StolenPort, socket: Socket, isLooked = false): void {
    const { probes, routes } = stolen;
    // Also one that is suspended: its rule has turned the connection here. Where nobody is left, there is the pod. A kept
    // port gets connections without a rule, and those are for whoever is there.
    const claim = stolen.claims.find(
      ({ filter, isActive }) => filter === undefined && (isActive || !stolen.isKept),
    );
    const isLookedInto = claim?.injectHeaders === true || !routes.isUnfiltered;
    if (!isLooked && this.#parts.canary.isOut(stolen.port)) this.#lookForCanary(stolen, socket);
    else if (claim === undefined || isLookedInto) this.#serve(stolen, socket);
    else if (!mayBeProbe(stolen, claim.holder, socket)) this.#give(stolen, claim, socket);
    else if (probes?.isRequest !== undefined) this.#serve(stolen, socket);
    else {
      firstSign(socket, SILENCE_MS, (sign) => {
        if (sign === "ended") this.#serve(stolen, socket, new Raw<Destination>("pod"));
        else if (stolen.claims.includes(claim)) this.#give(stolen, claim, socket);
        else this.#serve(stolen, socket);
      });
    }
  }

  /** For some milliseconds, once in a session: else nobody looks into a port that is stolen as a whole. */
  #lookForCanary(stolen: StolenPort, socket: Socket): void {
    firstSign(socket, SILENCE_MS, (sign) => {
      if (sign === "ended") this.#parts.canary.answer(socket, stolen.port);
      else this.route(stolen, socket, true);
    });
  }

  #give({ port }: StolenPort, claim: Claim, socket: Socket): void {
    claim.tally.connections++;
    claim.sockets.add(socket);
    socket.once("close", () => claim.sockets.delete(socket));
    claim.holder.take(socket, port);
  }

  /** @param passage undefined: its first bytes tell */
  #serve(stolen: StolenPort, socket: Socket, passage?: Passage<Destination>): void {
    const { port } = stolen;
    const { rules, own, log, toOrigin } = this.#parts;
    const client = endpoint(socket.remoteAddress, socket.remotePort);
    const relay = endpoint(socket.localAddress, socket.localPort);
    const toPod = async (): Promise<Socket> => {
      if (toOrigin !== undefined) return toOrigin(port);
      const local = await addressed(rules, client, relay, port);
      return connectToPod({ rules, own }, client, local);
    };
    const parts = (openPod: () => Promise<Socket>, tls?: TlsFacts): FilteredParts<Destination> => ({
      routes: () => stolen.routes,
      // Of HTTP/2 too: the kubelet would wait for the first word of a program that stands still.
      raw: (kind) =>
        stolen.probes?.isConnection(kind) && stolen.probes.mayAsk(client.address)
          ? stolen.routes.restOfProbes
          : undefined,
      open: (to, events) => {
        if (to === "pod") {
          stolen.passed.connections++;
          return podUpstream(openPod(), events);
        }
        const claim = claimOf(stolen, to);
        if (claim !== undefined) claim.tally.connections++;
        const channel = to.open(socket, port, tls);
        return channel && channelUpstream(channel, events);
      },
      onRaw: (to, why) => log("raw", { port, to: to === "pod" ? "pod" : to.id, why }),
      fieldOf: (to) => fieldOf(stolen, to),
      draining: stolen.draining,
    });
    const filterers = (): readonly Holder[] =>
      stolen.claims.flatMap(({ holder, filter, isActive }) => (isActive && filter ? [holder] : []));
    const certificates = (): readonly ServerCertificate[] =>
      filterers().flatMap((holder) => holder.certificates(port));
    const tlsParts: TlsParts = {
      certificates,
      connect: toPod,
      onObstacle: (why, detail) => {
        for (const holder of filterers()) holder.tlsUntouched(port, why, detail);
      },
      serve: (inside, facts, openPod) => serveFiltered(inside, parts(openPod, facts)),
    };
    if (passage !== undefined) {
      new Connection(socket, passage, parts(toPod)).start(Buffer.alloc(0));
      return;
    }
    serveFiltered<Destination>(socket, {
      ...parts(toPod),
      tls: {
        hasCertificate: () => certificates().length > 0,
        end: (from, early, raw) => stolen.tls.end(from, early, tlsParts, raw),
      },
    });
  }
}

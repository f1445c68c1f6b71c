/** Which Service is whose: sessions on its pods, and those that were started for it. Pure. */
import type { SessionStatus } from "@inpod/protocol";
import type { ListedService } from "@inpod/targets";
import { printable } from "../io.ts";
import type { Column } from "../text/table.ts";
import type { Asked } from "./ask.ts";
import { type Sort, takes, whoOf } from "./rows.ts";

export const SERVICE_COLUMNS: readonly Column[] = [
  { title: "NAMESPACE" },
  { title: "SERVICE", leastWidth: 12 },
  { title: "PORTS", expendable: 1 },
  { title: "MODE" },
  { title: "WHO", leastWidth: 12 },
  { title: "TAKES", leastWidth: 16 },
];

export interface Holding {
  readonly mode: string;
  readonly who: string;
  readonly takes: string;
}

export interface HeldService {
  readonly service: ListedService;
  /** Empty: its pods have it to themselves. */
  readonly holdings: readonly Holding[];
}

export const holdings = (
  services: readonly ListedService[],
  asked: readonly Asked[],
): HeldService[] =>
  services.map((service) => {
    const all = asked.flatMap((each) => {
      const { facts } = each.agent;
      const [, pod = ""] = /^pod\/([^/]+)/.exec(facts.target ?? "") ?? [];
      // Agents may live in a namespace of their own: their target's is not known then, and its pod's name is enough.
      const isBeside =
        service.pods.includes(pod) ||
        // A relay is for the Service itself.
        (facts.target === `service/${service.name}` && facts.namespace === service.namespace);
      const isNamed = (session: SessionStatus): boolean =>
        facts.namespace === service.namespace &&
        session.about?.target.replace(/\/container\/.*$/, "") === `service/${service.name}`;
      if (each.kind !== "told")
        return isBeside ? [{ mode: "", who: facts.owner ?? "?", takes: "?" }] : [];
      return each.status.sessions
        .filter((session) => isBeside || isNamed(session))
        .map(
          (session): Holding => ({
            mode: session.about?.mode ?? "",
            who: whoOf(session),
            takes:
              session.ports.map((port) => `${port.port}: ${takes(port)}`).join(", ") ||
              (session.about?.detail ?? ""),
          }),
        );
    });
    if (all.length === 0 && service.isOurs)
      return { service, holdings: [{ mode: "preview", who: service.owner ?? "?", takes: "all" }] };
    return { service, holdings: once(all) };
  });

/** A session is on several pods of its Service. */
const once = (all: readonly Holding[]): Holding[] => [
  ...new Map(all.map((each) => [JSON.stringify(each), each])).values(),
];

export function serviceRows(
  held: readonly HeldService[],
  {
    isEverywhere,
    isHeldOnly,
    sort,
  }: { readonly isEverywhere: boolean; readonly isHeldOnly: boolean; readonly sort: Sort },
): string[][] {
  const rows = held.flatMap(({ service, holdings: some }) => {
    if (some.length === 0 && isHeldOnly) return [];
    const nobody: readonly Holding[] = [{ mode: "", who: "", takes: "" }];
    return (some.length === 0 ? nobody : some).map(({ mode, who, takes: what }) => ({
      key: sort === "who" ? who : sort === "mode" ? mode : service.name,
      // What somebody has comes first where that is asked for.
      rank: sort === "target" || some.length > 0 ? 0 : 1,
      cells: [
        ...[isEverywhere ? service.namespace : "", service.name, service.ports.join(",")],
        ...[mode, who, what],
      ],
    }));
  });
  return rows
    .toSorted((a, b) => a.rank - b.rank || a.key.localeCompare(b.key, "en"))
    .map(({ cells }) => cells.map((cell) => printable(cell).replace(/\s+/g, " ")));
}

/** What was decided, told to --verbose and --trace: by the layer here, by the tap's tables there. */
import { readFileSync } from "node:fs";
import type { Tap, TapEvent } from "@inpod/tap";
import { decodeAddress } from "@inpod/tap";
import type { Decision, Reporter } from "./config.ts";
import { endpointText } from "./config.ts";
import { DnsTrace } from "./outgoing/dns-trace.ts";
import { BELOW_POD, BELOW_POD_KEY } from "./rules/paths.ts";
import type { Policy } from "./rules/policy.ts";
import { operationName, ruleAsked } from "./tap-rules.ts";
import { type Caller, CallTrace, type Done, resultName } from "./trace.ts";

type DecidedEvent = Extract<TapEvent, { kind: "decided" }>;
type ProgramEvent = Extract<TapEvent, { kind: "program" }>;

export class Decisions {
  readonly #tap: Tap;
  readonly #policy: () => Policy;
  readonly #reporter: Reporter;
  /** Undefined: not every call is wanted. */
  readonly trace: CallTrace | undefined;
  readonly dns: DnsTrace | undefined;
  /** Of what --verbose has been told of paths where every call is told: they are worth a line once. */
  readonly #told = new Set<string>();

  constructor(tap: Tap, policy: () => Policy, reporter: Reporter) {
    this.#tap = tap;
    this.#policy = policy;
    this.#reporter = reporter;
    this.trace = reporter.trace && new CallTrace(reporter.trace);
    this.dns = this.trace && new DnsTrace(this.trace);
  }

  start(): void {
    const { trace } = this;
    const { wantsDecisions = false } = this.#reporter;
    this.#tap.wantReports(trace ? "all" : wantsDecisions ? "news" : "nothing");
    if (trace) this.#tap.watchAnswers((token, errno) => trace.answered(token, errno));
  }

  close(): void {
    this.dns?.close();
    this.trace?.close(this.#tap.statistics().untold);
  }

  /** @param of the call, which is answered later */
  decided(of: Caller, decision: Decision, does?: Done): void {
    this.#reporter.decision(decision);
    this.trace?.decided(of, decision, does);
  }

  /** A name that the filter is asked about; those that go on to the pod are told with their answer. */
  name(decision: Decision): void {
    this.#reporter.decision(decision);
    if (decision.verdict !== "remote") this.trace?.told({ ...decision, call: "resolve", pid: 0 });
  }

  program(event: ProgramEvent): void {
    const { tgid, executable, isSkipped } = event;
    if (!this.trace && !this.#reporter.wantsDecisions) return;
    const [why, key] = whySkipped(this.#policy(), event);
    const verdict = isSkipped ? "skipped" : "tapped";
    const decision = { call: "program", subject: executable, verdict, why, key };
    this.#reporter.decision(decision);
    this.trace?.program(tgid, executable);
    this.trace?.told({ ...decision, pid: tgid });
  }

  byTap(event: DecidedEvent): void {
    const { call, path: subject, tgid, token, result, tookMs, operation } = event;
    const { verdict, why, key, isReported } = this.#tapDecision(event);
    const { trace } = this;
    if (trace) {
      // What was decided here and served there has its decision already; but that the pod has none is news.
      if (trace.served(token, result, event.isFallback ? { verdict, why, key } : undefined)) return;
      trace.told({
        ...{ pid: tgid, call, subject, does: operationName(operation), verdict, why, key },
        result: result < 0 ? undefined : resultName(result),
        tookMs,
      });
      if (!this.#reporter.wantsDecisions || !isReported) return;
      if (!this.#isNews(`${verdict} ${operation} ${subject}`)) return;
    }
    this.#reporter.decision({ call, subject, verdict, why, key });
  }

  #tapDecision({ rule, verdict, isFallback }: DecidedEvent): TapDecision {
    const { rules, mapping } = this.#policy();
    const none = { why: "no rule", key: undefined, isReported: true };
    const found =
      rule < 0
        ? { why: BELOW_POD, key: BELOW_POD_KEY, isReported: true }
        : (rules[ruleAsked(mapping, rule)] ?? none);
    const { why, key, isReported } = found;
    if (isFallback)
      return { verdict: "local", why: MISSING, key: "feature.fs.fallback", isReported };
    const whole = verdict === "read-only" ? `${BELOW_POD}; ${why}` : why;
    return { verdict, why: whole, key, isReported };
  }

  #isNews(what: string): boolean {
    if (this.#told.has(what)) return false;
    if (this.#told.size >= MAX_TOLD) this.#told.clear();
    this.#told.add(what);
    return true;
  }

  connectedByTap({ tgid, address, result }: Extract<TapEvent, { kind: "decided-connect" }>): void {
    const to = decodeAddress(address);
    const isHidden = result > 0;
    this.trace?.told({
      ...{ pid: tgid, call: "connect", verdict: isHidden ? "not-found" : "local" },
      subject: to ? `tcp ${endpointText(to)}` : `unix ${unixName(address)}`,
      why: to ? OWN_PORT : isHidden ? NSCD : "a socket of this machine",
      key: isHidden ? "feature.network.dns.enabled" : undefined,
      result: result < 0 ? undefined : resultName(result),
    });
  }
}

/** C has decided by the program's names, of which it tells one; the other, argv[0], is in /proc if it is there still. */
function whySkipped(
  policy: Policy,
  { tgid, executable, isSkipped }: ProgramEvent,
): readonly [why: string, key: string | undefined] {
  const { verdict, why, key } = policy.program(executable, argv0Of(tgid));
  if ((verdict === "skipped") === isSkipped) return [why, key];
  // It executes another program by now, or is gone.
  return [isSkipped ? "by its argv[0]" : "it is not skipped", "skip_processes"];
}

function argv0Of(tgid: number): string {
  try {
    return readFileSync(`/proc/${tgid}/cmdline`, "latin1").split("\0", 1)[0] ?? "";
  } catch {
    return "";
  }
}

const MISSING = "the pod has no such file";
export const OWN_PORT = "the program itself listens there";
const NSCD = "nscd would answer with the developer's names";
const MAX_TOLD = 4096;

interface TapDecision {
  readonly verdict: string;
  readonly why: string;
  readonly key: string | undefined;
  readonly isReported: boolean;
}

/** An abstract name begins with a NUL, which people write as "@" (ss(8)). */
const unixName = (address: Buffer): string => {
  const name = address.toString("latin1", SUN_PATH);
  return name.startsWith("\0") ? `@${name.slice(1)}` : (name.split("\0", 1)[0] ?? "");
};
const SUN_PATH = 2;

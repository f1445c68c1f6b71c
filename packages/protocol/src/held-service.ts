/**
 * A Service whose selector leads to a relay pod for a while: the note in its annotation of what it was, and the
 * patches that take it and give it back. The session, the agent and `inpod recover` all go by these. Pure.
 *
 * Each is a JSON Merge Patch (RFC 7386) with the resourceVersion that it was made from: the API server refuses it with
 * 409 when somebody was there in between, and it is to be made anew from what is there then.
 */
export const HELD_ANNOTATION = "inpod.dev/held";

/** As much of a Service as this looks at. */
export interface ServiceLike {
  readonly metadata?:
    | {
        readonly resourceVersion?: string | undefined;
        readonly annotations?: Readonly<Record<string, string>> | undefined;
        readonly managedFields?: readonly { readonly manager?: string | undefined }[] | undefined;
      }
    | undefined;
  readonly spec?:
    | { readonly selector?: Readonly<Record<string, string>> | null | undefined }
    | undefined;
}

type Selector = Readonly<Record<string, string>>;

/** What the annotation says. Foreign text: whoever may write the Service may have written it. */
export interface HeldNote {
  /** Of the agent that is the relay: by this its pods and Job are found. */
  readonly holder: string;
  /** Whose it is, as the cluster knows him; for people. */
  readonly owner: string;
  /** The Service's own. */
  readonly selector: Selector;
  /** What it is while it is held. */
  readonly relay: Selector;
  /** Milliseconds since the epoch by the API server's clock: nobody holds it any more who has not said so again. */
  readonly untilMs: number;
}

export type Hold =
  | { readonly kind: "free" }
  | { readonly kind: "held"; readonly note: HeldNote }
  /** Somebody wrote it by hand, or a later inpod did. */
  | { readonly kind: "unreadable"; readonly why: string };

const MAX_LABELS = 64;

/** Undefined: it selects nothing, or is none. */
export function selectorOf(value: unknown): Selector | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const pairs = Object.entries(value);
  const isGood =
    pairs.length > 0 &&
    pairs.length <= MAX_LABELS &&
    pairs.every(([, text]) => typeof text === "string");
  return isGood ? (value as Selector) : undefined;
}

/**
 * @param remembered where somebody took the note away, or spoilt it, and left the relay's selector, it is this one
 */
export function holdOf(service: ServiceLike, remembered?: HeldNote): Hold {
  const hold = written(service);
  return hold.kind !== "held" && remembered !== undefined && namesRelay(service, remembered)
    ? { kind: "held", note: remembered }
    : hold;
}

function written({ metadata }: ServiceLike): Hold {
  const text = metadata?.annotations?.[HELD_ANNOTATION];
  if (text === undefined) return { kind: "free" };
  let from: Record<string, unknown>;
  try {
    from = Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return { kind: "unreadable", why: "it is no JSON" };
  }
  const { holder, owner, untilMs } = from;
  const [selector, relay] = [selectorOf(from.selector), selectorOf(from.relay)];
  if (typeof holder !== "string" || !/^[a-z0-9-]{1,64}$/.test(holder))
    return { kind: "unreadable", why: "it names no holder" };
  if (selector === undefined || relay === undefined)
    return { kind: "unreadable", why: "it has no selector to go back to" };
  if (typeof untilMs !== "number") return { kind: "unreadable", why: "it does not say until when" };
  return {
    kind: "held",
    note: {
      holder,
      owner: typeof owner === "string" ? owner.slice(0, 256) : "",
      selector,
      relay,
      untilMs,
    },
  };
}

const render = ({ holder, owner, selector, relay, untilMs }: HeldNote): string =>
  JSON.stringify({ holder, owner, untilMs, selector, relay });

/** Whose its traffic is while nobody holds it: also while somebody does. */
export const ownSelector = (service: ServiceLike): Selector | undefined => {
  const hold = holdOf(service);
  return (hold.kind === "held" ? hold.note.selector : service.spec?.selector) ?? undefined;
};

export const sameSelector = (one: Selector, other: Selector): boolean =>
  Object.keys(one).length === Object.keys(other).length &&
  Object.entries(one).every(([key, value]) => other[key] === value);

/** Whether it leads to the relay now. */
export const leadsToRelay = ({ spec }: ServiceLike, { relay }: HeldNote): boolean =>
  sameSelector(spec?.selector ?? {}, relay);

/** Whether it leads where it did before. */
export const leadsToOwnPods = ({ spec }: ServiceLike, { selector }: HeldNote): boolean =>
  sameSelector(spec?.selector ?? {}, selector);

type Patch = Readonly<Record<string, unknown>>;
type SelectorPatch = Readonly<Record<string, string | null>>;

const patch = (
  service: ServiceLike,
  annotation: string | null,
  selector?: SelectorPatch,
): Patch => ({
  metadata: {
    resourceVersion: service.metadata?.resourceVersion,
    annotations: { [HELD_ANNOTATION]: annotation },
  },
  ...(selector === undefined ? {} : { spec: { selector } }),
});

const without = (keys: readonly string[]): SelectorPatch =>
  Object.fromEntries(keys.map((key) => [key, null]));

/** From a free Service: note and selector at once. */
export const takePatch = (service: ServiceLike, note: HeldNote): Patch =>
  patch(service, render(note), {
    ...without(Object.keys(service.spec?.selector ?? {})),
    ...note.relay,
  });

/** Its holder is still there. */
export const renewPatch = (service: ServiceLike, note: HeldNote): Patch =>
  patch(service, render(note));

/**
 * The Service as it was. Where somebody else has given it another selector meanwhile, that one stays and only the note
 * goes; of one in which somebody's words stand beside the relay's (a patch, a manifest applied over it), the relay's go.
 */
export function restorePatch(service: ServiceLike, note: HeldNote): Patch {
  const { selector, relay } = note;
  const now = service.spec?.selector ?? {};
  const ours = relayKeys(now, note);
  if (ours.length === 0) return patch(service, null);
  // What somebody has taken out of it stays out.
  const back = Object.entries(selector).filter(
    ([key]) => ours.includes(key) || !(key in now || key in relay),
  );
  return patch(service, null, { ...without(ours), ...Object.fromEntries(back) });
}

const relayKeys = (now: Selector, { selector, relay }: HeldNote): string[] =>
  Object.keys(relay).filter((key) => now[key] === relay[key] && relay[key] !== selector[key]);

/** Whether some of its selector is the relay's; with anything else beside it the Service leads to nobody. */
export const namesRelay = ({ spec }: ServiceLike, note: HeldNote): boolean =>
  relayKeys(spec?.selector ?? {}, note).length > 0;

/** By this name the API server writes down whose a field is. */
export const FIELD_MANAGER = "inpod";

/**
 * After a Service was given back: else its selector would be inpod's for ever, and a server-side apply of another one
 * refused. Undefined: there is nothing of inpod's.
 */
export function disownPatch({ metadata }: ServiceLike): Patch | undefined {
  const { managedFields = [], resourceVersion } = metadata ?? {};
  const others = managedFields.filter(({ manager }) => manager !== FIELD_MANAGER);
  if (others.length === managedFields.length) return undefined;
  // An empty list would change nothing; this one is "nobody's".
  return {
    metadata: { resourceVersion, managedFields: others.length === 0 ? [{}] : others },
  };
}

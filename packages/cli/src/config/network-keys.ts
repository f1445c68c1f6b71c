/** The keys below `feature.network`. */
import { FilterError, parseHttpFilter } from "@inpod/session";
import * as z from "zod";
import { works } from "./keys.ts";
import { httpsDelivery, tls, tlsDelivery } from "./tls.ts";
import {
  flag,
  flagOrObject,
  list,
  oneOrList,
  orFlag,
  port,
  regexes,
  section,
  shortOr,
  words,
} from "./values.ts";

/** Agents of one session, each with its tunnel; "all" has no limit. */
const MAX_REPLICAS = 1000;

/** One place: a program's own port and the pod's. */
const WHAT_PAIR = "a pair [port of the program, port of the pod]";
const pairsOf = (error: string) =>
  list(z.tuple([port, port], { error }), "pairs of port numbers").refine(
    (all) => new Set(all.map(([own]) => own)).size === all.length,
    { error: "pairs that name each port of the program once" },
  );
const pairs = pairsOf(WHAT_PAIR);
const WHAT_REPLICAS = `a number of pods from 1 to ${MAX_REPLICAS}, or "all"`;
export const replicas = z.union(
  [
    z.literal("all"),
    z
      .int({ error: WHAT_REPLICAS })
      .min(1, { error: WHAT_REPLICAS })
      .max(MAX_REPLICAS, { error: WHAT_REPLICAS }),
  ],
  { error: WHAT_REPLICAS },
);
const INCOMING_MODES = ["mirror", "steal", "off"] as const;
const CONCURRENT_STEAL = ["abort", "override", "continue"] as const;

const filterObject = z.record(z.string(), z.unknown(), { error: "an object" });
const filters = list(filterObject, "filters");
const expression = z.union([z.string(), filterObject], {
  error: "an expression, or an object with exact, prefix or matches",
});

/** What is in it is judged by who acts on it: see docs/http-filters.md. */
const httpFilter = section({
  header_filter: works(expression, "a header: an expression for `name: value`, or an object"),
  header_filter_jq: works(z.string({ error: "a string" }), "a jq program, run for each header"),
  path_filter: works(expression, "the path, or the path with its query"),
  method_filter: works(expression, "the method"),
  body_filter: works(filterObject, "what a JSON body must have: body, query and matches"),
  all_of: works(filters, "filters that must all match"),
  any_of: works(filters, "filters of which one must match"),
  none_of: works(filters, "filters of which none may match"),
  ports: works(
    list(port, "port numbers"),
    "ports whose requests are filtered; of the others only those in incoming.ports are taken",
  ),
}).superRefine((value, context) => {
  try {
    parseHttpFilter(value);
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    const path = error.path.split(/[.[\]]+/).filter((part) => part !== "");
    context.addIssue({
      code: "custom",
      path: path.map((part) => (/^\d+$/.test(part) ? Number(part) : part)),
      message: `something that can be used (${error.problem})`,
    });
  }
});

const incoming = section({
  mode: works(
    words(INCOMING_MODES),
    "whether what the pod's clients send is copied to the program, taken for it, or neither",
  ),
  replicas: works(
    replicas,
    "from how many of a workload's ready pods, the target's own among them, or all",
  ),
  ports: works(list(port, "port numbers"), "ports that are the pod's; the others stay local"),
  ignore_ports: works(list(port, "port numbers"), "ports that stay local"),
  ignore_localhost: works(flag, "whether a program that listens on loopback only stays local"),
  port_mapping: works(pairs, "ports of the program, and the port of the pod that each stands for"),
  listen_ports: works(
    pairsOf("a pair [port of the program, port that it is bound to]"),
    "ports of the program, and the port of this machine that each is bound to: that one or none",
  ),
  http_filter: works(httpFilter, "which requests are taken, or copied"),
  probes: works(
    flag,
    "whether the program gets the kubelet's probes and hooks of its ports, else they stay with the pod",
  ),
  canary: works(
    flag,
    "whether a connection through the pod's Service shows that its traffic arrives",
  ),
  on_concurrent_steal: works(
    words(CONCURRENT_STEAL),
    "where somebody else has taken the same: the program ends (abort), it is taken from him (override), the target keeps it (continue)",
  ),
  tls,
  tls_delivery: tlsDelivery,
  https_delivery: httpsDelivery,
});

/** `[tcp|udp://]host|ip|cidr|:port`; what is no address is a name, so only the shape is checked here. */
const WHAT_PEER = "[tcp://|udp://] and a name, an address, a subnet or :PORT";
const peers = oneOrList(
  z
    .string({ error: "a string" })
    .regex(/^((tcp|udp):\/\/)?[^\s/]+(\/\d{1,3}(:\d{1,5})?)?$/, { error: WHAT_PEER }),
  "peers",
);

const outgoing = section({
  tcp: works(flag, "whether TCP connections leave from the pod"),
  udp: works(flag, "whether UDP datagrams leave from the pod"),
  ignore_localhost: works(flag, "whether connections to loopback stay local"),
  filter: works(
    section({
      remote: works(peers, `only what goes to these leaves from the pod: ${WHAT_PEER}`),
      local: works(peers, "what goes to these does not leave from the pod"),
    }).refine(({ remote, local }) => (remote === undefined) !== (local === undefined), {
      error: "either remote or local",
    }),
    "what leaves from the pod",
  ),
  unix_streams: works(
    regexes,
    "expressions for the paths of unix stream and seqpacket sockets, and @NAME of abstract ones, that are the pod's",
  ),
});

const WHAT_NAME = "a name, *.NAME, or the address or subnet for which a name is asked";
const names = oneOrList(
  z.string({ error: "a string" }).regex(/^(?!:)[^\s/]+(\/\d{1,3})?$/, { error: WHAT_NAME }),
  "names",
);

const dns = section({
  enabled: works(flag, "whether names are found as the pod finds them"),
  filter: works(
    section({
      remote: works(names, `only these are found as the pod finds them: ${WHAT_NAME}`),
      local: works(names, "these are found as this machine finds them"),
    }).refine(({ remote, local }) => (remote === undefined) !== (local === undefined), {
      error: "either remote or local",
    }),
    "which names are found as the pod finds them",
  ),
});

export const network = section({
  incoming: works(
    shortOr(orFlag(INCOMING_MODES), incoming),
    "what the pod's clients send; a word is the mode, true is mirror, false is off",
  ),
  outgoing: works(
    shortOr(flagOrObject, outgoing),
    "what the program connects to; false: none of it leaves from the pod",
  ),
  dns: works(shortOr(flagOrObject, dns), "name resolution; false: this machine's"),
  ipv6: works(
    flag,
    "whether the program may make sockets of IPv6, else it is told EAFNOSUPPORT, and build tools as well",
  ),
});

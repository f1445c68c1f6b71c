/** The keys of this version, named and typed as in mirrord's configuration. */
import { z } from "zod";
import { agentSection, startupRetrySection } from "./agent-keys.ts";
import { label } from "./kubernetes-values.ts";
import {
  flag,
  flagOrObject,
  list,
  names,
  orFlag,
  port,
  regex,
  regexes,
  section,
  shortOr,
  text,
  words,
} from "./values.ts";

const env = section({
  include: names.optional(),
  exclude: names.optional(),
  override: z.record(z.string(), z.string({ error: "a string (write it in quotes)" })).optional(),
  mapping: z.record(regex(false), z.string({ error: "a string (write it in quotes)" })).optional(),
  unset: names.optional(),
  env_file: text.optional(),
}).refine(({ include, exclude }) => include === undefined || exclude === undefined, {
  error: "include or exclude, not both",
});

const FS_MODES = ["local", "localwithoverrides", "read", "write"] as const;
const NOT_WRITE = 'not supported yet: writing to the pod\'s files ("read" works)';
const isNotWrite = (mode: unknown): boolean => mode !== "write";
const fs = section({
  mode: words(FS_MODES).refine(isNotWrite, { error: NOT_WRITE }).optional(),
  read_only: regexes.optional(),
  local: regexes.optional(),
  not_found: regexes.optional(),
  mapping: z.record(regex(true), z.string({ error: "a string" })).optional(),
  fallback: flag.optional(),
});

const WHAT_PAIR = "a pair [port of the program, port of the pod]";
const INCOMING_MODES = ["mirror", "steal", "off"] as const;
const incoming = section({
  mode: words(INCOMING_MODES).optional(),
  ports: list(port, "port numbers").optional(),
  ignore_ports: list(port, "port numbers").optional(),
  ignore_localhost: flag.optional(),
  port_mapping: list(z.tuple([port, port], { error: WHAT_PAIR }), "pairs of port numbers")
    .refine((pairs) => new Set(pairs.map(([own]) => own)).size === pairs.length, {
      error: "pairs that name each port of the program once",
    })
    .optional(),
});

/** `[tcp|udp://]host|ip|cidr|:port`; what is no address is a name, so only the shape is checked here. */
const peer = z
  .string({ error: "a string" })
  .regex(/^((tcp|udp):\/\/)?[^\s/]+(\/\d{1,3}(:\d{1,5})?)?$/, {
    error: "[tcp://|udp://] and a name, an address, a subnet or :PORT",
  });
const outgoing = section({
  tcp: flag.optional(),
  udp: flag.optional(),
  ignore_localhost: flag.optional(),
  filter: section({
    remote: list(peer, "peers").optional(),
    local: list(peer, "peers").optional(),
  })
    .refine(({ remote, local }) => (remote === undefined) !== (local === undefined), {
      error: "either remote or local",
    })
    .optional(),
});

const network = section({
  incoming: shortOr(orFlag(INCOMING_MODES), incoming).optional(),
  outgoing: shortOr(flagOrObject, outgoing).optional(),
  dns: shortOr(flagOrObject, section({ enabled: flag.optional() })).optional(),
});

export const fileSchema = section({
  target: shortOr(
    z.string({ error: "a string, or an object with path and namespace" }).min(1),
    section({ path: text.optional(), namespace: text.optional() }),
  ).optional(),
  kubeconfig: text.optional(),
  kube_context: text.optional(),
  accept_invalid_certificates: flag.optional(),
  key: label.optional(),
  skip_processes: names.optional(),
  skip_build_tools: flag.optional(),
  skip_extra_build_tools: names.optional(),
  startup_retry: startupRetrySection.optional(),
  agent: agentSection.optional(),
  feature: section({
    env: shortOr(flagOrObject, env).optional(),
    fs: shortOr(orFlag(FS_MODES).refine(isNotWrite, { error: NOT_WRITE }), fs).optional(),
    hostname: flag.optional(),
    network: shortOr(flagOrObject, network).optional(),
    magic: section({}).optional(),
  }).optional(),
});

/** What one configuration file says, checked; nothing is defaulted yet. */
export type FileConfig = z.output<typeof fileSchema>;

/** The keys of this version, named and typed as in mirrord's configuration. Each `error` says what is allowed there. */
import { ConfigValueError, compileUserRegex } from "@inpod/session";
import { z } from "zod";
import { isObject } from "./other-keys.ts";

/** The message of an unknown key is the list of the known ones, separated by blanks: see problems.ts. */
const section = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.strictObject(shape, {
    error: ({ code }) =>
      code === "unrecognized_keys" ? Object.keys(shape).join(" ") : "an object",
  });

/**
 * A value that may be short (a boolean, a word) or an object. It is judged as what it is, so
 * that an error names the key inside and not "no member of the union".
 */
const shortOr = <Short extends z.ZodType, Long extends z.ZodType>(short: Short, long: Long) =>
  z.unknown().transform((value, context): z.output<Short> | z.output<Long> => {
    const result = (isObject(value) ? long : short).safeParse(value);
    if (result.success) return result.data as z.output<Short> | z.output<Long>;
    for (const issue of result.error.issues)
      context.issues.push({ ...issue, path: [...issue.path], input: value } as never);
    return z.NEVER;
  });

const flag = z.boolean({ error: "true or false" });
const text = z.string({ error: "a string" }).min(1, { error: "a string that is not empty" });
const seconds = z
  .int({ error: "a whole number of seconds" })
  .min(1, { error: "at least 1 second" })
  .max(86_400, { error: "at most 86400 seconds" });
const WHAT_PORT = "a port number from 1 to 65535";
const port = z
  .int({ error: WHAT_PORT })
  .min(1, { error: WHAT_PORT })
  .max(65_535, { error: WHAT_PORT });

/** Judged by the engine that will run it, so that what is accepted here works later. */
const regex = (ignoreCase: boolean) =>
  text.superRefine((source, context) => {
    try {
      compileUserRegex(source, "it", { ignoreCase });
    } catch (error) {
      if (!(error instanceof ConfigValueError)) throw error;
      const why = error.message.replace(/^.*cannot be used: /s, "");
      context.addIssue({
        code: "custom",
        message: `a regular expression that can be used (${why})`,
      });
    }
  });

const list = <Item extends z.ZodType>(item: Item, what: string) =>
  z.array(item, { error: `a list of ${what}` });
const regexes = list(regex(true), "regular expressions");

/** "A;B" or ["A", "B"] */
const names = z
  .union(
    [
      z.string().transform((joined) => joined.split(";").map((name) => name.trim())),
      z.array(z.string()),
    ],
    {
      error: 'a list of strings, or one string with ";" between the names',
    },
  )
  .transform((all) => all.filter((name) => name !== ""));

/** "write" is known, so that it can be refused as such, and not offered. */
const inQuotes = (allowed: readonly string[]): string =>
  allowed
    .filter((word) => word !== "write")
    .map((word) => `"${word}"`)
    .join(", ");

const words = <const Words extends readonly [string, ...string[]]>(allowed: Words) =>
  z.enum(allowed, { error: inQuotes(allowed) });

const orFlag = <const Words extends readonly [string, ...string[]]>(allowed: Words) =>
  z.union([z.boolean(), z.enum(allowed)], {
    error: `true, false, ${inQuotes(allowed)}, or an object`,
  });
const flagOrObject = z.boolean({ error: "true, false, or an object" });

const agent = section({
  image: shortOr(
    z.string({ error: "a string, or an object with registry and tag" }).min(1),
    section({ registry: text, tag: text }),
  ).optional(),
  image_pull_policy: words(["IfNotPresent", "Always", "Never"]).optional(),
  startup_timeout: seconds.optional(),
  communication_timeout: seconds.optional(),
  idle_timeout: seconds.optional(),
  ttl: z.int({ error: "a whole number of seconds" }).min(0).optional(),
  log_level: text.optional(),
});

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
  skip_processes: names.optional(),
  skip_build_tools: flag.optional(),
  skip_extra_build_tools: names.optional(),
  agent: agent.optional(),
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

/**
 * What inpod-up.yaml may say. Keys that mirrord's mirrord-up.yaml has mean what they mean there: common, services, target,
 * run, default_mode (mode), env, http_filter, ignore_ports, config_patch, context.
 */
import * as z from "zod";
import { flag, list, oneOrList, port, section, shortOr, text, words } from "../config/values.ts";

/** What of a service's traffic comes here: mirrord's words, and one of older versions. */
export const TRAFFIC_MODES = ["split", "replace", "mirror", "steal"] as const;
/** Sessions whose local end is a port. */
export const PORT_MODES = ["exchange", "mesh", "preview", "forward"] as const;
export const MODES = ["exec", ...TRAFFIC_MODES, ...PORT_MODES] as const;
export type Mode = (typeof MODES)[number];

const anyObject = z.record(z.string(), z.unknown(), { error: "an object" });
const command = z.union([text, z.array(z.string()).min(1)], {
  error: 'a list of words (["npm", "start"]), or one string for a shell',
});
const exposed = z.union([port, text], { error: 'a port, or "LOCAL:REMOTE"' }).transform(String);
const expose = z.union([exposed.transform((one) => [one]), z.array(exposed).min(1)], {
  error: 'a port, "LOCAL:REMOTE", or a list of such',
});
const target = section({ path: text.optional(), namespace: text.optional() });

const place = {
  namespace: text.optional(),
  context: text.optional(),
  kubeconfig: text.optional(),
};

export const service = section({
  mode: words(MODES).optional(),
  default_mode: words(TRAFFIC_MODES).optional(),
  target: shortOr(
    z.string({ error: 'a target ("deployment/orders"), "none", or an object' }),
    target,
  ).optional(),
  ...place,
  run: section({
    type: words(["exec"], {
      container:
        '"exec": inpod has no command container; run it by docker with inpod env --format docker',
    }).optional(),
    command,
  }).optional(),
  command: command.optional(),
  directory: text.optional(),
  env: anyObject.optional(),
  http_filter: anyObject.optional(),
  ignore_ports: list(port, "ports").optional(),
  config: text.optional(),
  config_patch: anyObject.optional(),
  expose: expose.optional(),
  header: oneOrList(text, "headers").optional(),
  version_mark: text.optional(),
  path_prefix: oneOrList(text, "prefixes").optional(),
  external: flag.optional(),
  local: oneOrList(text, "[LOCAL:]HOST:PORT").optional(),
  remote: oneOrList(text, "[REMOTE:]LOCAL").optional(),
});

export const upFile = section({
  $schema: z.string().optional(),
  common: section({
    ...place,
    accept_invalid_certificates: flag.optional(),
    /** Of mirrord's operator and reports, which inpod does not have. */
    operator: z.unknown().optional(),
    telemetry: z.unknown().optional(),
    config: text.optional(),
    config_patch: anyObject.optional(),
  }).optional(),
  services: z
    .record(
      z.string().regex(/^[A-Za-z0-9][\w.-]{0,62}$/, {
        error: "a name of up to 63 letters, digits, dots, dashes and underscores",
      }),
      service,
      { error: "an object of services by their names" },
    )
    .refine((all) => Object.keys(all).length > 0, { error: "at least one service" }),
});

export type Service = z.output<typeof service>;
export type UpFile = z.output<typeof upFile>;
export type Common = NonNullable<UpFile["common"]>;

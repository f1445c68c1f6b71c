/** The keys below `agent`: where the agent is put, and how long it lives. */
import { z } from "zod";
import {
  annotations,
  dnsLabel,
  labels,
  objectName,
  profile,
  pullSecrets,
  resources,
  tolerations,
} from "./kubernetes-values.ts";
import { count, flag, list, seconds, section, shortOr, words } from "./values.ts";

/** What a job may have; each can be taken away (targets says what is then missing). */
export const CAPABILITIES = [
  "NET_ADMIN",
  "NET_RAW",
  "SYS_PTRACE",
  "SYS_ADMIN",
  "DAC_READ_SEARCH",
  "SETUID",
  "SETGID",
] as const;

export const LOG_LEVELS = ["off", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * A level, or a list of them for parts of the agent as RUST_LOG has it (`warn,mirrord=debug`): inpod's agent
 * has one log, so the most talkative counts.
 *
 * @returns undefined for what is neither
 */
function logLevelOf(written: string): LogLevel | undefined {
  const levels = written.split(",").map((part) => part.slice(part.indexOf("=") + 1).trim());
  const places = levels.map((level) => LOG_LEVELS.indexOf(level.toLowerCase() as LogLevel));
  return places.includes(-1) ? undefined : LOG_LEVELS[Math.max(...places)];
}

export const logLevel = z.string({ error: "a string" }).transform((written, context): LogLevel => {
  const level = logLevelOf(written);
  if (level !== undefined) return level;
  const message = LOG_LEVELS.map((each) => `"${each}"`).join(", ");
  context.issues.push({ code: "custom", message, input: written });
  return z.NEVER;
});

/** An address of the agent's own network namespace to listen on. */
const WHAT_LISTENER = "an address and a port, for instance 0.0.0.0:9000 or [::]:9000";
const listener = z
  .string({ error: WHAT_LISTENER })
  .regex(/^(?:[\d.]{7,15}|\[[\da-fA-F:.]{2,45}\]):\d{1,5}$/, { error: WHAT_LISTENER })
  .refine((written) => Number(/\d+$/.exec(written)?.[0]) <= 65_535, { error: WHAT_LISTENER });

const WHAT_IMAGE = "a string without blanks, or an object with registry and tag";
const imageText = (error: string) => z.string({ error }).regex(/^[^\s]+$/, { error });

export const agentSection = section({
  image: shortOr(
    imageText(WHAT_IMAGE),
    section({
      registry: imageText("a string without blanks"),
      tag: imageText("a string without blanks"),
    }),
  ).optional(),
  image_pull_policy: words(["IfNotPresent", "Always", "Never"]).optional(),
  image_pull_secrets: pullSecrets.optional(),
  namespace: dnsLabel.optional(),
  ephemeral: flag.optional(),
  privileged: flag.optional(),
  disabled_capabilities: list(words(CAPABILITIES), "capabilities").optional(),
  tolerations: tolerations.optional(),
  node_selector: labels.optional(),
  resources: resources.optional(),
  labels: labels.optional(),
  annotations: annotations.optional(),
  service_account: objectName.optional(),
  priority_class: objectName.optional(),
  security_context: section({
    seccomp_profile: profile.optional(),
    app_armor_profile: profile.optional(),
  }).optional(),
  startup_timeout: seconds.optional(),
  communication_timeout: seconds.optional(),
  idle_timeout: seconds.optional(),
  ttl: count(0, 86_400, "of seconds").optional(),
  log_level: logLevel.optional(),
  json_log: flag.optional(),
  metrics: listener.optional(),
  check_out_of_pods: flag.optional(),
  disable_mesh_sidecar_injection: flag.optional(),
});

export const startupRetrySection = section({
  min_ms: count(1, 600_000, "of milliseconds").optional(),
  max_ms: count(1, 600_000, "of milliseconds").optional(),
  max_retries: count(0, 1000, "of attempts").optional(),
}).refine(({ min_ms = 0, max_ms = Number.POSITIVE_INFINITY }) => min_ms <= max_ms, {
  error: "min_ms that is not above max_ms",
});

/** The keys below `agent`: where the agent is put, and how long it lives. */
import { CAPABILITIES } from "@inpod/targets/placement";
import * as z from "zod";
import { noEffect, notYet, works } from "./keys.ts";
import {
  annotations,
  dnsLabel,
  labels,
  objectName,
  profile,
  pullSecrets,
  quantities,
  tolerations,
} from "./kubernetes-values.ts";
import { count, flag, list, seconds, section, shortOr, words } from "./values.ts";

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
const WHAT_PART = "a string without blanks";
const imageText = (error: string) => z.string({ error }).regex(/^[^\s]+$/, { error });

/** Kept for the day when they do something. */
const DETECTION = "requests are not looked into yet";

export const imageKey = shortOr(
  imageText(WHAT_IMAGE),
  section({
    registry: works(imageText(WHAT_PART), "the image without its tag", { into: "agent.image" }),
    tag: works(imageText(WHAT_PART), "its tag", { into: "agent.image" }),
  }).refine(({ registry, tag }) => registry !== undefined && tag !== undefined, {
    error: "an object with both registry and tag",
  }),
);

export const agentSection = section({
  image: works(
    imageKey,
    "image of the agent; the default is the one that belongs to this version of inpod",
  ),
  image_pull_policy: works(
    words(["IfNotPresent", "Always", "Never"]),
    "when the node asks the registry; the default is the cluster's",
  ),
  image_pull_secrets: works(pullSecrets, "Secrets in the agent's namespace to pull its image with"),
  namespace: works(dnsLabel, "namespace of the agent, where it is not the target's"),
  ephemeral: works(
    flag,
    "yes to an agent that is a container in the pod itself, and stays in the pod's spec",
  ),
  relay_pod: works(
    section({
      mode: works(
        words(["auto", "always", "never"]),
        "whether a Service's traffic comes through a relay pod to which its selector leads meanwhile: where nothing else can take it (auto), always or never",
      ),
      unattended: works(
        flag,
        "yes to a relay pod without the right to give the Service back by itself: after a crash inpod recover does",
      ),
    }),
    "exchange and mesh where no agent may redirect",
  ),
  allow_host_network: works(
    flag,
    "yes to stealing from a pod in its node's network, and so from the whole node",
  ),
  privileged: works(flag, "an agent with all rights on its node"),
  disabled_capabilities: works(
    list(words(CAPABILITIES), "capabilities"),
    "capabilities that the agent does not ask for",
  ),
  tolerations: works(
    tolerations,
    "taints that the agent's pod tolerates, as a pod's spec has them; unless said, every taint",
  ),
  node_selector: works(labels, "labels of nodes for an agent without a target"),
  resources: works(
    section({
      requests: works(quantities, "what the agent's pod requests"),
      limits: works(quantities, "what the agent's pod may use"),
    }),
    "resources of the agent's pod, as a pod's spec has them",
  ),
  labels: works(labels, "labels of the agent's objects, beside inpod's own"),
  annotations: works(annotations, "annotations of the agent's objects, beside inpod's own"),
  service_account: works(objectName, "service account of the agent's pod"),
  priority_class: works(objectName, "priority class of the agent's pod"),
  security_context: works(
    section({
      seccomp_profile: works(profile, "seccomp profile of the agent, as a pod's spec has it"),
      app_armor_profile: works(profile, "AppArmor profile of the agent, as a pod's spec has it"),
    }),
    "profiles of the agent's container",
  ),
  startup_timeout: works(seconds, "seconds in which the agent must have started"),
  communication_timeout: works(seconds, "seconds for which the agent waits for its first session"),
  idle_timeout: works(seconds, "seconds after which an agent without a session ends itself"),
  resume_timeout: works(
    seconds,
    "seconds for which a session that has lost its connection dials its agent, and the agent waits for it",
  ),
  ttl: works(
    count(0, 86_400, "of seconds"),
    "seconds for which the cluster keeps the agent's Job after its end",
  ),
  log_level: works(
    logLevel,
    "what the agent logs: a level, or a list as RUST_LOG has it, of which the most talkative counts",
  ),
  json_log: works(flag, "the agent's log as JSON lines"),
  metrics: works(listener, "address and port at which the agent's pod answers Prometheus"),
  check_out_of_pods: works(flag, "whether a node without room for another pod is refused at once"),
  disable_mesh_sidecar_injection: works(
    flag,
    "whether the agent's pod asks meshes to leave it alone",
  ),
  flush_connections: works(
    flag,
    "whether connections from before are taken over when stealing starts",
  ),
  nftables: notYet("whether nftables or iptables redirects", {
    why: "nftables is what is used",
    harmless: z.literal(true),
    type: "boolean",
  }),
  clean_iptables_on_start: noEffect(
    "whether leftovers of an agent are removed by the next",
    "the kernel removes an agent's rules with it, so there are no leftovers",
    "boolean",
  ),
  external_ip_fix: noEffect(
    "whether what is not taken goes to the pod's own address",
    "it always does",
    "boolean",
  ),
  exclude_from_mesh: noEffect(
    "whether a mesh leaves the port of an ephemeral agent alone",
    "the agent listens on loopback, where meshes do not look",
    "boolean",
  ),
  override_cache_control: noEffect(
    "whether responses get another Cache-Control",
    "inpod never changes a response",
    "boolean",
  ),
  dns: noEffect(
    "timeout and attempts of the agent's name resolution",
    "the program's own resolver asks, as the pod's resolv.conf says",
    "object",
  ),
  inject_headers: works(flag, "whether HTTP responses of stolen ports say who answered"),
  http_detection_timeout: notYet("seconds for which a connection's protocol is waited for", {
    why: DETECTION,
    type: "integer",
  }),
  max_body_buffer_size: notYet("bytes of a body that a filter looks at", {
    why: DETECTION,
    type: "integer",
  }),
  max_body_buffer_timeout: notYet("milliseconds for which a filter waits for a body", {
    why: DETECTION,
    type: "integer",
  }),
  jaq_time_limit: notYet("time that a jq filter may take", { why: DETECTION, type: "integer" }),
});

export const startupRetrySection = section({
  min_ms: works(count(1, 600_000, "of milliseconds"), "milliseconds before the second attempt"),
  max_ms: works(count(1, 600_000, "of milliseconds"), "milliseconds between attempts at most"),
  max_retries: works(count(0, 1000, "of attempts"), "attempts after the first"),
}).refine(({ min_ms = 0, max_ms = Number.POSITIVE_INFINITY }) => min_ms <= max_ms, {
  error: "min_ms that is not above max_ms",
});

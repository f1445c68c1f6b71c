/** The keys of a configuration file, named and typed as in mirrord's. See keys.ts for the words used here. */
import * as z from "zod";
import { agentSection, startupRetrySection } from "./agent-keys.ts";
import { feature } from "./feature-keys.ts";
import { noEffect, refused, works } from "./keys.ts";
import { sessionKey } from "./kubernetes-values.ts";
import { target } from "./target-keys.ts";
import { flag, names, section, text, words } from "./values.ts";

const NO_OPERATOR = "it is for mirrord's operator, which inpod does not have";
const NO_MACOS = "it is for macOS, where inpod runs no programs";
const NO_PROXY_PROCESS = "inpod has no such process";

export const fileSchema = section({
  $schema: works(z.string({ error: "a string" }), "where an editor finds the schema of this file"),
  target: works(target, "whose place the program takes"),
  key: works(
    sessionKey,
    "name of the session, for people: a label's value, and `{{ key }}` in templates; unless said, one is made up",
  ),
  kubeconfig: works(text, "kubeconfig to use; the default is KUBECONFIG or ~/.kube/config"),
  kube_context: works(text, "context of the kubeconfig; the default is its current one"),
  accept_invalid_certificates: works(
    flag,
    "whether the API server's certificate is left unchecked",
  ),
  use_proxy: works(
    flag,
    "whether the API server is reached through the proxy of HTTPS_PROXY; that of the kubeconfig is used in any case",
  ),
  on_disconnect: works(
    words(["stop", "continue"]),
    "what becomes of the program when its session is lost for good: it is ended, or goes on without the target",
  ),
  skip_processes: works(
    names,
    "programs that stay on this machine, by the name of their file or their argv[0]",
  ),
  skip_build_tools: works(flag, "whether compilers and build tools stay on this machine"),
  skip_extra_build_tools: works(names, "more programs like those"),
  startup_retry: works(
    startupRetrySection,
    "requests that are repeated where the API server does not answer, until the agent runs",
  ),
  agent: works(agentSection, "what runs beside the target"),
  feature: works(feature, "what of the pod the program gets"),
  operator: refused("whether mirrord's operator is used", NO_OPERATOR, {
    harmless: z.literal(false),
    type: "boolean",
  }),
  profile: refused("a profile that the cluster keeps", NO_OPERATOR, { type: "string" }),
  multi_cluster: refused("whether several clusters are used at once", NO_OPERATOR, {
    harmless: z.literal(false),
    type: "boolean",
  }),
  traceparent: noEffect("trace context of requests to the operator", NO_OPERATOR, "string"),
  baggage: noEffect("baggage of requests to the operator", NO_OPERATOR, "string"),
  api: noEffect("whether a server on this machine shows the session", "inpod has none", "boolean"),
  telemetry: noEffect("whether usage is reported", "inpod reports nothing to anybody", "boolean"),
  sip_binaries: noEffect("programs to sign anew", NO_MACOS, "list of string"),
  skip_sip: noEffect("programs not to sign anew", NO_MACOS, "list of string"),
  ci: noEffect("where `ci` puts the program's output", "inpod has no such command", "object"),
  container: noEffect(
    "how `container` runs its container",
    "it is for that command, which inpod does not have yet",
    "object",
  ),
  internal_proxy: noEffect(
    "timeouts and log of a process of mirrord's",
    NO_PROXY_PROCESS,
    "object",
  ),
  external_proxy: noEffect(
    "timeouts and log of a process of mirrord's",
    NO_PROXY_PROCESS,
    "object",
  ),
  experimental: noEffect("switches of mirrord's", "none of them is inpod's", "object"),
});

/** What one configuration file says, checked; nothing is defaulted yet. */
export type FileConfig = z.output<typeof fileSchema>;

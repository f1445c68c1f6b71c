/**
 * Which cluster, as whom, in which namespace: from --kubeconfig, KUBECONFIG, ~/.kube/config or the
 * pod that we run in ourselves. Reading and logging in is @kubernetes/client-node's part.
 */
import { existsSync } from "node:fs";
import type { Agent, RequestOptions } from "node:https";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { nearestFirst, UserError } from "@inpod/protocol";
import type { KubeConfig } from "@kubernetes/client-node";

/** What every request to the API server takes with it; holds secrets, never logged. */
export interface Credentials {
  readonly tls: Pick<RequestOptions, "ca" | "cert" | "key" | "servername" | "rejectUnauthorized">;
  readonly headers: Readonly<Record<string, string>>;
  /** Goes through the cluster's proxy-url; undefined: connect directly. */
  readonly proxyAgent: Agent | undefined;
}

export interface Access {
  /** May have a path (Rancher does). */
  readonly server: URL;
  readonly contextName: string;
  /** The context's, or "default". */
  readonly namespace: string;
  /** Fresh for each request: login programs and token files renew what they give. @throws UserError LOGIN_FAILED */
  credentials(): Promise<Credentials>;
}

export interface KubeconfigOptions {
  /** --kubeconfig */
  readonly kubeconfig?: string | undefined;
  /** --context */
  readonly context?: string | undefined;
  /** accept_invalid_certificates: the API server's certificate is not verified. */
  readonly acceptInvalidCertificates?: boolean | undefined;
}

const IN_CLUSTER_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/** @throws UserError KUBECONFIG_NOT_FOUND, KUBECONFIG_INVALID, CONTEXT_NOT_FOUND, CONTEXT_INVALID */
export async function loadAccess(options: KubeconfigOptions): Promise<Access> {
  const config = await load(options.kubeconfig);
  const contextName = options.context ?? config.getCurrentContext();
  if (!contextName) throw noContext(config.getContexts().map(({ name }) => name));
  const context = config.getContextObject(contextName);
  if (context === null)
    throw contextNotFound(
      contextName,
      config.getContexts().map(({ name }) => name),
    );
  config.setCurrentContext(contextName);
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw contextInvalid(contextName, `no cluster "${context.cluster}"`);
  if (context.user && config.getCurrentUser() === null)
    throw contextInvalid(contextName, `no user "${context.user}"`);
  const server = parseUrl(cluster.server);
  if (server === null || !["https:", "http:"].includes(server.protocol))
    throw contextInvalid(contextName, `"${cluster.server}" is no server address`);

  if (options.acceptInvalidCertificates) {
    config.clusters = config.clusters.map((each) =>
      each.name === cluster.name ? { ...each, skipTLSVerify: true } : each,
    );
  }

  // client-node leaves the certificate authority out when a context has no user.
  if (config.getCurrentUser() === null) {
    config.addUser({ name: "inpod-anonymous" });
    config.contexts = config.contexts.map((each) =>
      each === context ? { ...each, user: "inpod-anonymous" } : each,
    );
  }
  const exec = config.getCurrentUser()?.exec;
  // Login programs learn the version they are to answer in from here (client-go's contract;
  // client-node leaves it out, and some programs then answer in one that is no more).
  if (exec)
    exec.env = [
      ...(exec.env ?? []),
      {
        name: "KUBERNETES_EXEC_INFO",
        value: JSON.stringify({
          apiVersion: exec.apiVersion ?? "client.authentication.k8s.io/v1",
          kind: "ExecCredential",
          spec: { interactive: false },
        }),
      },
    ];

  return {
    server,
    contextName,
    namespace: context.namespace || "default",
    credentials: () => credentials(config, server, exec?.command),
  };
}

async function credentials(
  config: KubeConfig,
  server: URL,
  loginProgram: string | undefined,
): Promise<Credentials> {
  // Only `kubectl proxy` and its like listen without TLS; they log in themselves, and a token
  // must not cross a network in the clear.
  if (server.protocol === "http:") return { tls: {}, headers: {}, proxyAgent: undefined };
  const options: RequestOptions = {};
  try {
    await config.applyToHTTPSOptions(options);
  } catch (error) {
    throw loginFailed(config.getCurrentUser()?.name ?? "", loginProgram, error);
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {}))
    if (value !== undefined) headers[name] = String(value);
  if (options.auth) headers.Authorization = `Basic ${Buffer.from(options.auth).toString("base64")}`;
  const { ca, cert, key, servername, rejectUnauthorized } = options;
  return {
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(servername === undefined ? {} : { servername }),
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
    },
    headers,
    proxyAgent: config.getCurrentCluster()?.proxyUrl ? (options.agent as Agent) : undefined,
  };
}

/** As kubectl: of several files the first that has a name wins, and files that are not there are left out. */
async function load(explicit: string | undefined): Promise<KubeConfig> {
  // Imported here: it takes 80 ms, and a session on process/PID needs none of it.
  const { KubeConfig } = await import("@kubernetes/client-node");
  const result = new KubeConfig();
  const listed = (process.env.KUBECONFIG ?? "").split(delimiter).filter((path) => path !== "");
  const usual = listed.length > 0 ? listed : [join(homedir(), ".kube", "config")];
  const files = explicit === undefined ? usual.filter((path) => existsSync(path)) : [explicit];
  if (files.length === 0) {
    if (!existsSync(IN_CLUSTER_TOKEN)) throw kubeconfigNotFound(usual);
    result.loadFromCluster();
    return result;
  }
  for (const file of files) {
    const one = new KubeConfig();
    try {
      one.loadFromFile(file, { onInvalidEntry: "filter" });
    } catch (error) {
      throw kubeconfigInvalid(file, error);
    }
    if (!result.currentContext && one.currentContext) result.currentContext = one.currentContext;
    for (const cluster of one.clusters)
      if (result.getCluster(cluster.name) === null) result.addCluster(cluster);
    for (const user of one.users) if (result.getUser(user.name) === null) result.addUser(user);
    for (const context of one.contexts)
      if (result.getContextObject(context.name) === null) result.addContext(context);
  }
  return result;
}

/** URL.parse exists from Node 22 on. */
function parseUrl(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

const kubeconfigNotFound = (looked: readonly string[]): UserError =>
  new UserError("KUBECONFIG_NOT_FOUND", `no kubeconfig at ${looked.join(", ")}`, {
    hints: ["name one: --kubeconfig FILE, or KUBECONFIG=FILE"],
  });

const kubeconfigInvalid = (file: string, cause: unknown): UserError =>
  new UserError("KUBECONFIG_INVALID", `cannot use the kubeconfig ${file}`, { cause });

const noContext = (known: readonly string[]): UserError =>
  new UserError("CONTEXT_NOT_FOUND", "the kubeconfig has no current context", {
    hints: [`choose one: --context ${known.length > 0 ? known.slice(0, 10).join(" | ") : "NAME"}`],
  });

const contextNotFound = (wanted: string, known: readonly string[]): UserError =>
  new UserError("CONTEXT_NOT_FOUND", `no context "${wanted}" in the kubeconfig`, {
    hints: [
      known.length > 0
        ? `the contexts there are: ${nearestFirst(wanted, known).join(", ")}`
        : "the kubeconfig has no context at all: --kubeconfig FILE",
    ],
  });

const contextInvalid = (name: string, why: string): UserError =>
  new UserError("CONTEXT_INVALID", `context "${name}" cannot be used: ${why} in the kubeconfig`);

/** The program's own words are the cause: they say where to log in. */
const loginFailed = (user: string, program: string | undefined, cause: unknown): UserError =>
  new UserError("LOGIN_FAILED", `cannot log in to the cluster as "${user}"`, {
    hints:
      program === undefined
        ? ["see whether kubectl can: kubectl auth whoami"]
        : [
            `see what the login program says: ${program}`,
            "or whether kubectl can: kubectl auth whoami",
          ],
    cause,
  });

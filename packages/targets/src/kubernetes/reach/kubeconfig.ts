/**
 * Which cluster, as whom, in which namespace: from --kubeconfig, KUBECONFIG, ~/.kube/config or the
 * pod that we run in ourselves. Reading them is @kubernetes/client-node's part, but for what it leaves out:
 * see kubeconfig-extras.ts, login-program.ts and proxy.ts.
 */
import { existsSync, readFileSync } from "node:fs";
import type { RequestOptions } from "node:https";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { nearestFirst, UserError } from "@inpod/protocol";
import type { KubeConfig, User } from "@kubernetes/client-node";
import { type Extras, execCluster, readExtras, type UserExtras } from "./kubeconfig-extras.ts";
import { type Login, type LoginProgram, LoginRun } from "./login-program.ts";
import { chooseProxy, type ServerProxy } from "./proxy.ts";

/** What every request to the API server takes with it; holds secrets, never logged. */
export interface Credentials {
  readonly tls: Pick<RequestOptions, "ca" | "cert" | "key" | "servername" | "rejectUnauthorized">;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
}

export interface Access {
  /** May have a path (Rancher does). */
  readonly server: URL;
  readonly contextName: string;
  /** The context's, or "default". */
  readonly namespace: string;
  readonly proxy: ServerProxy | undefined;
  /** Fresh for each request: login programs and token files renew what they give. @throws UserError LOGIN_FAILED, the signal's reason */
  credentials(signal?: AbortSignal): Promise<Credentials>;
  /** After the API server accepted the credentials no longer: whether asking for them again can give others. */
  forgetLogin(): boolean;
}

export interface KubeconfigOptions {
  /** --kubeconfig */
  readonly kubeconfig?: string | undefined;
  /** --context */
  readonly context?: string | undefined;
  /** accept_invalid_certificates: the API server's certificate is not verified. */
  readonly acceptInvalidCertificates?: boolean | undefined;
  /** use_proxy: HTTPS_PROXY and its like are followed; undefined: they are. A cluster's proxy-url always is. */
  readonly useProxy?: boolean | undefined;
  /**
   * Called just before a login program starts that speaks with its user: whether it gets the terminal.
   * Undefined: it never does.
   */
  readonly takeTerminal?: (() => boolean) | undefined;
}

const IN_CLUSTER_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/** @throws UserError KUBECONFIG_NOT_FOUND, KUBECONFIG_INVALID, CONTEXT_NOT_FOUND, CONTEXT_INVALID, PROXY_INVALID */
export async function loadAccess(options: KubeconfigOptions): Promise<Access> {
  const { config, extras } = await load(options.kubeconfig);
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
  const proxy = chooseProxy({
    server,
    clusterName: cluster.name,
    configured: cluster.proxyUrl,
    env: options.useProxy === false ? undefined : process.env,
  });

  if (options.acceptInvalidCertificates) {
    config.clusters = config.clusters.map((each) =>
      each.name === cluster.name ? { ...each, skipTLSVerify: true } : each,
    );
  }

  const user = config.getCurrentUser();
  const userExtras = extras.users.get(user?.name ?? "") ?? { kubeconfig: "" };
  const program = user?.exec as LoginProgram | undefined;
  const login = program
    ? new LoginRun(program, {
        user: user?.name ?? "",
        kubeconfig: userExtras.kubeconfig,
        cluster: execCluster(cluster, extras),
        takeTerminal: options.takeTerminal ?? (() => false),
      })
    : undefined;
  // client-node leaves the certificate authority out when a context has no user.
  const replaced: User = { ...(user ?? { name: "inpod-anonymous" }), exec: undefined };
  config.users = [...config.users.filter((each) => each !== user), replaced];
  config.contexts = config.contexts.map((each) =>
    each === context ? { ...each, user: replaced.name } : each,
  );

  return {
    server,
    contextName,
    namespace: context.namespace || "default",
    proxy,
    credentials: async (signal) => {
      // Only `kubectl proxy` and its like listen without TLS; they log in themselves, and a token
      // must not cross a network in the clear.
      if (server.protocol === "http:") return { tls: {}, headers: {} };
      return credentials(config, userExtras, await login?.login(signal));
    },
    forgetLogin: () => login?.forget() ?? false,
  };
}

/** @param file undefined: the usual ones. @throws UserError KUBECONFIG_NOT_FOUND, KUBECONFIG_INVALID */
export const contextNames = async (file: string | undefined): Promise<string[]> =>
  (await load(file)).config.getContexts().map(({ name }) => name);

async function credentials(
  config: KubeConfig,
  extras: UserExtras,
  login: Login | undefined,
): Promise<Credentials> {
  const options: RequestOptions = {};
  let token: string | undefined;
  const user = config.getCurrentUser();
  try {
    await config.applyToHTTPSOptions(options);
    // What the user is given in the file itself stands above a file, as with kubectl.
    if (extras.tokenFile !== undefined && !user?.token)
      token = readFileSync(extras.tokenFile, "utf8").trim();
  } catch (error) {
    throw loginFailed(user?.name ?? "", error);
  }
  const headers: Record<string, string | readonly string[]> = {};
  for (const [name, value] of Object.entries(options.headers ?? {}))
    if (value !== undefined) headers[name] = String(value);
  if (options.auth) headers.Authorization = `Basic ${Buffer.from(options.auth).toString("base64")}`;
  token ??= login?.token;
  if (token !== undefined) headers.Authorization = `Bearer ${token}`;
  Object.assign(headers, extras.impersonation);
  const { ca, servername, rejectUnauthorized } = options;
  const cert = login?.cert ?? options.cert;
  const key = login?.key ?? options.key;
  return {
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(servername === undefined ? {} : { servername }),
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
    },
    headers,
  };
}

/** As kubectl: of several files the first that has a name wins, and files that are not there are left out. */
async function load(
  explicit: string | undefined,
): Promise<{ readonly config: KubeConfig; readonly extras: Extras }> {
  // Imported here: it takes 20 ms, and a session on process/PID needs none of it.
  const { KubeConfig } = await import("./client.ts");
  const result = new KubeConfig();
  const extras: Extras = { users: new Map(), clusters: new Map() };
  const listed = (process.env.KUBECONFIG ?? "").split(delimiter).filter((path) => path !== "");
  const usual = listed.length > 0 ? listed : [join(homedir(), ".kube", "config")];
  const files = explicit === undefined ? usual.filter((path) => existsSync(path)) : [explicit];
  if (files.length === 0) {
    if (!existsSync(IN_CLUSTER_TOKEN)) throw kubeconfigNotFound(usual);
    result.loadFromCluster();
    return { config: result, extras };
  }
  for (const file of files) {
    const one = new KubeConfig();
    try {
      // As kubectl: one that says nothing is one without contexts.
      if (readFileSync(file, "utf8").trim() === "") continue;
      one.loadFromFile(file, { onInvalidEntry: "filter" });
      readExtras(file, extras);
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
  return { config: result, extras };
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
  new UserError("KUBECONFIG_INVALID", `cannot use the kubeconfig ${file}`, {
    cause,
    hints: [
      "see whether kubectl can: kubectl config view",
      "name another: --kubeconfig FILE, or KUBECONFIG=FILE",
    ],
  });

const noContext = (known: readonly string[]): UserError =>
  new UserError("CONTEXT_NOT_FOUND", "the kubeconfig has no current context", {
    hints: [
      known.length > 0
        ? `choose one: --context ${known.slice(0, 10).join(" | ")}`
        : "it has no context at all: name another, --kubeconfig FILE or KUBECONFIG=FILE",
    ],
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
  new UserError("CONTEXT_INVALID", `context "${name}" cannot be used: ${why} in the kubeconfig`, {
    hints: ["see what it says: kubectl config view", "choose another: --context NAME"],
  });

const loginFailed = (user: string, cause: unknown): UserError =>
  new UserError("LOGIN_FAILED", `cannot log in to the cluster as "${user}"`, {
    hints: ["see whether kubectl can: kubectl auth whoami"],
    cause,
  });

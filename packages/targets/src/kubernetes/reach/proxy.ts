/**
 * Through which proxy the API server is reached, as kubectl and every Go program decide it: the cluster's
 * proxy-url, else HTTPS_PROXY (HTTP_PROXY for a server without TLS) unless NO_PROXY names the server.
 * @kubernetes/client-node knows proxy-url only.
 */
import type { Agent } from "node:http";
import { BlockList, isIP } from "node:net";
import { UserError } from "@inpod/protocol";
import { HttpsProxyAgent } from "https-proxy-agent";
import { SocksProxyAgent } from "socks-proxy-agent";

export interface ServerProxy {
  readonly url: URL;
  /** For people: 'proxy-url of cluster "dev"' or "HTTPS_PROXY". */
  readonly from: string;
}

export interface ProxyOptions {
  readonly server: URL;
  readonly clusterName: string;
  /** proxy-url */
  readonly configured: string | undefined;
  /** Undefined: the environment's proxies are not used. */
  readonly env: NodeJS.ProcessEnv | undefined;
}

const SCHEMES = ["http:", "https:", "socks5:", "socks5h:", "socks4:", "socks4a:"];

/** @throws UserError PROXY_INVALID */
export function chooseProxy({
  server,
  clusterName,
  configured,
  env,
}: ProxyOptions): ServerProxy | undefined {
  if (configured) return parse(configured, `proxy-url of cluster "${clusterName}"`);
  if (env === undefined) return undefined;
  const upper = server.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const name = [upper, upper.toLowerCase()].find((each) => env[each]);
  const host = bare(server.hostname);
  if (name === undefined || isOfThisMachine(host)) return undefined;
  if (isExcepted(server, env.NO_PROXY || env.no_proxy || "")) return undefined;
  return parse(env[name] ?? "", name);
}

/** Keeps connections open between requests. */
export function proxyAgent({ url }: ServerProxy): Agent {
  return url.protocol.startsWith("socks")
    ? new SocksProxyAgent(url, { keepAlive: true })
    : new HttpsProxyAgent(url, { keepAlive: true });
}

/** Without its password. */
export const proxyName = ({ url, from }: ServerProxy): string =>
  `${url.protocol}//${url.host} (${from})`;

function parse(text: string, from: string): ServerProxy {
  let url: URL | undefined;
  try {
    url = new URL(text.includes("://") ? text : `http://${text}`);
  } catch {
    // Told below.
  }
  if (url === undefined || url.hostname === "" || !SCHEMES.includes(url.protocol))
    throw proxyInvalid(from);
  return { url, from };
}

/** "[::1]" in a URL is "::1" elsewhere. */
const bare = (host: string): string => host.replace(/^\[(.*)\]$/, "$1");

/** Go never sends these to a proxy of the environment. */
const isOfThisMachine = (host: string): boolean =>
  host === "localhost" || /^127\./.test(host) || host === "::1";

/** golang.org/x/net/http/httpproxy: names match their subdomains too; addresses, networks, ports and "*". */
function isExcepted(server: URL, list: string): boolean {
  const host = bare(server.hostname).toLowerCase();
  const port = server.port || (server.protocol === "https:" ? "443" : "80");
  return list.split(",").some((each) => {
    const entry = each.trim().toLowerCase();
    if (entry === "") return false;
    if (entry === "*") return true;
    if (entry.includes("/")) return isInNetwork(host, entry);
    const withPort = isIP(entry) ? null : /^(.+):(\d+)$/.exec(entry);
    if (withPort !== null && withPort[2] !== port) return false;
    const name = bare(withPort?.[1] ?? entry);
    if (isIP(name) || isIP(host)) return name === host;
    const suffix = name.replace(/^\*?\./, "");
    return host.endsWith(`.${suffix}`) || (host === suffix && suffix === name);
  });
}

function isInNetwork(host: string, entry: string): boolean {
  const [network = "", bits = ""] = entry.split("/");
  const family = isIP(network);
  if (family === 0 || isIP(host) !== family || !/^\d{1,3}$/.test(bits)) return false;
  if (Number(bits) > (family === 4 ? 32 : 128)) return false;
  const type = family === 4 ? "ipv4" : "ipv6";
  const list = new BlockList();
  list.addSubnet(network, Number(bits), type);
  return list.check(host, type);
}

/** Not with the value: it may have a password. */
const proxyInvalid = (from: string): UserError =>
  new UserError("PROXY_INVALID", `${from} is no address of a proxy`, {
    hints: ["an address looks like http://proxy.example:3128 or socks5://127.0.0.1:1080"],
  });

/** It was reached, and makes no connection. */
export const proxyRefused = (
  proxy: ServerProxy,
  server: URL,
  status: number,
  words: string,
): UserError =>
  new UserError(
    "PROXY_REFUSED",
    `the proxy ${proxyName(proxy)} makes no connection to the API server ${server.origin}`,
    {
      hints: [
        status === 407
          ? "it wants a login: http://USER:PASSWORD@HOST:PORT"
          : "see whether kubectl gets through: kubectl version",
        ...(proxy.from.startsWith("proxy-url")
          ? []
          : [`or go without: NO_PROXY=${server.hostname}`]),
      ],
      cause: new Error(`HTTP ${status} ${words}`.trim()),
    },
  );

/** The variables by which programs use a proxy, in the forms that shells evaluate. Pure. */
import type { ProxyFormat } from "./arguments.ts";

/** This machine is not to be looked for in the cluster. */
const DIRECT = "localhost,127.0.0.1,::1";

/** Programs read one case, the other, or both; curl takes http_proxy in lower case only. */
export function proxyVariables(at: {
  readonly host: string;
  readonly port: number;
}): Readonly<Record<string, string>> {
  const host = at.host.includes(":") ? `[${at.host}]` : at.host;
  const http = `http://${host}:${at.port}`;
  const socks = `socks5h://${host}:${at.port}`;
  return {
    ALL_PROXY: socks,
    all_proxy: socks,
    HTTP_PROXY: http,
    http_proxy: http,
    HTTPS_PROXY: http,
    https_proxy: http,
    NO_PROXY: DIRECT,
    no_proxy: DIRECT,
  };
}

export function renderVariables(
  format: ProxyFormat,
  variables: Readonly<Record<string, string>>,
): string {
  const all = Object.entries(variables);
  // Addresses, numbers and names of schemes: nothing in them means anything to a shell.
  switch (format) {
    case "shell":
      return `export ${all.map(([name, value]) => `${name}='${value}'`).join(" ")}\n`;
    case "fish":
      return all
        .map(([name, value]) => `set -gx ${name} '${value}';`)
        .join(" ")
        .concat("\n");
    case "powershell":
      // Names there have no case.
      return all
        .filter(([name]) => name === name.toUpperCase())
        .map(([name, value]) => `$env:${name} = '${value}'`)
        .join("; ")
        .concat("\n");
    case "json":
      return `${JSON.stringify(variables)}\n`;
  }
}

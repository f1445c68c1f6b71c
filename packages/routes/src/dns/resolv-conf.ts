/** What /etc/resolv.conf is while the machine is connected. Pure. */

/** glibc before 2.26, and others of today, know no more domains, and no longer a list. */
const MAX_DOMAINS = 6;
const MAX_CHARACTERS = 256;

/** @param nameServer this machine's end, which knows whom to ask. @param search put before the machine's own */
export function splitResolvConf(
  original: string,
  nameServer: string,
  search: readonly string[],
  ownSearch: readonly string[],
): string {
  const kept = original
    .split("\n")
    .filter((line) => /^(options|sortlist)[ \t]/.test(line))
    .map((line) => line.trimEnd());
  return [
    "# While inpod connect runs. The file that was here comes back when it ends; after a crash: inpod recover",
    `nameserver ${nameServer}`,
    `search ${fitting([...new Set([...search, ...ownSearch])]).join(" ")}`,
    ...kept,
    "",
  ].join("\n");
}

function fitting(domains: readonly string[]): string[] {
  const kept: string[] = [];
  for (const domain of domains.slice(0, MAX_DOMAINS)) {
    if ([...kept, domain].join(" ").length > MAX_CHARACTERS) break;
    kept.push(domain);
  }
  return kept;
}

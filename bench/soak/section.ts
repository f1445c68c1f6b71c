/** The soak's part of RESULTS.md, its marks included; "" when there is none. */
export const soakSection = (results: string): string =>
  /<!-- soak -->[\s\S]*?<!-- end of soak -->\n?/.exec(results)?.[0] ?? "";

/** What programs say in their own words of a connection that failed, as the words of the contract. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  // grpc-go's word for a name that is not there
  [/produced zero addresses/, "EAI_NONAME"],
  [/connection refused/i, "ECONNREFUSED"],
  [/no route to host|host is unreachable/i, "EHOSTUNREACH"],
  [
    /could not resolve|could not be resolved \(3|name or service not known|no such host|domain name not found/i,
    "EAI_NONAME",
  ],
];

/** What was said itself where it has none of them. */
export const wordIn = (said: string): string =>
  WORDS.find(([pattern]) => pattern.test(said))?.[1] ?? said.trim().replace(/\s+/g, " ");

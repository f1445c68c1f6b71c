/** `--expose LOCAL[:REMOTE][/udp],…`: which port of this machine stands for which of the target. Pure. */
import { UserError } from "@inpod/protocol";

/** A port of this machine, and the one of the target (or Service) for which it stands. */
export interface ExposeWish {
  /** As the user wrote it. */
  readonly text: string;
  readonly local: number;
  /** A number or a port's name; undefined: not said. */
  readonly remote: number | string | undefined;
  /** Undefined: whichever the port has; of a pod's port TCP. */
  readonly protocol: "tcp" | "udp" | undefined;
}

const MAX_PORT = 65_535;
/** IANA_SVC_NAME, as Kubernetes checks names of ports. */
const NAME = /^(?=.{1,63}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$/;

/** The flag's value and what it had before: it may be given again, and each may be a list. @throws UserError USAGE_INVALID */
export function readExpose(text: string, before: readonly ExposeWish[] = []): ExposeWish[] {
  return [...before, ...text.split(",").map((word) => parseOne(word.trim()))];
}

function parseOne(text: string): ExposeWish {
  const [, local = "", remote, protocol] =
    /^(\d{1,5})(?::([^:/]+))?(?:\/(tcp|udp))?$/i.exec(text) ?? [];
  const number = portNumber(local);
  if (number === undefined) throw invalid(text);
  const named = remote === undefined ? undefined : (portNumber(remote) ?? remote);
  if (typeof named === "string" && !NAME.test(named)) throw invalid(text);
  return {
    text,
    local: number,
    remote: named,
    protocol: protocol?.toLowerCase() as ExposeWish["protocol"],
  };
}

function portNumber(text: string): number | undefined {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return number >= 1 && number <= MAX_PORT ? number : undefined;
}

const EXAMPLES = [
  "LOCAL[:REMOTE], your port first: --expose 8080:80",
  "several, by name, UDP: --expose 8080:http,9000:9000,5353:53/udp",
];

const invalid = (text: string): UserError =>
  new UserError("USAGE_INVALID", `--expose "${text}" is no port, or pair of ports`, {
    hints: EXAMPLES,
  });

/** @param expose undefined: the flag was not given. @throws UserError USAGE_INVALID */
export function neededExpose(command: string, expose: readonly ExposeWish[] | undefined) {
  if (expose !== undefined && expose.length > 0) return eachOnce("--expose", expose);
  throw new UserError("USAGE_INVALID", `inpod ${command} needs a port of this machine: --expose`, {
    hints: EXAMPLES,
  });
}

/** By what was said of them; whether two words mean the same is known when the target is. @throws UserError USAGE_INVALID */
export function eachOnce(flag: string, wishes: readonly ExposeWish[]): readonly ExposeWish[] {
  for (const [index, wish] of wishes.entries()) {
    const { local, remote, protocol = "tcp" } = wish;
    const first = wishes.find(
      (each) =>
        each.remote === remote &&
        (each.protocol ?? "tcp") === protocol &&
        (remote !== undefined || each.local === local),
    );
    if (first !== wishes[index]) throw saidTwice(flag, first, wish);
  }
  return wishes;
}

export const saidTwice = (
  flag: string,
  first: ExposeWish | undefined,
  second: ExposeWish,
): UserError =>
  new UserError("USAGE_INVALID", `${flag} ${first?.text} and ${second.text} are the same port`, {
    hints: ["each port comes to one of yours: leave one of them out"],
  });

/** As others are told of it. */
export const exposeText = (all: readonly ExposeWish[]): string =>
  `--expose ${all.map(({ text }) => text).join(",")}`;

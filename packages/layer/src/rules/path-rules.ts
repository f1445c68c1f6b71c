/**
 * Which path is whose: the user's lists, inpod's additions and the defaults as one ordered list of rules. The first
 * rule that matches decides. docs/files.md has the order for people.
 *
 * Order: the user's lists ▸ files that belong to DNS and the host name ▸ the pod's secrets ▸ the program itself ▸ the
 * developer's credentials ▸ the developer's toolchains and project, and the pod's volumes ▸ mirrord's defaults ▸ the
 * mode. The additions between the user's lists and the defaults exist because a syscall tap sees what mirrord's hooks
 * do not: the loader, interpreters and build tools. Without them `node server.js` does not start outside /home (its
 * realpath() looks at every directory above).
 */
import type { ByteString } from "@inpod/protocol";
import {
  DEFAULT_LOCAL,
  HIDDEN_BELOW_HOME,
  LIBRARIES,
  LOCAL_SOCKETS,
  PROJECT_MARKERS,
} from "./default-paths.ts";
import { compileRegex, type Match, textToBytes } from "./match.ts";
import type { PathRule, PathVerdict, RuleOperations } from "./paths.ts";
import { literalPrefix } from "./regex-syntax.ts";

export interface PathConfig {
  readonly mode: "local" | "localwithoverrides" | "read" | "write";
  /** Regular expressions as the user wrote them. */
  readonly readWrite: readonly string[];
  readonly readOnly: readonly string[];
  readonly local: readonly string[];
  /** Expressions for what feature.local_credentials lets the program have. */
  readonly localCredentials?: readonly string[];
  readonly notFound: readonly string[];
  /** feature.fs.fallback: may a default rule fall back to the developer's file? */
  readonly fallback: boolean;
  /** feature.network.dns: names are resolved as the pod does. */
  readonly dns: boolean;
  /** feature.hostname. */
  readonly hostname: boolean;
}

/** What is where on the developer's machine; gathered by facts.ts. Absolute, normalised, "/" left out. */
export interface PathFacts {
  readonly home: ByteString | null;
  readonly cwd: ByteString | null;
  readonly projectRoot: ByteString | null;
  readonly executable: ByteString;
  readonly pathDirectories: readonly ByteString[];
  readonly toolchains: readonly { readonly path: ByteString; readonly why: string }[];
  readonly tempDirectory: ByteString | null;
  /** XDG_RUNTIME_DIR */
  readonly runtimeDirectory: ByteString | null;
  /** Where the target's container has volumes; unknown without its spec. */
  readonly volumeMounts?: readonly ByteString[];
}

interface LocalTree {
  readonly path: ByteString;
  readonly why: string;
}

/** An emptyDir at /dev/shm is memory that processes of one machine share. */
const KERNEL_TREES: readonly ByteString[] = ["/dev", "/proc", "/sys"];

/** By which what is decided without the user's word is changed. */
const KEYS = {
  mode: "feature.fs.mode",
  toPod: "feature.fs.read_only",
  toPodForWriting: "feature.fs.read_write",
  toMachine: "feature.fs.local",
} as const;

const EVERYTHING: Match = { kind: "prefix", text: "/" };

/** @throws ConfigValueError for an expression that cannot be used */
export function compilePathRules(config: PathConfig, facts: PathFacts): readonly PathRule[] {
  if (config.mode === "local") {
    const all = rule(EVERYTHING, "any", "local", 'feature.fs.mode is "local"', KEYS.mode);
    return [...nameRules(config), all];
  }
  return [
    ...userRules(config),
    ...nameRules(config),
    ...podTreeRules(config, "/var/run/secrets", "the pod's own secrets"),
    // /var/run is a symbolic link to /run on most machines: a program that resolves it arrives here.
    ...podTreeRules(config, "/run/secrets", "the pod's own secrets"),
    // Also where it lies among what is hidden, as ~/.azure/bin/bicep does.
    rule(exact(facts.executable), "any", "local", "the program itself", KEYS.toPod),
    ...HIDDEN_BELOW_HOME.filter(() => facts.home !== null).map((name) =>
      rule(
        tree(`${facts.home}/${name}`),
        "any",
        "not-found",
        `default: credentials of the developer (~/${name}) are hidden`,
        "feature.local_credentials",
      ),
    ),
    ...developerRules(config, facts),
    ...[...LIBRARIES, ...LOCAL_SOCKETS, ...DEFAULT_LOCAL].map(
      ({ match, why, isReported = false }) => ({
        ...rule(match, "any", "local", why, KEYS.toPod),
        isReported,
      }),
    ),
    ...modeRules(config),
  ];
}

function rule(
  match: Match,
  operations: RuleOperations,
  verdict: PathVerdict,
  why: string,
  key: string,
  fallback = false,
): PathRule {
  const isReported = verdict !== "local";
  return {
    match,
    operations,
    verdict,
    fallback,
    isBinding: false,
    isGuarding: false,
    isReported,
    why,
    key,
  };
}

const binding = (rule: PathRule): PathRule => ({ ...rule, isBinding: true, isReported: true });
const guarding = (rule: PathRule): PathRule => ({
  ...rule,
  isGuarding: true,
  isReported: true,
});
const reported = (rule: PathRule): PathRule => ({ ...rule, isReported: true });

const tree = (path: ByteString): Match => ({ kind: "tree", path });
const exact = (path: ByteString): Match => ({ kind: "exact", path });

function userRules(config: PathConfig): PathRule[] {
  const compiled = (list: readonly string[], name: string) =>
    list.map((source, index) => {
      const key = `feature.fs.${name}[${index}]`;
      return { match: compileRegex(source, key), why: `${key} (${source})`, key };
    });
  return [
    ...compiled(config.notFound, "not_found").map((user) =>
      binding(rule(user.match, "any", "not-found", user.why, user.key)),
    ),
    ...compiled(config.readWrite, "read_write").map((user) =>
      rule(user.match, "any", "remote", user.why, user.key),
    ),
    ...compiled(config.readOnly, "read_only").flatMap((user) => [
      rule(user.match, "read", "remote", user.why, user.key),
      guarding(
        rule(user.match, "write", "local", `${user.why}: only reading is the pod's`, user.key),
      ),
    ]),
    ...compiled(config.local, "local").map((user) =>
      binding(rule(user.match, "any", "local", user.why, user.key)),
    ),
    // As the last of the user's own: what he says of these paths himself counts.
    ...(config.localCredentials ?? []).map((source) => {
      const key = "feature.local_credentials";
      return binding(rule(compileRegex(source, key), "any", "local", key, key));
    }),
  ];
}

/**
 * Files by which the program's own resolver works. They follow feature.network.dns and
 * feature.hostname in every mode, also where all other files are the developer's: without the
 * pod's resolv.conf its names do not resolve. Never with fallback: the developer's name servers
 * would answer in the pod's place, and nobody would notice.
 */
function nameRules({ dns, hostname }: PathConfig): PathRule[] {
  const dnsVerdict = (remote: PathVerdict): PathVerdict => (dns ? remote : "local");
  const why = dns ? "names are resolved as in the pod" : "feature.network.dns is off";
  const key = "feature.network.dns.enabled";
  return [
    rule(exact("/etc/resolv.conf"), "read", dnsVerdict("remote"), why, key),
    rule(exact("/etc/hosts"), "read", dnsVerdict("remote"), why, key),
    rule(exact("/etc/nsswitch.conf"), "read", dnsVerdict("nsswitch"), why, key),
    ...["/var/run/nscd/socket", "/run/nscd/socket"].map((path) =>
      rule(
        exact(path),
        "any",
        dnsVerdict("not-found"),
        dns ? "nscd would answer with the developer's names" : why,
        key,
      ),
    ),
    rule(
      exact("/etc/hostname"),
      "read",
      hostname ? "remote" : "local",
      hostname ? "the host name is the pod's" : "feature.hostname is off",
      "feature.hostname",
    ),
  ];
}

/** A tree that is the pod's in every mode but "local"; written there only where the mode says so. */
function podTreeRules(
  config: PathConfig,
  path: ByteString,
  why: string,
  key: string = KEYS.toMachine,
): PathRule[] {
  const readOnly = `${why}: only reading is the pod's`;
  return [
    rule(tree(path), "read", "remote", why, key),
    config.mode === "write"
      ? rule(tree(path), "write", "remote", why, key)
      : reported(rule(tree(path), "write", "local", readOnly, KEYS.toPodForWriting)),
  ];
}

function developerRules(config: PathConfig, facts: PathFacts): PathRule[] {
  const volumes = (facts.volumeMounts ?? []).filter(
    (path) => path !== "/" && !KERNEL_TREES.some((root) => isWithin(path, root)),
  );
  const trees = localTrees(facts, volumes);
  const named = [...trees.map(({ path }) => path), facts.executable];
  const markerDirectories = ancestors([
    facts.projectRoot ?? facts.cwd ?? "/",
    facts.cwd ?? "/",
  ]).concat("");
  return [
    // Before the volumes: in /data/x/p with a volume at /data, /data/x must exist.
    // "write" is about the directory's own name: `mkdir -p` makes every directory on its way.
    ...ancestors(named).flatMap((path) =>
      (["lookup", "write"] as const).map((operations) =>
        rule(
          exact(path),
          operations,
          "local",
          "a directory above the developer's files",
          KEYS.toPod,
        ),
      ),
    ),
    ...aboveUsersLocal(config),
    ...markerDirectories.flatMap((directory) =>
      PROJECT_MARKERS.map((name) =>
        rule(
          tree(`${directory}/${name}`),
          "any",
          "local",
          `tools look for ${name} upwards`,
          KEYS.toPod,
        ),
      ),
    ),
    ...nestedTrees(config, trees, volumes),
  ];
}

/**
 * What the user's `local` names may lie in a directory that only the pod has, and then that is looked up; or in one that
 * only this machine has, and then programs find the way to it here, whatever `fallback` says.
 */
function aboveUsersLocal({ mode, local, localCredentials = [] }: PathConfig): PathRule[] {
  if (mode === "localwithoverrides") return [];
  const named = [...local, ...localCredentials].flatMap((source, index) =>
    literalStart(compileRegex(source, `feature.fs.local[${index}]`)),
  );
  return ancestors(named).map((path) =>
    rule(
      exact(path),
      "lookup",
      "remote",
      "a directory above what feature.fs.local names",
      KEYS.toMachine,
      true,
    ),
  );
}

function localTrees(facts: PathFacts, volumes: readonly ByteString[]): LocalTree[] {
  const named = (path: ByteString | null, why: string): LocalTree[] =>
    path === null || path === "/" ? [] : [{ path, why }];
  const isInVolume = (path: ByteString) => volumes.some((volume) => isWithin(path, volume));
  return [
    ...named(facts.projectRoot, "the developer's project"),
    ...named(facts.cwd, "the directory the program was started in"),
    ...facts.toolchains.flatMap(({ path, why }) => named(path, why)),
    ...facts.pathDirectories.flatMap((path) => named(path, "a directory of the developer's PATH")),
    ...named(facts.tempDirectory, "the developer's directory for temporary files"),
    ...named(facts.runtimeDirectory, "the developer's desktop session"),
    // The pod's program may have its data in a home of the same name.
    ...(facts.home !== null && isInVolume(facts.home)
      ? []
      : named(facts.home, "the developer's home")),
  ];
}

/** Where trees of the developer and of the pod lie in each other the innermost decides; on a tie the developer's. */
function nestedTrees(
  config: PathConfig,
  local: readonly LocalTree[],
  volumes: readonly ByteString[],
): PathRule[] {
  const seen = new Set<ByteString>();
  return [
    ...local.map(({ path, why }) => ({
      path,
      rules: [rule(tree(path), "any", "local", why, KEYS.toPod)],
    })),
    ...volumes.map((path) => ({
      path,
      rules: podTreeRules(
        config,
        path,
        `a volume of the pod (${path})`,
        "feature.magic.auto_mount",
      ),
    })),
  ]
    .filter(({ path }) => !seen.has(path) && seen.add(path))
    .sort((a, b) => b.path.length - a.path.length)
    .flatMap(({ rules }) => rules);
}

function modeRules({ mode, fallback }: PathConfig): PathRule[] {
  const why = `feature.fs.mode is "${mode}"`;
  if (mode === "localwithoverrides")
    return [reported(rule(EVERYTHING, "any", "local", why, KEYS.mode))];
  return [
    rule(
      EVERYTHING,
      "read",
      "remote",
      `${why}: what nobody claims is read from the pod`,
      KEYS.mode,
      fallback,
    ),
    reported(rule(EVERYTHING, "write", mode === "write" ? "remote" : "local", why, KEYS.mode)),
  ];
}

/** What all paths that match begin with, if there is such a thing. */
function literalStart(match: Match): ByteString[] {
  switch (match.kind) {
    case "exact":
    case "tree":
      return [match.path];
    case "prefix":
      return [match.text];
    case "regex":
      return [textToBytes(literalPrefix(match.regex.source))].filter((text) => text !== "");
    default:
      return [];
  }
}

const isWithin = (path: ByteString, root: ByteString): boolean =>
  path === root || path.startsWith(`${root}/`);

/** Every directory above the given paths but "/", once, the innermost first. */
function ancestors(paths: readonly ByteString[]): ByteString[] {
  const found = new Set<ByteString>();
  for (const path of paths) {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      found.add(path.slice(0, end));
    }
  }
  return [...found].sort((a, b) => b.length - a.length);
}

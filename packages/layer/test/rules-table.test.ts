/**
 * Whose each path is, by mode and by what is done with it, for every rule there is. What the table says is what
 * docs/files.md says; TypeScript's decision and C's are compared with it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PathOperation, Tap } from "@inpod/tap";
import { compilePathRules, type PathConfig, type PathFacts } from "../src/rules/path-rules.ts";
import { decidePath, type PathDecision } from "../src/rules/paths.ts";
import { operationName, toTapRules } from "../src/tap-rules.ts";

const tap = new Tap(() => {});
tap.native.unref(); // nothing is launched: its threads must not keep this process alive

const MODES = ["local", "localwithoverrides", "read", "write"] as const;
const OPERATIONS = [PathOperation.read, PathOperation.lookup, PathOperation.write] as const;

const CONFIG: PathConfig = {
  mode: "read",
  notFound: ["\\.none"],
  readWrite: ["\\.rw"],
  readOnly: ["\\.ro", "^/u/(a|b)[0-9]*/"],
  local: ["\\.own", "^/mine/deep/"],
  fallback: true,
  dns: true,
  hostname: true,
};

/** Nothing of it lies where the defaults are about, so that each row is about one rule. */
const FACTS: PathFacts = {
  home: "/people/u",
  cwd: "/work/shop/orders",
  projectRoot: "/work/shop",
  executable: "/people/u/.azure/bin/bicep",
  pathDirectories: ["/programs", "/usr/bin"],
  toolchains: [{ path: "/toolchain/go", why: "a directory of the developer's GOROOT" }],
  tempDirectory: "/scratch",
  runtimeDirectory: "/desktop/1000",
  volumeMounts: ["/", "/data", "/work/shop/secrets", "/dev/shm", "/people/u/vol", "/work"],
};

/** L: this machine's · R: the pod's · r: the pod's, else this machine's · N: not there · S: nsswitch.conf changed */
const letter = ({ verdict, fallback }: PathDecision): string =>
  ({ local: "L", remote: fallback ? "r" : "R", "not-found": "N", nsswitch: "S" })[verdict];

const LOCAL = "LLL LLL LLL LLL";
const VOLUME = "LLL RRL RRL RRR";

/** For each mode (local, localwithoverrides, read, write): when read, looked up, written. */
const TABLE: readonly (readonly [path: string, codes: string])[] = [
  // The user's lists, and their order.
  ["/u/x.none.rw.ro.own", "LLL NNN NNN NNN"],
  ["/u/x.own.ro.rw", "LLL RRR RRR RRR"],
  ["/u/x.ro.own", "LLL RRL RRL RRL"],
  ["/u/a17/x.own", "LLL RRL RRL RRL"],
  ["/u/x.own", LOCAL],
  ["/mine/deep/x", LOCAL],
  ["/mine/deep", "LLL LLL rrL rrR"],
  // ... before all that follows.
  ["/etc/x.none", "LLL NNN NNN NNN"],
  ["/var/run/secrets/x.own", LOCAL],
  ["/people/u/.kube/x.rw", "LLL RRR RRR RRR"],
  ["/work/shop/x.ro", "LLL RRL RRL RRL"],
  ["/data/x.own", LOCAL],
  ["/app/x.so.rw", "LLL RRR RRR RRR"],
  // Names.
  ["/etc/resolv.conf", "RRL RRL RRL RRL"],
  ["/etc/hosts", "RRL RRL RRL RRL"],
  ["/etc/hostname", "RRL RRL RRL RRL"],
  ["/etc/nsswitch.conf", "SSL SSL SSL SSL"],
  ["/run/nscd/socket", "NNN NNN NNN NNN"],
  ["/var/run/nscd/socket", "NNN NNN NNN NNN"],
  // The pod's secrets.
  ["/var/run/secrets/kubernetes.io/serviceaccount/token", VOLUME],
  ["/run/secrets/x", VOLUME],
  // The program, and the developer's credentials.
  ["/people/u/.azure/bin/bicep", LOCAL],
  ["/people/u/.azure/bin", "LLL NNN NNN NNN"],
  ...[
    ".kube/config",
    ".config/gcloud/x",
    ".azure",
    ".aws/credentials",
    ".azd/auth",
    ".IdentityService/x",
  ].map((name) => [`/people/u/${name}`, "LLL NNN NNN NNN"] as const),
  // Above the developer's files: to be looked up here, and what is in them is the pod's.
  ["/people", "LLL LLL rLL rLL"],
  ["/toolchain", "LLL LLL rLL rLL"],
  ["/work", "LLL RLL RLL RLL"],
  // ... but for what tools look for there.
  ...[
    ...[".git/HEAD", ".hg", "go.mod", "go.work", "package.json", "pnpm-workspace.yaml"],
    ...["tsconfig.json", "jsconfig.json", ".npmrc", ".nvmrc", ".node-version", ".python-version"],
    ...["pyproject.toml", "rust-toolchain", "rust-toolchain.toml", "Cargo.toml", ".cargo/config"],
    ...[".tool-versions", ".editorconfig"],
  ].flatMap((name) => [[`/${name}`, LOCAL] as const, [`/work/${name}`, LOCAL] as const]),
  // The developer's trees and the pod's volumes: the innermost.
  ["/work/shop/lib/x.c", LOCAL],
  ["/work/shop/orders/x.c", LOCAL],
  ["/work/shop/secrets/key", VOLUME],
  ["/work/other", VOLUME],
  ["/data", VOLUME],
  ["/data/libx.so", VOLUME],
  ["/people/u/Documents/x", LOCAL],
  ["/people/u/vol/x", VOLUME],
  ["/toolchain/go/src/x", LOCAL],
  ["/programs/x", LOCAL],
  ["/scratch/x", LOCAL],
  ["/desktop/1000/bus", LOCAL],
  ["/dev/shm/x", LOCAL],
  // Libraries and sockets.
  ...[
    "/app/x.so",
    "/app/x.so.1.2",
    "/app/ld.so.cache",
    "/lib32/x",
    "/lib64/x",
    "/libx32/x",
    "/gnu/store/x",
  ].map((path) => [path, LOCAL] as const),
  ["/etc/ssl/certs/ca.crt", LOCAL],
  ...["docker.sock", "podman/podman.sock", "dbus/system_bus_socket", "user/1000/bus"].map(
    (name) => [`/var/run/${name}`, LOCAL] as const,
  ),
  // mirrord's defaults.
  ["/", LOCAL],
  ...[
    ...["proc", "sys", "dev", "lib", "bin", "sbin", "usr", "etc", "opt", "home", "tmp", "var/tmp"],
    ...["run", "snap", "nix", "selinux", "var/db/timezone/zoneinfo"],
  ].flatMap((name) => [[`/${name}`, LOCAL] as const, [`/${name}/x`, LOCAL] as const]),
  ...[
    ...["x.sh", "x.rb", "x.d", "x.pyc", "x.py", "x.jar", "x.class", "x.js", "x.pth", "x.pdb"],
    ...["x.dll", "pyvenv.cfg", "jvm.cfg", "package.json", ".yarnrc", ".yarnrc.yml"],
    ...[".yarnrc.json", ".tool-versions", "node_modules/x", ".asdf/x", "clr-debug-pipe-1"],
  ].map((name) => [`/app/${name}`, LOCAL] as const),
  // What nobody claims.
  ...["/app/x.yaml", "/var/lib/x", "/srv", "/library", "/etcetera", "/people2/u/.kube"].map(
    (path) => [path, "LLL LLL rrL rrR"] as const,
  ),
];

function check(config: PathConfig, table: typeof TABLE): Set<string> {
  const decided = new Set<string>();
  MODES.forEach((mode, at) => {
    const rules = compilePathRules({ ...config, mode }, FACTS);
    tap.setPathRules(toTapRules([], rules));
    for (const [path, codes] of table) {
      for (const name of [path, path.toUpperCase(), path.toLowerCase()]) {
        const decisions = OPERATIONS.map((operation) =>
          decidePath(rules, name, operationName(operation)),
        );
        assert.equal(decisions.map(letter).join(""), codes.split(" ")[at], `${mode} ${name}`);
        decisions.forEach(({ verdict, why, key }, index) => {
          decided.add(why);
          assert.match(key ?? "", /^feature\./, `the key of: ${why}`);
          const found = tap.matchPath(name, OPERATIONS[index] ?? PathOperation.read);
          const expected = verdict === "nsswitch" ? "ask" : verdict;
          assert.equal(found.verdict, expected, `C: ${mode} ${name}`);
        });
      }
    }
    const unused = new Set(rules.map(({ why }) => why).filter((why) => !decided.has(why)));
    assert.deepEqual([...unused], [], `rules of mode ${mode} that no row of the table is about`);
  });
  return decided;
}

test("the table says whose each path is in each mode; there is no rule that it is not about", () => {
  const decided = check(CONFIG, TABLE);
  assert.ok(decided.size > 90, `${decided.size} reasons`);
});

test("without fallback the table is the same, but that what the pod has not is not there", () => {
  check(
    { ...CONFIG, fallback: false },
    TABLE.map(([path, codes]) => [
      path,
      path === "/mine/deep" ? "LLL LLL RrL RrR" : codes.replaceAll("r", "R"),
    ]),
  );
});

test("with dns and hostname off the names are this machine's, and all else is as before", () => {
  const names = /^\/etc\/(resolv.conf|hosts|hostname|nsswitch.conf)$|nscd/;
  check(
    { ...CONFIG, dns: false, hostname: false },
    TABLE.map(([path, codes]) => [path, names.test(path) ? LOCAL : codes]),
  );
});

for (const [list, codes] of [
  ["notFound", "LLL NNN NNN NNN"],
  ["readWrite", "LLL RRR RRR RRR"],
  ["readOnly", "LLL RRL RRL RRL"],
  ["local", LOCAL],
] as const) {
  test(`a list ${list} of all paths leaves nothing to the other rules`, () => {
    const none = { notFound: [], readWrite: [], readOnly: [], local: [] };
    for (const [at, mode] of MODES.entries()) {
      if (mode === "local") continue;
      const rules = compilePathRules({ ...CONFIG, ...none, [list]: ["(?:)"], mode }, FACTS);
      for (const [path] of TABLE) {
        const found = OPERATIONS.map((operation) =>
          letter(decidePath(rules, path, operationName(operation))),
        );
        assert.equal(found.join(""), codes.split(" ")[at], path);
      }
    }
  });
}

/** The developer's things where other rules are about: who goes first. */
for (const [what, facts, path, read] of [
  ["names before the project", { cwd: "/etc", projectRoot: "/etc" }, "/etc/hosts", "R"],
  ["secrets before the project", { cwd: "/run/secrets/p" }, "/run/secrets/p/x", "R"],
  ["secrets before the program", { executable: "/run/secrets/x" }, "/run/secrets/x", "R"],
  ["credentials before the project", { cwd: "/people/u/.kube/p" }, "/people/u/.kube/p/x", "N"],
  ["credentials before a volume", { volumeMounts: ["/people/u"] }, "/people/u/.kube/x", "N"],
  ["the program before a volume", { executable: "/data/x" }, "/data/x", "L"],
  ["a volume before the home", { volumeMounts: ["/people/u"] }, "/people/u/x", "R"],
  ["a volume before libraries", {}, "/data/lib64/x.so", "R"],
  ["a volume before a default", { volumeMounts: ["/opt/x"] }, "/opt/x/y", "R"],
  [
    "of one path the developer's before the volume",
    { volumeMounts: ["/scratch"] },
    "/scratch",
    "L",
  ],
] as const) {
  test(`${what}`, () => {
    const rules = compilePathRules(CONFIG, { ...FACTS, ...facts });
    assert.equal(letter(decidePath(rules, path, "read")), read);
  });
}

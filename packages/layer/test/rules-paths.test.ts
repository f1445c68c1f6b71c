import assert from "node:assert/strict";
import { test } from "node:test";
import { compileMapping, mapPath } from "../src/rules/path-mapping.ts";
import { compilePathRules, type PathConfig, type PathFacts } from "../src/rules/path-rules.ts";
import { decidePath, type PathOperation } from "../src/rules/paths.ts";

const CONFIG: PathConfig = {
  mode: "read",
  readWrite: [],
  readOnly: [],
  local: [],
  notFound: [],
  fallback: true,
  dns: true,
  hostname: true,
};

const factsOf = (cwd: string, changes: Partial<PathFacts> = {}): PathFacts => ({
  home: "/home/u",
  cwd,
  projectRoot: cwd,
  executable: "/usr/local/bin/node",
  pathDirectories: ["/usr/local/bin", "/usr/bin", "/root/go/bin"],
  toolchains: [{ path: "/root/go", why: "a directory of the developer's GOPATH" }],
  tempDirectory: "/tmp",
  runtimeDirectory: "/run/user/1000",
  ...changes,
});

/** "remote+" is remote with fallback to the developer's file. */
function decide(
  config: Partial<PathConfig>,
  path: string,
  operation: PathOperation = "read",
  facts = factsOf("/home/u/p"),
): string {
  const rules = compilePathRules({ ...CONFIG, ...config }, facts);
  const { verdict, fallback } = decidePath(rules, path, operation);
  return fallback ? `${verdict}+` : verdict;
}

for (const cwd of ["/home/u/p", "/workspaces/p", "/root/p", "/srv/p", "/p", "/srv/team/a/p"]) {
  test(`a program starts in ${cwd}: its files and all look-ups above them are the developer's`, () => {
    const facts = factsOf(cwd, { home: cwd.startsWith("/root") ? "/root" : "/home/u" });
    for (const path of [cwd, `${cwd}/server`, `${cwd}/data/x.bin`]) {
      for (const operation of ["lookup", "read", "write"] as const) {
        assert.equal(decide({}, path, operation, facts), "local", `${operation} ${path}`);
      }
    }
    for (let above = cwd; above !== ""; above = above.slice(0, above.lastIndexOf("/"))) {
      assert.equal(decide({}, above, "lookup", facts), "local", above);
      for (const name of [
        ".git",
        ".git/HEAD",
        "go.work",
        ".npmrc",
        "tsconfig.json",
        ".cargo/config",
      ]) {
        assert.equal(decide({}, `${above}/${name}`, "read", facts), "local", `${above}/${name}`);
      }
    }
    assert.equal(decide({}, "/.python-version", "lookup", facts), "local");
    // A neighbour of the project is not the project.
    if (cwd.startsWith("/srv")) assert.equal(decide({}, `${cwd}-data/x`, "read", facts), "remote+");
  });
}

for (const [path, read, write] of [
  ["/app/config.yaml", "remote+", "local"],
  ["/data/orders.db", "remote+", "local"],
  ["/var/lib/x", "remote+", "local"],
  ["/var/run/secrets/kubernetes.io/serviceaccount/token", "remote", "local"],
  ["/run/secrets/kubernetes.io/serviceaccount/token", "remote", "local"],
  ["/etc/resolv.conf", "remote", "local"],
  ["/etc/hosts", "remote", "local"],
  ["/etc/hostname", "remote", "local"],
  ["/etc/nsswitch.conf", "nsswitch", "local"],
  ["/var/run/nscd/socket", "not-found", "not-found"],
  ["/run/nscd/socket", "not-found", "not-found"],
  ["/etc/resolv.conf.bak", "local", "local"],
  ["/etc/passwd", "local", "local"],
  ["/etc/ssl/certs/ca-certificates.crt", "local", "local"],
  ["/usr/local/bin/node", "local", "local"],
  ["/root/go/pkg/mod/x.zip", "local", "local"],
  ["/root/other", "remote+", "local"],
  ["/lib64/ld-linux-x86-64.so.2", "local", "local"],
  ["/library/book", "remote+", "local"],
  ["/app/plugin.so.3", "local", "local"],
  ["/app/server.js", "local", "local"],
  ["/app/node_modules/x/data.json", "local", "local"],
  ["/PROC/self/maps", "local", "local"],
  ["/home/u/.npmrc", "local", "local"],
  ["/home/u/Documents/x", "local", "local"],
  ["/home/u/.kube/config", "not-found", "not-found"],
  ["/home/u/.azure", "not-found", "not-found"],
  ["/home/u/.config/gcloud/x", "not-found", "not-found"],
  ["/home/u/.aws/credentials", "not-found", "not-found"],
  ["/home/u/.azd/auth", "not-found", "not-found"],
  ["/home/u/.IdentityService/msal.cache", "not-found", "not-found"],
  ["/home/u/.awsx", "local", "local"],
  ["/home/u/.docker/config.json", "local", "local"],
  ["/home/u/.kube-ps1.sh", "local", "local"],
  ["/var/run/docker.sock", "local", "local"],
  ["/", "local", "local"],
] as const) {
  test(`by default ${path} is read: ${read}, written: ${write}`, () => {
    assert.equal(decide({}, path, "read"), read);
    assert.equal(decide({}, path, "write"), write);
  });
}

for (const [mode, read, write] of [
  ["local", "local", "local"],
  ["localwithoverrides", "local", "local"],
  ["read", "remote+", "local"],
  ["write", "remote+", "remote"],
] as const) {
  test(`mode ${mode}: what nobody claims is read: ${read}, written: ${write}`, () => {
    assert.equal(decide({ mode }, "/data/x", "lookup"), read);
    assert.equal(decide({ mode }, "/data/x", "read"), read);
    assert.equal(decide({ mode }, "/data/x", "write"), write);
  });

  test(`mode ${mode}: names are resolved as the pod does, unless dns is off`, () => {
    assert.equal(decide({ mode }, "/etc/resolv.conf"), "remote");
    assert.equal(decide({ mode }, "/etc/nsswitch.conf"), "nsswitch");
    for (const path of [
      "/etc/resolv.conf",
      "/etc/hosts",
      "/etc/nsswitch.conf",
      "/run/nscd/socket",
    ]) {
      assert.equal(decide({ mode, dns: false }, path), "local", path);
    }
    assert.equal(decide({ mode, dns: false }, "/etc/hostname"), "remote");
    assert.equal(decide({ mode, hostname: false }, "/etc/hostname"), "local");
  });
}

test("in mode local neither the user's lists nor the hidden credentials count", () => {
  const config = { mode: "local", readWrite: ["^/data"], notFound: ["^/data"] } as const;
  assert.equal(decide(config, "/data/x"), "local");
  assert.equal(decide(config, "/home/u/.kube/config"), "local");
});

test("in mode write the pod's secrets are written in the pod", () => {
  assert.equal(decide({ mode: "write" }, "/var/run/secrets/x", "write"), "remote");
});

test("the user's lists come first, not_found before read_write before read_only before local", () => {
  const lists = (names: readonly ("notFound" | "readWrite" | "readOnly" | "local")[]) =>
    Object.fromEntries(names.map((name) => [name, ["^/x(/|$)"]]));
  for (const [names, read, write] of [
    [["notFound", "readWrite", "readOnly", "local"], "not-found", "not-found"],
    [["readWrite", "readOnly", "local"], "remote", "remote"],
    [["readOnly", "local"], "remote", "local"],
    [["local"], "local", "local"],
  ] as const) {
    for (const mode of ["localwithoverrides", "read", "write"] as const) {
      assert.equal(decide({ mode, ...lists(names) }, "/x/y", "read"), read, `${mode} ${names}`);
      assert.equal(decide({ mode, ...lists(names) }, "/x/y", "lookup"), read, `${mode} ${names}`);
      assert.equal(decide({ mode, ...lists(names) }, "/x/y", "write"), write, `${mode} ${names}`);
    }
  }
});

test("the user's lists go before inpod's additions: also the project can be the pod's", () => {
  assert.equal(decide({ readOnly: ["^/home/u/p/config"] }, "/home/u/p/config/x"), "remote");
  assert.equal(decide({ local: ["^/etc/resolv.conf$"] }, "/etc/resolv.conf"), "local");
  assert.equal(decide({ readWrite: ["\\.KUBE"] }, "/home/u/.kube/config"), "remote");
});

test("what a user lists as local can be looked up from above, in the pod or else here", () => {
  const local = ["^/data/mine(/|$)"];
  for (const fallback of [true, false]) {
    assert.equal(decide({ local, fallback }, "/data", "lookup"), "remote+");
    assert.equal(decide({ local, fallback }, "/data", "read"), fallback ? "remote+" : "remote");
  }
  assert.equal(decide({ local, mode: "localwithoverrides" }, "/data", "lookup"), "local");
});

test("fallback is only for the default: never for the user's lists, and off when told", () => {
  assert.equal(decide({ readOnly: ["^/data"] }, "/data/x"), "remote");
  assert.equal(decide({ fallback: false }, "/data/x"), "remote");
  for (const mode of ["read", "write"] as const) {
    const rules = compilePathRules({ ...CONFIG, mode }, factsOf("/p", { volumeMounts: ["/vol"] }));
    for (const rule of rules.filter(({ fallback }) => fallback)) {
      assert.deepEqual([rule.verdict, rule.operations], ["remote", "read"]);
      assert.deepEqual(rule.match, { kind: "prefix", text: "/" });
    }
  }
});

test("a volume of the pod is the pod's without fallback, and of nested trees the innermost decides", () => {
  const facts = factsOf("/data/team/p", {
    volumeMounts: ["/data", "/data/team/p/secrets", "/home", "/vol", "/usr/share/model"],
  });
  for (const [path, operation, expected] of [
    ["/data/x", "read", "remote"],
    ["/data/x", "write", "local"],
    ["/data/team/p/main.go", "read", "local"],
    ["/data/team/p/secrets/token", "read", "remote"],
    ["/data/team", "lookup", "local"],
    ["/data/team/other", "read", "remote"],
    ["/vol", "read", "remote"],
    ["/usr/share/model/m.bin", "read", "remote"],
    ["/home/u/x", "read", "remote"],
    ["/home/u/.kube/config", "read", "not-found"],
  ] as const) {
    assert.equal(decide({}, path, operation, facts), expected, `${operation} ${path}`);
  }
  assert.equal(decide({ mode: "write" }, "/vol/x", "write", facts), "remote");
});

test("below a directory of the pod only the user's not_found and local decide otherwise", () => {
  const lists = { notFound: ["^/n"], readWrite: ["^/w"], readOnly: ["^/r"], local: ["^/l"] };
  const rules = compilePathRules({ ...CONFIG, ...lists }, factsOf("/p", { volumeMounts: ["/v"] }));
  assert.deepEqual(
    rules.filter(({ isBinding }) => isBinding).map(({ why, operations }) => [why, operations]),
    [
      ["feature.fs.not_found[0] (^/n)", "any"],
      ["feature.fs.local[0] (^/l)", "any"],
    ],
  );
});

test("a program without home, project and directory still has rules", () => {
  const facts = factsOf("/p", { home: null, cwd: null, projectRoot: null, tempDirectory: null });
  assert.equal(decide({}, "/p/x", "read", facts), "remote+");
  assert.equal(decide({}, "/go.work", "lookup", facts), "local");
  assert.equal(decide({}, "/usr/bin/env", "read", facts), "local");
});

test("every decision says why", () => {
  const config = { ...CONFIG, readOnly: ["^/a", "^/data"] };
  const rules = compilePathRules(config, factsOf("/srv/p"));
  assert.equal(decidePath(rules, "/data/x", "read").why, "feature.fs.read_only[1] (^/data)");
  assert.equal(decidePath(rules, "/srv", "lookup").why, "a directory above the developer's files");
  assert.ok(rules.every(({ why }) => why !== ""));
  assert.match(decidePath(rules, `/${"a".repeat(4095)}`, "read").why, /PATH_MAX/);
});

test("an expression that cannot be used is refused with its place in the configuration", () => {
  assert.throws(
    () => compilePathRules({ ...CONFIG, readWrite: ["^/ok", "("] }, factsOf("/p")),
    /^ConfigValueError: feature\.fs\.read_write\[1\]: "\(" cannot be used: this \( is never closed/,
  );
});

test("default rules need no expression: C evaluates every one of them", () => {
  const rules = compilePathRules(CONFIG, factsOf("/srv/p", { volumeMounts: ["/vol"] }));
  assert.deepEqual(
    rules.filter(({ match }) => match.kind === "regex"),
    [],
  );
});

for (const [mapping, path, expected] of [
  [[["^/home/u/p/(.*)$", "/app/$1"]], "/home/u/p/a/b", "/app/a/b"],
  [[["^/A/(?<rest>.*)", "/x/$rest.bak"]], "/a/b", "/x/b.bak"],
  [
    [
      ["/a", "/b"],
      ["/b", "/c"],
    ],
    "/a/a",
    "/b/a",
  ],
  [[["^/price", "/$$5"]], "/price", "/$5"],
  [[["(x)?y$", ["$", "{1}z"].join("")]], "/y", "/z"],
  [[["^/a", "/b/../c//"]], "/a/d", "/c/d"],
  [[["^/a", "b"]], "/a/d", "/a/d"],
  [[["^/a", `/${"b".repeat(4095)}`]], "/a", "/a"],
  [[["/", "/x"]], "/\u00ff", "/\u00ff"],
  [[["^/e$", "/\u00e9"]], "/e", "/\u00c3\u00a9"],
  [[], "/a", "/a"],
] as const) {
  test(`mapping ${JSON.stringify(mapping).slice(0, 60)} takes ${JSON.stringify(path)} to ${JSON.stringify(expected).slice(0, 20)}`, () => {
    const mapped = mapPath(compileMapping(mapping), path);
    assert.equal(mapped.path, expected);
    assert.equal(mapped.why === null, path === expected);
  });
}

import assert from "node:assert/strict";
import { test } from "node:test";
import { compileSkips, decideSkip, isSkipped } from "../src/rules/build-tools.ts";

const DEFAULT = { skipBuildTools: true, skipExtraBuildTools: [], skipProcesses: [] };

for (const [executable, argv0, expected] of [
  ["/usr/local/go/bin/go", "go", true],
  [
    "/usr/local/go/pkg/tool/linux_amd64/compile",
    "/usr/local/go/pkg/tool/linux_amd64/compile",
    true,
  ],
  ["/usr/bin/x86_64-linux-gnu-gcc-12", "gcc", true],
  ["/root/.cargo/bin/rustup", "cargo", true],
  ["/usr/bin/git (deleted)", "/usr/bin/git", true],
  ["/usr/bin/git (deleted)", "x", true],
  ["/tmp/go-build1/b001/exe/main", "/tmp/go-build1/b001/exe/main", false],
  ["/usr/bin/node", "node", false],
  ["/usr/bin/node", "npm start", false],
  ["/usr/lib/jvm/bin/java", "java", false],
  ["/bin/busybox", "sh", false],
  ["/srv/go/server", "server", false],
  ["/usr/bin/GO", "GO", false],
] as const) {
  test(`${executable} as ${argv0} is ${expected ? "left alone" : "tapped"}`, () => {
    assert.equal(isSkipped(compileSkips(DEFAULT), executable, argv0), expected);
    const verdict = expected ? "skipped" : "tapped";
    assert.equal(decideSkip(DEFAULT, executable, argv0).verdict, verdict);
  });
}

test("a decision about a program names the list that it is in", () => {
  const config = { ...DEFAULT, skipExtraBuildTools: ["task"], skipProcesses: ["sidecar"] };
  const of = (name: string, more = {}) => {
    const { verdict, key } = decideSkip({ ...config, ...more }, `/opt/${name}`, "x");
    return `${verdict} ${key}`;
  };
  assert.equal(of("go"), "skipped skip_build_tools");
  assert.equal(of("task"), "skipped skip_extra_build_tools");
  assert.equal(of("sidecar"), "skipped skip_processes");
  assert.equal(of("node"), "tapped skip_processes");
  assert.equal(of("task", { skipBuildTools: false }), "tapped skip_processes");
});

test("extra build tools count only while build tools are skipped, skip_processes always", () => {
  const more = { skipExtraBuildTools: ["task"], skipProcesses: ["sidecar"] };
  const on = compileSkips({ ...DEFAULT, ...more });
  assert.ok(on.includes("go") && on.includes("task") && on.includes("sidecar"));
  assert.deepEqual(compileSkips({ ...more, skipBuildTools: false }), ["sidecar"]);
});

test("a process may be named by its path, and empty names name nobody", () => {
  const skips = compileSkips({
    skipBuildTools: false,
    skipExtraBuildTools: [],
    skipProcesses: ["/opt/x/helper", "", " ", "helper", "caf\u00e9"],
  });
  assert.deepEqual(skips, ["caf\u00c3\u00a9", "helper"]);
  assert.equal(isSkipped(skips, "", ""), false);
});

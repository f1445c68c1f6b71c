/**
 * Which processes of the tree are left alone: everything they do is the developer's, as without
 * inpod. Each process is judged by itself after every exec, its children anew: in `go run .`
 * the compilers are skipped and the program that was built is not.
 */
import type { ByteString } from "@inpod/protocol";

/**
 * What belongs here: native programs that build, fetch, or debug, and that are never themselves
 * the program that takes the pod's place. They make thousands of path calls each and download
 * through the developer's network, so tapping them costs much and helps nobody.
 *
 * What does not: anything that is a script for an interpreter (tsc, npm, webpack, mvn, gradle,
 * rake). Its process is `node` or `java`, and by that name the user's server would be skipped
 * too. Nor what may serve the user's page or reach the cluster for them (esbuild --serve, ssh),
 * nor names that somebody's server may well have (vet, pack). Nor shells: their children are
 * judged anyway, but what they do themselves may be meant. `skip_processes` names more.
 */
export const BUILD_TOOLS: readonly string[] = [
  // mirrord's list
  ...["as", "cc", "ld", "go", "air", "asm", "cc1", "cgo", "dlv", "gcc", "git", "link", "math"],
  ...["cargo", "hpack", "rustc", "compile", "collect2", "cargo-watch", "debugserver"],
  // C and C++; the names of the programs that the drivers run included
  ...["c++", "g++", "c89", "c99", "cpp", "cc1plus", "lto1", "lto-wrapper", "clang", "clang++"],
  ...["clangd", "lld", "ld.lld", "ld.bfd", "ld.gold", "mold", "ccache", "sccache"],
  ...["ar", "ranlib", "nm", "strip", "objcopy", "objdump", "pkg-config"],
  ...["make", "gmake", "cmake", "ninja", "meson", "ctest"],
  // Go: what its own driver runs from GOROOT/pkg/tool, and what developers run around it
  ...["buildid", "gofmt", "gopls", "CompileDaemon"],
  // Rust; `cargo` and `rustc` are argv[0] of rustup's one executable
  ...["rustup", "rustdoc", "rustfmt", "rust-analyzer", "rust-lld", "clippy-driver", "cargo-clippy"],
  ...["watchexec"],
  // git's helpers, which its own commands run: they fetch through the developer's network
  ...["git-remote-http", "git-remote-https", "git-lfs"],
  // JDK programs that are executables of their own; `java` is the user's program
  ...["javac", "javap", "jar", "jlink", "jspawnhelper"],
  // Debuggers; what they debug is judged by itself
  ...["gdb", "gdbserver", "lldb", "lldb-server"],
  ...["swiftc", "swift-build", "ghc", "zig", "nvcc", "protoc"],
];

export interface SkipConfig {
  /** skip_build_tools: leave BUILD_TOOLS and `skipExtraBuildTools` alone. */
  readonly skipBuildTools: boolean;
  readonly skipExtraBuildTools: readonly string[];
  /** skip_processes: also where skip_build_tools is off. */
  readonly skipProcesses: readonly string[];
}

/**
 * @returns names that C compares, with their case, with the base name of /proc/PID/exe and with
 *   that of argv[0]. Both, because one executable has many names (busybox, rustup, gcc is
 *   x86_64-linux-gnu-gcc-12). UTF-8 bytes, sorted, each once.
 */
export function compileSkips(config: SkipConfig): readonly ByteString[] {
  const names = [
    ...(config.skipBuildTools ? [...BUILD_TOOLS, ...config.skipExtraBuildTools] : []),
    ...config.skipProcesses,
  ];
  const bytes = names
    .map((name) => baseName(Buffer.from(name, "utf8").toString("latin1").trim()))
    .filter((name) => name !== "");
  return [...new Set(bytes)].sort();
}

export interface SkipDecision {
  readonly verdict: "skipped" | "tapped";
  readonly why: string;
  /** The key that has decided, or by which it is changed. */
  readonly key: string;
}

/** Of a program, and by which name. Arguments as `isSkipped`. */
export function decideSkip(
  config: SkipConfig,
  executable: ByteString,
  argv0: ByteString,
): SkipDecision {
  const by = (names: SkipConfig): string | undefined => {
    const skips = compileSkips(names);
    return [executable.replace(/ \(deleted\)$/, ""), argv0]
      .map(baseName)
      .find((name) => skips.includes(name));
  };
  const none = { skipBuildTools: false, skipExtraBuildTools: [], skipProcesses: [] };
  const named = by({ ...none, skipProcesses: config.skipProcesses });
  if (named !== undefined)
    return { verdict: "skipped", why: `skip_processes names ${named}`, key: "skip_processes" };
  if (config.skipBuildTools) {
    const { skipExtraBuildTools } = config;
    const extra = by({ ...none, skipProcesses: skipExtraBuildTools });
    const key = "skip_extra_build_tools";
    if (extra !== undefined) return { verdict: "skipped", why: `${key} names ${extra}`, key };
  }
  const tool = by({ ...none, skipBuildTools: config.skipBuildTools });
  return tool === undefined
    ? { verdict: "tapped", why: "it is not skipped", key: "skip_processes" }
    : { verdict: "skipped", why: `default: ${tool} is a build tool`, key: "skip_build_tools" };
}

/**
 * The reference of what C decides for a process.
 *
 * @param executable the target of /proc/PID/exe; a program that was replaced since has " (deleted)" after its name
 */
export function isSkipped(
  skips: readonly ByteString[],
  executable: ByteString,
  argv0: ByteString,
): boolean {
  const name = baseName(executable.replace(/ \(deleted\)$/, ""));
  return skips.includes(name) || skips.includes(baseName(argv0));
}

const baseName = (path: ByteString): ByteString => path.slice(path.lastIndexOf("/") + 1);

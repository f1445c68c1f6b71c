/**
 * Whose a path is when neither the user nor inpod's additions say: mirrord's default table
 * (compatibility), written as kinds that C evaluates. First hit wins, in the order given here.
 */
import type { ByteString } from "@inpod/protocol";
import { CREDENTIALS } from "@inpod/session";
import type { Match } from "./match.ts";

export interface DefaultMatch {
  readonly match: Match;
  readonly why: string;
  /** Code may lie where everything else is the pod's. */
  readonly isReported?: boolean;
}

const tree = (path: ByteString): Match => ({ kind: "tree", path });
const exact = (path: ByteString): Match => ({ kind: "exact", path });
const suffix = (text: ByteString): Match => ({ kind: "suffix", text });
const contains = (text: ByteString): Match => ({ kind: "contains", text });
const code = (match: Match, pattern: string): DefaultMatch => ({
  match,
  why: `default: code (${pattern})`,
  isReported: true,
});

/**
 * Credentials of the developer that a client library would find and use in the place of the
 * pod's own. Below $HOME.
 */
export const HIDDEN_BELOW_HOME: readonly ByteString[] = Object.values(CREDENTIALS).flatMap(
  ({ belowHome }) => belowHome,
);

/** Directories of the operating system, of programs and of people. */
const SYSTEM_TREES: readonly ByteString[] = [
  "/proc",
  "/sys",
  "/dev",
  "/lib",
  "/bin",
  "/sbin",
  "/usr",
  "/etc",
  "/opt",
  "/home",
  "/tmp",
  "/var/tmp",
  "/run",
  "/snap",
  "/nix",
  "/selinux",
  "/var/db/timezone/zoneinfo",
];

/** What interpreters load as code or look for beside it, wherever it lies. */
const CODE_SUFFIXES: readonly ByteString[] = [
  ".sh",
  ".rb",
  ".d",
  ".pyc",
  ".py",
  ".jar",
  ".class",
  ".js",
  ".pth",
  ".pdb",
  ".dll",
  "venv.cfg",
  "/jvm.cfg",
  "/package.json",
  "/.yarnrc",
  "/.yarnrc.yml",
  "/.yarnrc.json",
  "/.tool-versions",
];

const CODE_DIRECTORIES: readonly ByteString[] = ["/node_modules", ".asdf/"];

export const DEFAULT_LOCAL: readonly DefaultMatch[] = [
  { match: exact("/"), why: "default: the root directory itself" },
  ...SYSTEM_TREES.map((path) => ({
    match: tree(path),
    why: `default: ${path} belongs to the machine the program runs on`,
  })),
  ...CODE_SUFFIXES.map((text) => code(suffix(text), `*${text}`)),
  ...CODE_DIRECTORIES.map((text) => code(contains(text), `*${text}*`)),
  // .NET's debugger and runtime meet by these names.
  { match: contains("clr-debug-pipe-"), why: "default: the .NET debugger's pipe" },
];

/** inpod's own: what every dynamically linked program opens before its first line runs. */
export const LIBRARIES: readonly DefaultMatch[] = [
  { match: { kind: "shared-object" }, why: "libraries are the developer's" },
  { match: suffix("/ld.so.cache"), why: "the loader's cache describes the developer's libraries" },
  // mirrord's default says /lib alone, which leaves /lib64/ld-linux-x86-64.so.2 to its suffix.
  // Guix has all of its programs in /gnu.
  ...["/lib32", "/lib64", "/libx32", "/gnu/store"].map((path) => ({
    match: tree(path),
    why: "libraries are the developer's",
  })),
  {
    // mirrord reads it from the pod. Under a tap the developer's own tools open it too, and in an
    // image without certificates (scratch, busybox) all their TLS would fail.
    match: tree("/etc/ssl/certs"),
    why: "the developer's tools verify TLS by the developer's certificates",
  },
];

/** Daemons of the developer's machine. What lies in /run and /tmp is local by the defaults already. */
export const LOCAL_SOCKETS: readonly DefaultMatch[] = [
  { match: exact("/var/run/docker.sock"), why: "the developer's Docker daemon" },
  { match: tree("/var/run/podman"), why: "the developer's Podman" },
  { match: tree("/var/run/dbus"), why: "the developer's D-Bus" },
  { match: tree("/var/run/user"), why: "the developer's desktop session" },
];

/** What tools look for in every directory from cwd up to "/": found or not, it is the developer's. */
export const PROJECT_MARKERS: readonly ByteString[] = [
  ".git",
  ".hg",
  "go.mod",
  "go.work",
  "package.json",
  "pnpm-workspace.yaml",
  "tsconfig.json",
  "jsconfig.json",
  ".npmrc",
  ".nvmrc",
  ".node-version",
  ".python-version",
  "pyproject.toml",
  "rust-toolchain",
  "rust-toolchain.toml",
  "Cargo.toml",
  ".cargo",
  ".tool-versions",
  ".editorconfig",
];

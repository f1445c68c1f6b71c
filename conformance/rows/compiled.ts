/** Programs of C, Go and Rust: what they call is what their own binary brings along. */
import type { Recipe } from "@inpod/sandbox";
import { compiledBy, NO_RESOLVER, program, type Row, simple } from "../row.ts";

const compiled = (built: string): readonly string[] => [`${built}/program`];
const c = (compiler: string, ...flags: readonly string[]): Recipe => ({
  sources: [program("facts.c")],
  compile: ([path = ""]) => [
    ...[compiler, "-O1", "-Wall", "-Wextra", "-Werror", ...flags, "-o", "program", path],
  ],
  run: compiled,
});
const go = (cgo: "0" | "1"): Recipe => ({
  sources: [program("facts.go")],
  compile: ([path = ""]) => ["go", "build", "-o", "program", path],
  environment: { CGO_ENABLED: cgo },
  run: compiled,
});
const rust: Recipe = {
  sources: [program("facts.rs")],
  compile: ([path = ""]) => ["rustc", "--edition", "2021", "-o", "program", path],
  run: compiled,
};

const GO_VERSION = ["go", "version"];
// musl's loader says its version, and fails: it wants a program to load.
const MUSL_VERSION = ["sh", "-c", "/lib/ld-musl-*.so.1 2>&1 || true"];

/** Also what is asked in the pod itself: it needs no file of the machine. */
export const musl: Recipe = c("musl-gcc", "-static");

export const compiledRows: readonly Row[] = [
  simple({
    name: "C, glibc",
    tool: () => compiledBy(["getconf", "GNU_LIBC_VERSION"], c("cc")),
    without: NO_RESOLVER,
  }),
  simple({
    name: "C, musl, static",
    tool: () => compiledBy(MUSL_VERSION, musl),
    without: NO_RESOLVER,
  }),
  simple({ name: "Go, static", tool: () => compiledBy(GO_VERSION, go("0")) }),
  simple({
    name: "Go, cgo",
    tool: () => compiledBy(GO_VERSION, go("1")),
    env: { GODEBUG: "netdns=cgo" },
  }),
  simple({
    name: "Rust",
    tool: () => compiledBy(["rustc", "--version"], rust),
    without: NO_RESOLVER,
  }),
];

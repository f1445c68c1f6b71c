/** Programs of C, Go and Rust: what they call is what their own binary brings along. */
import type { Recipe } from "@inpod/sandbox";
import { program, type Row, simple } from "../row.ts";

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

const NO_RESOLVER = "names are libc's business";

/** Also what is asked in the pod itself: it needs no file of the machine. */
export const musl: Recipe = c("musl-gcc", "-static");

export const compiledRows: readonly Row[] = [
  simple({
    name: "C, glibc",
    recipe: c("cc"),
    version: ["getconf", "GNU_LIBC_VERSION"],
    prefix: "glibc ",
    without: { "own resolver": NO_RESOLVER },
  }),
  simple({
    name: "C, musl, static",
    recipe: musl,
    // musl's loader says its version, and fails: it wants a program to load.
    version: ["sh", "-c", "/lib/ld-musl-*.so.1 2>&1 || true"],
    prefix: "musl ",
    without: { "own resolver": NO_RESOLVER },
  }),
  simple({ name: "Go, static", recipe: go("0"), version: ["go", "version"] }),
  simple({
    name: "Go, cgo",
    recipe: go("1"),
    version: ["go", "version"],
    env: { GODEBUG: "netdns=cgo" },
  }),
  simple({
    name: "Rust",
    recipe: {
      sources: [program("facts.rs")],
      compile: ([path = ""]) => ["rustc", "--edition", "2021", "-o", "program", path],
      run: compiled,
    },
    version: ["rustc", "--version"],
    without: { "own resolver": NO_RESOLVER },
  }),
];

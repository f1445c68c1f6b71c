/** A machine that refuses system calls, as a container's seccomp profile or an old kernel does. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** EPERM unless said otherwise; `argument`: only where that argument (its low half) has that value. */
export type Refused =
  | string
  | {
      readonly call: string;
      readonly errno?: string;
      readonly argument?: readonly [index: number, value: string];
    };

/** Becomes its arguments, under a filter by which the calls fail. */
const source = (rules: readonly string[]): string => `#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#define LOAD(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, what)
#define UNLESS(k, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, 0, skip)
#define ERROR(number) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (number))
#define NR offsetof(struct seccomp_data, nr)
#define ARGUMENT(i) (offsetof(struct seccomp_data, args) + 8 * (i))
int main(int argc, char **argv) {
  struct sock_filter code[] = {
    LOAD(NR),
${rules.map((rule) => `    ${rule},\n`).join("")}    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  if (argc < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 99;
  execvp(argv[1], argv + 1);
  perror(argv[1]);
  return 98;
}
`;

function ruleFor(refused: Refused): string {
  const {
    call,
    errno = "EPERM",
    argument,
  } = typeof refused === "string" ? { call: refused } : refused;
  if (argument === undefined) return `UNLESS(SYS_${call}, 1), ERROR(${errno})`;
  const [index, value] = argument;
  return `UNLESS(SYS_${call}, 4), LOAD(ARGUMENT(${index})), UNLESS((unsigned)(${value}), 1), ERROR(${errno}), LOAD(NR)`;
}

/** The path of a program that runs what its arguments say where these calls are refused. */
export function refusing(folder: string, ...calls: readonly Refused[]): string {
  const text = source(calls.map(ruleFor));
  const program = join(
    folder,
    `refusing-${createHash("sha256").update(text).digest("hex").slice(0, 12)}`,
  );
  if (!existsSync(program)) {
    writeFileSync(`${program}.c`, text);
    execFileSync("cc", ["-Wall", "-Werror", "-o", program, `${program}.c`], { stdio: "inherit" });
  }
  return program;
}

/** What every way to mount takes: a container without privileges. */
export const MOUNTING = ["fsopen", "mount", "unshare"] as const;

/** A machine that refuses system calls, as a container's seccomp profile does. */
import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Becomes its arguments, under a filter by which the calls fail with EPERM. */
const source = (calls: readonly string[]): string => `#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#define REFUSE(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
int main(int argc, char **argv) {
  struct sock_filter code[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
${calls.map((call) => `    REFUSE(SYS_${call}),\n`).join("")}    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  if (argc < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 99;
  execvp(argv[1], argv + 1);
  perror(argv[1]);
  return 98;
}
`;

/** The path of a program that runs what its arguments say where these calls are refused. */
export function refusing(folder: string, ...calls: readonly string[]): string {
  const program = join(folder, `refusing-${calls.join("-")}`);
  if (!existsSync(program)) {
    writeFileSync(`${program}.c`, source(calls));
    execFileSync("cc", ["-Wall", "-Werror", "-o", program, `${program}.c`], { stdio: "inherit" });
  }
  return program;
}

/** What every way to mount takes: a container without privileges. */
export const MOUNTING = ["fsopen", "mount", "unshare"] as const;

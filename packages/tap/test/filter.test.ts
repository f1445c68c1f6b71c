/**
 * The seccomp filter of each architecture, run here by hand: filter.h is compiled with the other one's own headers as far as
 * its numbers, and what it says about a call is compared with the kernel's tables as they are written down here.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { compile, script, tap } from "./support.ts";

after(() => tap.unref()); // its threads would keep this process alive

const NATIVE = fileURLToPath(new URL("../native", import.meta.url));

/** arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux. */
const ARCHITECTURES = {
  "x86-64": {
    compiler: process.arch === "x64" ? "cc" : "x86_64-linux-gnu-gcc",
    audit: 0xc000003e,
    trapped: {
      ...{ execve: 59, execveat: 322, uname: 63, chroot: 161, pivot_root: 155, setns: 308 },
      ...{ open: 2, stat: 4, lstat: 6, access: 21, readlink: 89 },
      ...{ openat: 257, openat2: 437, faccessat: 269, faccessat2: 439, readlinkat: 267 },
      ...{
        creat: 85,
        mkdir: 83,
        rmdir: 84,
        unlink: 87,
        rename: 82,
        link: 86,
        symlink: 88,
        mknod: 133,
      },
      ...{
        mkdirat: 258,
        unlinkat: 263,
        renameat: 264,
        renameat2: 316,
        linkat: 265,
        symlinkat: 266,
        mknodat: 259,
      },
      ...{
        chmod: 90,
        fchmodat: 268,
        fchmodat2: 452,
        chown: 92,
        lchown: 94,
        utime: 132,
        utimes: 235,
        truncate: 76,
      },
      ...{
        getxattr: 191,
        lgetxattr: 192,
        listxattr: 194,
        llistxattr: 195,
        setxattr: 188,
        lsetxattr: 189,
      },
      ...{
        removexattr: 197,
        lremovexattr: 198,
        setxattrat: 463,
        getxattrat: 464,
        listxattrat: 465,
        removexattrat: 466,
      },
      ...{ statfs: 137, getcwd: 79, chdir: 80, inotify_add_watch: 254, name_to_handle_at: 303 },
      ...{ connect: 42, bind: 49, listen: 50, getsockname: 51, getpeername: 52 },
    },
    other: {
      newfstatat: 262,
      statx: 332,
      fchownat: 260,
      accept: 43,
      accept4: 288,
      sendto: 44,
      recvfrom: 45,
      utimensat: 280,
    },
    futimesat: 261,
    getsockopt: 55,
    socket: 41,
    messages: { sendmsg: 46, recvmsg: 47, sendmmsg: 307, recvmmsg: 299 },
    seccomp: 317,
    /** arch/x86/entry/syscalls/syscall_32.tbl. */
    compat: {
      audit: 0x40000003,
      seccomp: 354,
      trapped: {
        ...{ execve: 11, execveat: 358, connect: 362, bind: 361, listen: 363 },
        ...{ getsockname: 367, getpeername: 368, uname: 122, chdir: 12, getcwd: 183 },
        ...{ open: 5, creat: 8, link: 9, unlink: 10, mknod: 14, chmod: 15, access: 33, rename: 38 },
        ...{ mkdir: 39, rmdir: 40, symlink: 83, readlink: 85, truncate: 92, truncate64: 193 },
        ...{ stat64: 195, lstat64: 196, lchown32: 198, chown32: 212 },
        ...{ setxattr: 226, lsetxattr: 227, getxattr: 229, lgetxattr: 230 },
        ...{ listxattr: 232, llistxattr: 233, removexattr: 235, lremovexattr: 236 },
        ...{ inotify_add_watch: 292, openat: 295, mkdirat: 296, mknodat: 297, unlinkat: 301 },
        ...{ renameat: 302, linkat: 303, symlinkat: 304, readlinkat: 305, fchmodat: 306 },
        ...{ faccessat: 307, renameat2: 353, openat2: 437, faccessat2: 439, fchmodat2: 452 },
      },
      pointers: { accept4: [364, 1], sendto: [369, 4], recvfrom: [371, 4], utimensat64: [412, 1] },
      flags: { fchownat: [298, 4], fstatat64: [300, 3], statx: [383, 2] },
      getsockopt: 365,
      /** socketcall(2): bind, connect, listen, accept, getsockname, getpeername, sendto, recvfrom, getsockopt, accept4. */
      socketcall: { nr: 102, trapped: [2, 3, 4, 5, 6, 7, 11, 12, 15, 18] },
    },
    /** read, write, epoll_wait: data and waiting are never stopped. */
    untouched: [0, 1, 232],
  },
  arm64: {
    compiler: "aarch64-linux-gnu-gcc",
    audit: 0xc00000b7,
    trapped: {
      ...{ execve: 221, execveat: 281, uname: 160, chroot: 51, pivot_root: 41, setns: 268 },
      ...{ openat: 56, openat2: 437, faccessat: 48, faccessat2: 439, readlinkat: 78 },
      ...{
        mkdirat: 34,
        unlinkat: 35,
        renameat: 38,
        renameat2: 276,
        linkat: 37,
        symlinkat: 36,
        mknodat: 33,
      },
      ...{ fchmodat: 53, fchmodat2: 452, truncate: 45 },
      ...{ getxattr: 8, lgetxattr: 9, listxattr: 11, llistxattr: 12, setxattr: 5, lsetxattr: 6 },
      ...{
        removexattr: 14,
        lremovexattr: 15,
        setxattrat: 463,
        getxattrat: 464,
        listxattrat: 465,
        removexattrat: 466,
      },
      ...{ statfs: 43, getcwd: 17, chdir: 49, inotify_add_watch: 27, name_to_handle_at: 264 },
      ...{ connect: 203, bind: 200, listen: 201, getsockname: 204, getpeername: 205 },
    },
    other: {
      newfstatat: 79,
      statx: 291,
      fchownat: 54,
      accept: 202,
      accept4: 242,
      sendto: 206,
      recvfrom: 207,
      utimensat: 88,
    },
    futimesat: undefined,
    getsockopt: 209,
    socket: 198,
    messages: { sendmsg: 211, recvmsg: 212, sendmmsg: 269, recvmmsg: 243 },
    seccomp: 277,
    /** arch/arm/tools/syscall.tbl: only told. */
    compat: {
      audit: 0x40000028,
      seccomp: 383,
      trapped: { execve: 11, execveat: 387, bind: 282, connect: 283, open: 5, openat: 322 },
      pointers: {},
      flags: {},
      getsockopt: undefined,
      socketcall: undefined,
    },
    /** read, write, epoll_pwait, and x86-64's numbers of open, stat and connect. */
    untouched: [63, 64, 22, 2, 4, 42],
  },
} as const;

const IO_URING_SETUP = 425;
const AT_EMPTY_PATH = 0x1000n;
const ALLOW = 0x7fff0000;
const USER_NOTIF = 0x7fc00000;
const ENOSYS = 0x00050000 | 38;

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, k: number];

/** The instructions that filter.h makes with that compiler's headers, by a program of this machine. */
function build(compiler: string): Instruction[] {
  const source = script(
    "filter-dump.c",
    `#include "filter.h"
int printf(const char *, ...);
int main(void) {
  static struct filter f;
  filter_build(&f, FILTER_NETWORK | FILTER_FILES | FILTER_HOSTNAME);
  for (int i = 0; i < f.length; i++) printf("%u %u %u %u\\n", f.code[i].code, f.code[i].jt, f.code[i].jf, f.code[i].k);
}`,
  );
  const expanded = execFileSync(compiler, ["-E", "-P", `-I${NATIVE}`, source], {
    encoding: "utf8",
  });
  const dump = compile(`filter-${compiler}`, expanded);
  return execFileSync(dump, { encoding: "utf8" })
    .trim()
    .split("\n")
    .map((line) => line.split(" ").map(Number) as unknown as Instruction);
}

interface Call {
  readonly arch: number;
  readonly nr: number;
  readonly args?: readonly bigint[];
}

/** Classic BPF as far as the filter uses it (seccomp(2), struct seccomp_data). */
function evaluate(code: readonly Instruction[], { arch, nr, args = [] }: Call): number {
  const data = Buffer.alloc(64);
  data.writeInt32LE(nr, 0);
  data.writeUInt32LE(arch, 4);
  args.forEach((value, i) => {
    data.writeBigUInt64LE(value, 16 + 8 * i);
  });
  let accumulator = 0;
  for (let at = 0; at < code.length; at++) {
    const [op, ifTrue, ifFalse, k] = code[at] ?? assert.fail();
    if (op === 0x20) accumulator = data.readUInt32LE(k);
    else if (op === 0x54) accumulator &= k;
    else if (op === 0x06) return k;
    else if (op === 0x05) at += k;
    else {
      const holds = {
        ...{ 21: accumulator === k, 37: accumulator > k },
        ...{ 53: accumulator >= k, 69: (accumulator & k) !== 0 },
      };
      const answer = holds[op as keyof typeof holds] ?? assert.fail(`opcode ${op}`);
      at += answer ? ifTrue : ifFalse;
    }
  }
  return assert.fail("it runs past its end");
}

for (const [name, architecture] of Object.entries(ARCHITECTURES)) {
  const { compiler, audit: arch, trapped, getsockopt, untouched, futimesat } = architecture;
  const { socket, messages, seccomp, compat } = architecture;
  const other = { ...architecture.other, futimesat: futimesat ?? -1 };
  test(`on ${name} the filter stops these calls, and no others`, (t) => {
    try {
      execFileSync(compiler, ["--version"], { stdio: "ignore" });
    } catch {
      t.skip(`${compiler} is not there`);
      return;
    }
    const code = build(compiler);
    const verdict = (nr: number, ...args: bigint[]): number => evaluate(code, { arch, nr, args });
    for (const [call, nr] of Object.entries(trapped)) assert.equal(verdict(nr), USER_NOTIF, call);
    for (const [call, flags] of [
      ["newfstatat", 3],
      ["statx", 2],
      ["fchownat", 4],
    ] as const) {
      const args = [0n, 0n, 0n, 0n, 0n];
      assert.equal(verdict(other[call], ...args), USER_NOTIF, call);
      args[flags] = AT_EMPTY_PATH;
      assert.equal(verdict(other[call], ...args), ALLOW, `${call} of a descriptor`);
    }
    for (const [call, pointer] of [
      ["accept", 1],
      ["accept4", 1],
      ["sendto", 4],
      ["recvfrom", 4],
      ["utimensat", 1],
      ...(futimesat === undefined ? [] : [["futimesat", 1] as const]),
    ] as const) {
      for (const address of [0x1000n, 0x7f00_0000_0000n]) {
        const args = [3n, 0n, 0n, 0n, 0n];
        assert.equal(verdict(other[call], ...args), ALLOW, `${call} without it`);
        args[pointer] = address;
        assert.equal(verdict(other[call], ...args), USER_NOTIF, call);
      }
    }
    assert.equal(verdict(getsockopt, 3n, 1n, 4n), USER_NOTIF, "SO_ERROR");
    assert.equal(verdict(getsockopt, 3n, 1n, 3n), ALLOW, "another option");
    assert.equal(verdict(getsockopt, 3n, 6n, 4n), ALLOW, "another level");
    const [inet, inet6, stream, datagram] = [2n, 10n, 1n, 2n] as const;
    const [unix, cloexec, icmp, udp] = [1n, 0x80000n, 1n, 17n] as const;
    for (const family of [inet, inet6]) {
      for (const protocol of [0n, udp])
        assert.equal(verdict(socket, family, datagram | cloexec, protocol), USER_NOTIF, "UDP");
      assert.equal(verdict(socket, family, datagram, icmp), ALLOW, "a socket that pings");
      assert.equal(verdict(socket, family, stream | cloexec, 0n), ALLOW, "TCP");
    }
    assert.equal(verdict(socket, unix, datagram, 0n), ALLOW, "a UNIX socket");
    for (const [call, nr] of Object.entries(messages)) {
      for (const fd of [3n, 899n, 1024n]) assert.equal(verdict(nr, fd), ALLOW, `${call} of ${fd}`);
      for (const fd of [900n, 1023n]) assert.equal(verdict(nr, fd), USER_NOTIF, `${call} of ${fd}`);
    }
    assert.ok(code.length < 512, "there is room for all of it");
    assert.equal(verdict(seccomp, 1n, 8n), USER_NOTIF, "a listener of its own");
    assert.equal(verdict(seccomp, 1n, 1n), ALLOW, "a filter of its own");
    assert.equal(verdict(seccomp, 2n, 8n), ALLOW, "another question");
    assert.equal(verdict(IO_URING_SETUP), ENOSYS);
    const known = new Set<number>([
      ...Object.values(trapped),
      ...Object.values(other),
      ...Object.values(messages),
      ...[getsockopt, socket, seccomp, IO_URING_SETUP],
    ]);
    for (let nr = 0; nr < 600; nr++) {
      if (!known.has(nr)) assert.equal(verdict(nr, 1n, 1n, 4n, 1n, 1n), ALLOW, `system call ${nr}`);
    }
    for (const nr of untouched) assert.equal(verdict(nr), ALLOW);
    // Of any other architecture than these two nothing is known.
    for (const nr of known) assert.equal(evaluate(code, { arch: 0xc0000015, nr }), ALLOW);
  });

  test(`of 32-bit programs on ${name} the filter stops these calls, and no others`, (t) => {
    try {
      execFileSync(compiler, ["--version"], { stdio: "ignore" });
    } catch {
      t.skip(`${compiler} is not there`);
      return;
    }
    const code = build(compiler);
    const verdict = (nr: number, ...args: bigint[]): number =>
      evaluate(code, { arch: compat.audit, nr, args });
    for (const [call, nr] of Object.entries(compat.trapped))
      assert.equal(verdict(nr), USER_NOTIF, call);
    for (const [call, [nr, argument]] of Object.entries<readonly [number, number]>(
      compat.pointers,
    )) {
      const args = [3n, 0n, 0n, 0n, 0n];
      assert.equal(verdict(nr, ...args), ALLOW, `${call} without it`);
      args[argument] = 0xffff_0000n;
      assert.equal(verdict(nr, ...args), USER_NOTIF, call);
    }
    for (const [call, [nr, argument]] of Object.entries<readonly [number, number]>(compat.flags)) {
      const args = [0n, 0n, 0n, 0n, 0n];
      assert.equal(verdict(nr, ...args), USER_NOTIF, call);
      args[argument] = AT_EMPTY_PATH;
      assert.equal(verdict(nr, ...args), ALLOW, `${call} of a descriptor`);
    }
    const known = new Set<number>([
      ...Object.values(compat.trapped),
      ...[...Object.values(compat.pointers), ...Object.values(compat.flags)].map(([nr]) => nr),
      compat.seccomp,
    ]);
    assert.equal(verdict(compat.seccomp, 1n, 8n), USER_NOTIF, "a listener of its own");
    if (compat.socketcall) {
      const { nr, trapped: calls } = compat.socketcall;
      for (let call = 0n; call < 30n; call++) {
        const stops = (calls as readonly number[]).includes(Number(call));
        assert.equal(verdict(nr, call, 1n), stops ? USER_NOTIF : ALLOW, `socketcall ${call}`);
      }
      assert.equal(verdict(compat.getsockopt, 3n, 1n, 4n), USER_NOTIF, "SO_ERROR");
      assert.equal(verdict(compat.getsockopt, 3n, 1n, 3n), ALLOW, "another option");
      assert.equal(verdict(IO_URING_SETUP), ENOSYS);
      for (const one of [nr, compat.getsockopt, IO_URING_SETUP]) known.add(one);
    }
    for (let nr = 0; nr < 600; nr++) {
      if (!known.has(nr)) assert.equal(verdict(nr, 1n, 1n, 4n, 1n, 1n), ALLOW, `call ${nr}`);
    }
  });
}

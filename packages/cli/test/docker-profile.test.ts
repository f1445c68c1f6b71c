/**
 * inpod in a container of runc's, under what Docker's default seccomp profile refuses with a given list of capabilities
 * (profiles/seccomp/default.json of moby), as far as inpod or its programs could meet it. docs/platforms.md has the same table.
 */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, test } from "node:test";
import type { Finding } from "../src/doctor/finding.ts";
import { CLI, isRoot } from "./exec-support.ts";

const TIMEOUT_MS = 60_000;
const EPERM = 1;
const ENOSYS = 38;
const MACHINE = 6;

/** What Docker gives a container that asks for nothing. */
const DEFAULT_CAPABILITIES = [
  ...["CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID"],
  ...["SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"],
];

interface Rule {
  readonly names: readonly string[];
  readonly action: "SCMP_ACT_ERRNO";
  readonly errnoRet: number;
  readonly args?: readonly object[];
}
const refuse = (names: readonly string[], errnoRet = EPERM): Rule => ({
  names,
  action: "SCMP_ACT_ERRNO",
  errnoRet,
});
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (clone(2)). */
const NAMESPACE_FLAGS = [
  ...[0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000],
  ...[0x1000_0000, 0x2000_0000, 0x4000_0000],
];

function refusedByDocker(added: readonly string[]): Rule[] {
  const rules = [
    refuse(["add_key", "keyctl", "request_key", "userfaultfd", "kexec_load", "swapon"]),
    // Since version 25 of the engine.
    refuse(["io_uring_setup", "io_uring_enter", "io_uring_register"]),
  ];
  if (!added.includes("SYS_PTRACE")) rules.push(refuse(["kcmp", "pidfd_getfd", "process_madvise"]));
  if (!added.includes("SYS_ADMIN")) {
    rules.push(
      refuse(["fsopen", "fsconfig", "fsmount", "fspick", "move_mount", "open_tree"]),
      refuse(["mount", "mount_setattr", "umount", "umount2", "unshare", "setns"]),
      refuse(["bpf", "fanotify_init", "perf_event_open", "sethostname", "setdomainname"]),
      refuse(["clone3"], ENOSYS),
      ...NAMESPACE_FLAGS.map((flag) => ({
        ...refuse(["clone"]),
        args: [{ index: 0, op: "SCMP_CMP_MASKED_EQ", value: flag, valueTwo: flag }],
      })),
    );
  }
  return rules;
}

const folder = mkdtempSync(join(tmpdir(), "inpod-docker-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** This machine's files, read-only, without its /proc, /dev and /tmp. */
function mountsOf(root: string): object[] {
  const own = new Set(["proc", "dev", "sys", "tmp"]);
  const mounts: object[] = [];
  for (const name of readdirSync("/").filter((each) => !own.has(each))) {
    const path = `/${name}`;
    if (lstatSync(path).isSymbolicLink()) symlinkSync(readlinkSync(path), join(root, name));
    else if (lstatSync(path).isDirectory())
      mounts.push({ destination: path, type: "bind", source: path, options: ["rbind", "ro"] });
  }
  return [
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
    { destination: "/tmp", type: "tmpfs", source: "tmpfs" },
    ...mounts,
    // A checkout or Node below /tmp is hidden by the container's own.
    ...[dirname(dirname(CLI)), dirname(process.execPath)]
      .filter((path) => path.startsWith("/tmp/"))
      .map((source) => ({ destination: source, type: "bind", source, options: ["rbind", "ro"] })),
  ];
}

interface Container {
  readonly added?: readonly string[];
  readonly uid?: number;
  readonly hasFuse?: boolean;
  readonly noNewPrivileges?: boolean;
}
interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let number = 0;
function inContainer(args: readonly string[], container: Container = {}): Promise<Ran> {
  const { added = [], uid = 0, hasFuse = false, noNewPrivileges = false } = container;
  const bundle = join(folder, String(++number));
  const root = join(bundle, "rootfs");
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, ".dockerenv"), "");
  const bounding = [...DEFAULT_CAPABILITIES, ...added].map((name) => `CAP_${name}`);
  const effective = uid === 0 ? bounding : [];
  const fuse = { path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 0o666 };
  const config = {
    ociVersion: "1.0.2",
    process: {
      user: { uid, gid: uid },
      args: [process.execPath, CLI, ...args],
      env: [`PATH=${process.env.PATH}`, "HOME=/tmp"],
      cwd: "/tmp",
      capabilities: { bounding, effective, permitted: effective },
      noNewPrivileges,
    },
    root: { path: "rootfs" },
    mounts: mountsOf(root),
    linux: {
      namespaces: ["pid", "mount", "ipc", "uts"].map((type) => ({ type })),
      devices: hasFuse ? [fuse] : [],
      resources: { devices: [{ allow: true, access: "rwm" }] },
      seccomp: {
        defaultAction: "SCMP_ACT_ALLOW",
        architectures: [process.arch === "x64" ? "SCMP_ARCH_X86_64" : "SCMP_ARCH_AARCH64"],
        syscalls: refusedByDocker(added),
      },
    },
  };
  writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
  const name = `inpod-docker-${process.pid}-${number}`;
  const run = ["--root", join(folder, "state"), "run", "--bundle", bundle, name];
  return new Promise((resolve) => {
    execFile("runc", run, { timeout: TIMEOUT_MS }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

async function findings(container: Container): Promise<readonly Finding[]> {
  const ran = await inContainer(["doctor", "--machine", "-o", "json"], container);
  assert.notEqual(ran.stdout, "", ran.stderr);
  return (JSON.parse(ran.stdout) as { findings: readonly Finding[] }).findings;
}
const levels = (found: readonly Finding[]): Record<string, string> =>
  Object.fromEntries(
    found.filter(({ level }) => level !== "ok").map(({ id, level }) => [id, level]),
  );
const about = (found: readonly Finding[], id: string): string => {
  const finding = found.find((each) => each.id === id);
  return finding ? [finding.what, finding.why, ...finding.hints].join("\n") : "";
};

const hasRunc = spawnSync("runc", ["--version"]).status === 0;
const skip = !isRoot ? "needs root" : !hasRunc && "needs runc";

describe("under Docker's default profile", { skip, timeout: 280_000 }, () => {
  test("without more, exec ends with 6 and names the flag, and doctor names what each refusal means", async () => {
    const exec = await inContainer(["exec", "-t", "pod/nobody", "--", "true"]);
    assert.equal(exec.code, MACHINE, exec.stderr);
    assert.match(exec.stderr, /refuses pidfd_getfd[\s\S]*EPERM[\s\S]*--cap-add SYS_PTRACE/);
    const found = await findings({});
    assert.deepEqual(levels(found), {
      "machine-pidfd-getfd": "problem",
      "machine-fuse": "note",
      "machine-user-namespaces": "note",
    });
    assert.match(about(found, "machine-pidfd-getfd"), /runArgs.*--cap-add=SYS_PTRACE/);
    assert.match(about(found, "machine-fuse"), /snapshots[\s\S]*--device \/dev\/fuse/);
    assert.match(about(found, "machine-user-namespaces"), /--cap-add SYS_ADMIN/);
  });

  test("with SYS_PTRACE programs are tapped, by root and by an ordinary user, who gets no capability by it", async () => {
    for (const uid of [0, 1000]) {
      const found = await findings({ added: ["SYS_PTRACE"], uid });
      assert.deepEqual(levels(found), {
        "machine-fuse": "note",
        "machine-user-namespaces": "note",
      });
      assert.match(about(found, "machine-tap"), /system calls can be watched/);
    }
  });

  test("with SYS_ADMIN and /dev/fuse besides, the pod's files can be mounted; no-new-privileges changes nothing of it", async () => {
    const added = ["SYS_PTRACE", "SYS_ADMIN"];
    const found = await findings({ added, hasFuse: true, noNewPrivileges: true });
    assert.deepEqual(levels(found), { "machine-no-new-privileges": "note" });
    assert.match(about(found, "machine-fuse"), /can be mounted/);
  });
});

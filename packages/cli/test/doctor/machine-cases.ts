/** Machines by what their kernels and files say. */
import type { NeededDoor } from "@inpod/layer/doors";
import type { MachineFacts } from "../../src/doctor/machine/facts.ts";
import { judgeMachine } from "../../src/doctor/machine/judge.ts";
import type { Case } from "./case.ts";

/** Debian 12 as an ordinary user, everything open. */
export const debian: MachineFacts = {
  platform: "linux",
  release: "6.1.0-18-amd64",
  architecture: "x64",
  nodeVersion: "v20.20.2",
  tap: { kind: "works", canConnectLater: true, lacks: [] },
  fuse: { device: "ok", helper: "/usr/bin/fusermount3" },
  mount: { kind: "mounted", via: "userns" },
  userNamespaces: { isAllowed: true, settings: { "user.max_user_namespaces": "96365" } },
  ptraceScope: undefined,
  isPtraceCapable: false,
  isInsideInpod: false,
  isRoot: false,
  container: undefined,
  seccompMode: 0,
  hasNoNewPrivileges: false,
  fileLimit: 1_048_576,
  hostServices: ["files", "dns"],
  hasNscd: false,
};

const noMount = {
  kind: "refused",
  refusals: ["a mount in a user namespace: unshare: EPERM"],
} as const;

/** Ubuntu 24.04's desktop: Yama 1, AppArmor against user namespaces, systemd-resolved. */
export const ubuntu: MachineFacts = {
  ...debian,
  release: "6.8.0-48-generic",
  ptraceScope: 1,
  userNamespaces: {
    isAllowed: false,
    settings: {
      "user.max_user_namespaces": "126834",
      "kernel.unprivileged_userns_clone": "1",
      "kernel.apparmor_restrict_unprivileged_userns": "1",
    },
  },
  mount: { kind: "mounted", via: "fusermount" },
  hostServices: ["files", "mdns4_minimal", "dns"],
};

/** Docker's defaults: seccomp refuses pidfd_getfd and namespaces, there is no /dev/fuse. */
export const docker: MachineFacts = {
  ...debian,
  container: "docker",
  isRoot: true,
  seccompMode: 2,
  tap: { kind: "refused", door: "pidfd_getfd", errno: "EPERM" },
  fuse: { device: "ENOENT", helper: undefined },
  mount: noMount,
  userNamespaces: { isAllowed: false, settings: { "user.max_user_namespaces": "96365" } },
};

const at = (
  when: string,
  facts: MachineFacts,
  id: string,
  level: Case["level"],
  says: RegExp,
  wantsExec = true,
): Case => ({ when, findings: () => judgeMachine(facts, wantsExec), id, level, says });
const refused = (door: NeededDoor, errno: string) => ({ kind: "refused", door, errno }) as const;

export const machineCases: readonly Case[] = [
  at("Debian 12", debian, "machine-kernel", "ok", /Linux 6\.1\.0-18-amd64/),
  at("Debian 12", debian, "machine-node", "ok", /Node v20\.20\.2 on x64/),
  at("Debian 12", debian, "machine-tap", "ok", /can be watched/),
  at("Debian 12", debian, "machine-fuse", "ok", /can be mounted, in a user namespace/),
  at("Ubuntu 24.04", ubuntu, "machine-fuse", "ok", /can be mounted, by fusermount3/),
  at(
    "a profile that refuses every mount",
    { ...debian, mount: noMount },
    "machine-fuse",
    "note",
    /nothing can be mounted here[\s\S]*unshare: EPERM[\s\S]*snapshots/,
  ),
  at("Debian 12", debian, "machine-user-namespaces", "ok", /user namespaces/),
  at("macOS, for exec", { ...debian, platform: "darwin" }, "machine-not-linux", "problem", /lima/),
  at(
    "macOS, to look at the cluster",
    { ...debian, platform: "darwin" },
    "machine-not-linux",
    "note",
    /--cap-add=SYS_PTRACE/,
    false,
  ),
  at("Windows", { ...debian, platform: "win32" }, "machine-not-linux", "problem", /wsl --install/),
  at("FreeBSD", { ...debian, platform: "freebsd" }, "machine-not-linux", "problem", /Linux VM/),
  at(
    "Ubuntu 20.04",
    { ...debian, release: "5.4.0-200-generic" },
    "machine-old-kernel",
    "problem",
    /5\.14/,
  ),
  at("Node 18", { ...debian, nodeVersion: "v18.20.4" }, "machine-node-old", "problem", /20\.20/),
  at("riscv64", { ...debian, architecture: "riscv64" }, "machine-architecture", "warning", /x64/),
  at("Docker", docker, "machine-pidfd-getfd", "problem", /--cap-add SYS_PTRACE/),
  at(
    "a pod",
    { ...docker, container: "kubernetes" },
    "machine-pidfd-getfd",
    "problem",
    /capabilities: \{add: \[SYS_PTRACE\]\}/,
  ),
  at(
    "gVisor",
    { ...debian, tap: refused("seccomp", "EINVAL") },
    "machine-seccomp",
    "problem",
    /gVisor/,
  ),
  at(
    "inpod inside inpod",
    { ...debian, tap: refused("seccomp", "EBUSY") },
    "machine-seccomp-busy",
    "problem",
    /inpod inside inpod/,
  ),
  at(
    "a child's memory that may not be written",
    { ...debian, tap: refused("process_vm_writev", "EPERM") },
    "machine-process-vm",
    "problem",
    /if this is a container/,
  ),
  at("Debian 12", debian, "machine-ptrace", "ok", /work in the pod's directories/),
  at("Debian 12", debian, "machine-connect", "ok", /left in progress/),
  ...(
    [
      ["Linux 5.10", "addfd-send", "EINVAL", "machine-addfd-send", /Linux 5\.14/],
      ["/proc with hidepid", "proc", "EACCES", "machine-hidden-proc", /hidepid/],
      ["an old sandbox", "openat2", "ENOSYS", "machine-openat2", /newer kernel/],
      ["a strict profile", "memfd_create", "EPERM", "machine-memfd-create", /seccomp=unconfined/],
      ["gVisor's sockets", "so-cookie", "ENOPROTOOPT", "machine-so-cookie", /gVisor/],
    ] as const
  ).map(([when, door, errno, id, says]) =>
    at(when, { ...debian, tap: refused(door, errno) }, id, "problem", says),
  ),
  at(
    "Linux 6.1 in a container without ptrace",
    {
      ...docker,
      tap: { kind: "works", canConnectLater: true, lacks: [{ door: "ptrace", errno: "EPERM" }] },
    },
    "machine-ptrace",
    "warning",
    /EOPNOTSUPP/,
  ),
  at(
    "Linux 6.1",
    {
      ...debian,
      tap: { kind: "works", canConnectLater: true, lacks: [{ door: "wake-up", errno: "EINVAL" }] },
    },
    "machine-wake-up",
    "note",
    /Linux 6\.6/,
  ),
  at(
    "Linux 5.15",
    {
      ...debian,
      tap: {
        kind: "works",
        canConnectLater: true,
        lacks: [{ door: "wait-killable", errno: "EINVAL" }],
      },
    },
    "machine-wait-killable",
    "note",
    /Linux 5\.19/,
  ),
  at(
    "a machine without the addon",
    { ...debian, tap: { kind: "not-loaded", why: "Cannot find module 'tap.node'" } },
    "machine-tap-missing",
    "problem",
    /npm run build/,
  ),
  at(
    "a probe that was killed",
    { ...debian, tap: { kind: "no-answer", why: "Command failed" } },
    "machine-tap-probe",
    "problem",
    /exec -t TARGET -- true/,
  ),
  at(
    "a kernel without simultaneous opens",
    { ...debian, tap: { kind: "works", canConnectLater: false, lacks: [] } },
    "machine-connect",
    "warning",
    /event loop/,
  ),
  at("Ubuntu 24.04", ubuntu, "machine-ptrace-scope", "ok", /descendants/),
  at("Yama 2", { ...ubuntu, ptraceScope: 2 }, "machine-ptrace-scope", "problem", /ptrace_scope=1/),
  at("Yama 3", { ...ubuntu, ptraceScope: 3 }, "machine-ptrace-scope", "problem", /restart/),
  at(
    "Ubuntu 24.04",
    ubuntu,
    "machine-user-namespaces",
    "note",
    /sudo sysctl kernel\.apparmor_restrict_unprivileged_userns=0/,
  ),
  at(
    "Debian 10's sysctl",
    {
      ...debian,
      userNamespaces: {
        isAllowed: false,
        settings: { "kernel.unprivileged_userns_clone": "0" },
      },
    },
    "machine-user-namespaces",
    "note",
    /sudo sysctl kernel\.unprivileged_userns_clone=1/,
  ),
  at(
    "no user namespace at all",
    {
      ...debian,
      userNamespaces: { isAllowed: false, settings: { "user.max_user_namespaces": "0" } },
    },
    "machine-user-namespaces",
    "note",
    /max_user_namespaces=10000/,
  ),
  at("Docker", docker, "machine-user-namespaces", "note", /seccomp=unconfined/),
  at(
    "unshare is not there",
    { ...debian, userNamespaces: { isAllowed: undefined, settings: {} } },
    "machine-user-namespaces-untried",
    "note",
    /not tried/,
  ),
  at(
    "Docker without unshare",
    { ...docker, userNamespaces: { isAllowed: undefined, settings: {} } },
    "machine-user-namespaces-untried",
    "note",
    /not tried/,
  ),
  at("Docker", docker, "machine-fuse", "note", /--device \/dev\/fuse/),
  at(
    "a kernel without the module",
    { ...debian, mount: noMount, fuse: { device: "ENOENT", helper: "/usr/bin/fusermount3" } },
    "machine-fuse",
    "note",
    /modprobe fuse/,
  ),
  at(
    "/dev/fuse of mode 0600",
    { ...debian, mount: noMount, fuse: { device: "EACCES", helper: "/usr/bin/fusermount3" } },
    "machine-fuse",
    "note",
    /ls -l \/dev\/fuse/,
  ),
  at(
    "no fuse3",
    { ...debian, mount: noMount, fuse: { device: "ok", helper: undefined } },
    "machine-fusermount",
    "note",
    /apt-get install fuse3/,
  ),
  at(
    "docker --security-opt no-new-privileges",
    { ...debian, hasNoNewPrivileges: true },
    "machine-no-new-privileges",
    "note",
    /no-new-privileges/,
  ),
  at("ulimit -n 1024", { ...debian, fileLimit: 1024 }, "machine-file-limit", "warning", /1024/),
  at("Ubuntu's mDNS", ubuntu, "machine-names", "note", /"mdns4_minimal"/),
  at("nscd", { ...debian, hasNscd: true }, "machine-names", "note", /nscd/),
];

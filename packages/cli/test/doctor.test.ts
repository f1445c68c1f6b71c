/** `inpod doctor` as built, on this machine, with doors refused for real. */
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startSandbox } from "@inpod/sandbox";
import type { Finding } from "../src/doctor/finding.ts";
import { type Refused, refusing } from "./refusing.ts";

const DIST = fileURLToPath(new URL("../../../dist", import.meta.url));
const CLI = join(DIST, "cli.js");
const TIMEOUT_MS = 60_000;

const folder = mkdtempSync(join(tmpdir(), "inpod-doctor-"));
chmodSync(folder, 0o755);
after(() => rmSync(folder, { recursive: true, force: true }));

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Without a kubeconfig, unless `env` names one. */
const environment = { PATH: process.env.PATH ?? "", HOME: folder };

function run(argv: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  const [file = "", ...args] = argv;
  return new Promise((resolve) => {
    execFile(
      file,
      args,
      { cwd: folder, env: { ...environment, ...env }, timeout: TIMEOUT_MS },
      (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

/** A target that is always there: this process. */
const HERE = `process/${process.pid}`;
const doctor = (...args: string[]): string[] => [process.execPath, CLI, "doctor", ...args];

interface Json {
  readonly exitCode: number;
  readonly findings: readonly Finding[];
  readonly skipped: Readonly<Record<string, string>>;
  readonly role: string | null;
}

/** Runs `before` and then doctor, and reads what it found. */
async function examine(
  args: readonly string[],
  { before = [], env = {} }: { before?: readonly string[]; env?: Record<string, string> } = {},
): Promise<Json> {
  const { code, stdout, stderr } = await run([...before, ...doctor("-o", "json", ...args)], env);
  assert.equal(stderr, "");
  const json = JSON.parse(stdout) as Json;
  assert.equal(code, json.exitCode, "the exit code is the one in the report");
  return json;
}

function has({ findings }: Json, id: string, level: Finding["level"], says: RegExp): void {
  const finding = findings.find((each) => each.id === id);
  assert.ok(finding, `${id} is not among ${JSON.stringify(findings, null, 2)}`);
  assert.equal(finding.level, level);
  assert.match([finding.what, finding.why, ...finding.hints].join("\n"), says);
}
const problems = ({ findings }: Json): string[] =>
  findings.filter(({ level }) => level === "problem").map(({ id }) => id);

const refuse = (...calls: readonly Refused[]): string[] => [refusing(folder, ...calls)];

test("an open machine: no problem, one line for each group, and 0", async () => {
  const { code, stdout, stderr } = await run(doctor("-t", HERE, "--", "node", "server.js"));
  assert.deepEqual([code, stderr], [0, ""], stdout);
  assert.match(stdout, /^✓ program {2}\S*node$/m);
  assert.match(stdout, /^✓ machine {2}Linux .*; system calls can be watched/m);
  assert.match(stdout, new RegExp(`^✓ target {3}${HERE}$`, "m"));
  assert.match(stdout, /^- cluster {2}not looked at: the target needs no cluster$/m);
});

test("the JSON has the documented shape", async () => {
  const { stdout } = await run(doctor("-t", HERE, "-o", "json"));
  const report = JSON.parse(stdout) as Record<string, unknown>;
  assert.deepEqual(Object.keys(report), [
    ...["shape", "version", "target", "exitCode", "findings", "skipped", "role"],
  ]);
  assert.equal(report.shape, 1);
  assert.equal(report.target, HERE);
  assert.equal(report.role, null);
  for (const finding of report.findings as object[])
    assert.deepEqual(Object.keys(finding), ["id", "group", "level", "what", "why", "hints"]);
});

test("pidfd_getfd refused, as Docker's default profile does", async () => {
  const before = refuse("pidfd_getfd");
  const json = await examine(["-t", HERE], { before });
  has(json, "machine-pidfd-getfd", "problem", /--cap-add SYS_PTRACE/);
  has(json, "machine-no-new-privileges", "note", /setuid/);
  assert.equal(json.exitCode, 6);
});

test("seccomp refused, as gVisor does", async () => {
  const json = await examine(["-t", HERE], {
    before: refuse({ call: "seccomp", errno: "EINVAL" }),
  });
  has(json, "machine-seccomp", "problem", /EINVAL/);
  assert.equal(json.exitCode, 6);
});

test("a child's memory refused", async () => {
  const json = await examine(["-t", HERE], { before: refuse("process_vm_writev") });
  has(json, "machine-process-vm", "problem", /write a child's memory/);
  assert.equal(json.exitCode, 6);
});

test("what has another way is a warning or a note, and no problem", async () => {
  const setFlags = { call: "ioctl", errno: "EINVAL", argument: [1, "0x40082104"] } as const;
  const reusePort = { call: "setsockopt", argument: [2, "SO_REUSEPORT"] } as const;
  const killable = { call: "seccomp", errno: "EINVAL", argument: [1, "0x2c"] } as const;
  const before = refuse("ptrace", setFlags, reusePort, killable);
  const json = await examine(["--machine"], { before });
  has(json, "machine-connect", "warning", /wait here until the agent has answered/);
  has(json, "machine-ptrace", "warning", /EPERM[\s\S]*work in the pod's directories/);
  has(json, "machine-wake-up", "note", /Linux 6\.6[\s\S]*EINVAL/);
  has(json, "machine-wait-killable", "note", /Linux 5\.19[\s\S]*EINVAL[\s\S]*datagram/);
  assert.deepEqual([problems(json), json.exitCode], [[], 0]);
});

test("--machine asks no cluster, and looks at a program all the same", async () => {
  const env = { KUBECONFIG: join(folder, "none") };
  const alone = await examine(["--machine"], { env });
  assert.deepEqual(new Set(alone.findings.map(({ group }) => group)), new Set(["machine"]));
  assert.match(alone.skipped.cluster ?? "", /--machine/);
  const json = await examine(["--machine", "--", "node"], { env });
  assert.ok(json.findings.some(({ group }) => group === "program"));
  assert.equal(json.exitCode, 0);
});

test("trials at the same time leave each other alone", async () => {
  const reports = await Promise.all(Array.from({ length: 6 }, () => examine(["-t", HERE])));
  for (const report of reports) has(report, "machine-tap", "ok", /can be watched/);
});

test("inpod inside inpod: somebody watches already", async () => {
  const sandbox = await startSandbox();
  try {
    const argv = [
      ...[process.execPath, CLI, "exec", "-t", `process/${sandbox.pid}`, "--"],
      ...doctor("-o", "json", "-t", "process/1"),
    ];
    const child = sandbox.inLaptop(argv, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MS);
    await new Promise((resolve) => child.once("close", resolve));
    clearTimeout(timer);
    has(JSON.parse(stdout) as Json, "machine-seccomp-busy", "problem", /EBUSY/);
  } finally {
    await sandbox.stop();
  }
});

test("user namespaces refused: the setting is named", async () => {
  // The limit of a namespace of our own is the only one that a test may change.
  const script =
    'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --ambient-caps=-all "$@"';
  const asNobody = ["--user", "--map-user=12345", "--map-group=12345", "--keep-caps"];
  const before = ["unshare", ...asNobody, "sh", "-c", script, "sh"];
  const json = await examine(["-t", "process/1"], { before });
  has(json, "machine-user-namespaces", "note", /sudo sysctl user\.max_user_namespaces=10000/);
});

test("no /dev/fuse, as in a container", async () => {
  const devices = join(folder, "dev");
  mkdirSync(devices);
  const script = `mount -t tmpfs none ${devices} && for name in null urandom; do
      : >${devices}/$name; mount --bind /dev/$name ${devices}/$name; done
    mount --rbind ${devices} /dev && exec "$@"`;
  const before = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"];
  const json = await examine(["-t", HERE], { before });
  has(json, "machine-fuse", "note", /no usable \/dev\/fuse \(ENOENT\)/);
});

test("few open files", async () => {
  const json = await examine(["-t", HERE], {
    before: ["sh", "-c", 'ulimit -n 1024; exec "$@"', "sh"],
  });
  has(json, "machine-file-limit", "warning", /1024/);
});

test("without the tap's .node file doctor runs, and says so", async () => {
  const copy = join(folder, "dist");
  mkdirSync(copy);
  for (const name of readdirSync(DIST))
    if (name.endsWith(".js")) copyFileSync(join(DIST, name), join(copy, name));
  const argv = [process.execPath, join(copy, "cli.js"), "doctor", "-o", "json"];
  const { stdout, code } = await run(argv);
  const json = JSON.parse(stdout) as Json;
  has(json, "machine-tap-missing", "problem", /npm run build/);
  has(json, "cluster-kubeconfig-not-found", "problem", /--kubeconfig FILE/);
  assert.equal(code, 6, "the machine comes before the cluster");
});

test("on macOS and Windows, without any native file: the cluster part works, and exec's ways are told", async () => {
  const copy = join(folder, "portable");
  mkdirSync(copy);
  for (const name of readdirSync(DIST))
    if (name.endsWith(".js")) copyFileSync(join(DIST, name), join(copy, name));
  for (const [platform, says] of [
    ["darwin", /limactl/],
    ["win32", /wsl --install/],
  ] as const) {
    // Only the name that Node gives the machine is another's: no file of another system is here.
    const pretend = `data:text/javascript,Object.defineProperty(process,"platform",{value:"${platform}"})`;
    const argv = [process.execPath, "--import", pretend, join(copy, "cli.js"), "doctor"];
    const { stdout, code } = await run([...argv, "-o", "json", "--", "node"]);
    const json = JSON.parse(stdout) as Json;
    has(json, "machine-not-linux", "problem", says);
    has(json, "cluster-kubeconfig-not-found", "problem", /kubeconfig/);
    assert.equal(json.skipped.program, "it runs where Linux is");
    assert.equal(code, 6);
    const looking = JSON.parse((await run([...argv, "-o", "json"])).stdout) as Json;
    has(looking, "machine-not-linux", "note", says);
    assert.equal(looking.exitCode, 4, "who looks at the cluster is told about the cluster");
  }
});

test("no kubeconfig: a problem of the cluster, and what depends on it is not looked at", async () => {
  const json = await examine([]);
  has(json, "cluster-kubeconfig-not-found", "problem", /no kubeconfig/);
  assert.deepEqual(Object.keys(json.skipped).sort(), ["agent", "program", "rights", "target"]);
  assert.equal(json.exitCode, 4);
});

test("an API server that is not there, and a context that is not", async () => {
  const kubeconfig = join(folder, "kubeconfig");
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      ...{ apiVersion: "v1", kind: "Config", "current-context": "here" },
      clusters: [{ name: "here", cluster: { server: "https://127.0.0.1:1" } }],
      contexts: [{ name: "here", context: { cluster: "here" } }],
    }),
  );
  const env = { KUBECONFIG: kubeconfig };
  const away = await examine(["-t", "pod/a"], { env });
  has(away, "cluster-api-server-unreachable", "problem", /ECONNREFUSED/);
  assert.equal(away.exitCode, 4);
  const wrong = await examine(["--context", "there"], { env });
  has(wrong, "cluster-context-not-found", "problem", /"there"/);
  assert.equal(wrong.exitCode, 4);
});

test("--print-role needs no cluster, and takes the namespace of the kubeconfig", async () => {
  const kubeconfig = join(folder, "namespaced");
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      ...{ apiVersion: "v1", kind: "Config", "current-context": "here" },
      clusters: [{ name: "here", cluster: { server: "https://127.0.0.1:1" } }],
      contexts: [{ name: "here", context: { cluster: "here", namespace: "shop" } }],
    }),
  );
  const { code, stdout } = await run(doctor("--print-role"), { KUBECONFIG: kubeconfig });
  assert.equal(code, 0);
  assert.match(stdout, /^kind: Role$/m);
  assert.match(stdout, /namespace: shop/);
});

test("--print-policy needs nothing at all", async () => {
  const { code, stdout } = await run(doctor("--print-policy"));
  assert.equal(code, 0);
  assert.match(stdout, /^kind: ValidatingAdmissionPolicy$/m);
  assert.match(stdout, /^kind: ValidatingAdmissionPolicyBinding$/m);
});

test("targets of this machine: one that has ended, one that is somebody else's", async (t) => {
  // No process has this number: it is above the kernel's PID_MAX_LIMIT of 2^22.
  const ended = await examine(["-t", "process/4194305"]);
  has(ended, "target-process-not-found", "problem", /4194305/);
  assert.equal(ended.exitCode, 3);
  const before =
    process.getuid?.() === 0
      ? ["setpriv", "--reuid=12345", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
      : [];
  const closed = await run([...before, ...doctor("-o", "json", "-t", "process/1")]);
  if (/EACCES|Cannot find module/.test(closed.stderr))
    return t.skip("needs a checkout that others than root can read");
  has(JSON.parse(closed.stdout) as Json, "target-process-closed", "problem", /EACCES|EPERM/);
});

test("nothing on PATH: no engine of the target's, no fusermount3, no unshare to try user namespaces with", async () => {
  const env = { PATH: join(folder, "nothing") };
  const report = await examine(["-t", "nerdctl/web"], { env });
  has(report, "target-engine-not-found", "problem", /nerdctl is not on this machine/);
  has(report, "machine-user-namespaces-untried", "note", /unshare is not there/);
  assert.equal(report.exitCode, 3);
});

test("programs: each that exec would refuse or not see", async () => {
  const missing = await examine(["-t", HERE, "--", "nodde"]);
  has(missing, "program-not-found", "problem", /not in any directory of PATH/);
  assert.equal(missing.exitCode, 127);

  const script = join(folder, "script");
  writeFileSync(script, "#!/no/such/interpreter\n");
  chmodSync(script, 0o755);
  const unstartable = await examine(["-t", HERE, "--", script]);
  has(unstartable, "program-not-executable", "problem", /\/no\/such\/interpreter is missing/);
  assert.equal(unstartable.exitCode, 126);

  const source = join(folder, "program.c");
  writeFileSync(source, "int main(void) { return 0; }\n");
  const foreign = join(folder, "foreign");
  execFileSync("cc", ["-o", foreign, source, "-Wl,--dynamic-linker=/lib/ld-musl-none.so.1"]);
  const musl = await examine(["-t", HERE, "--", foreign]);
  has(musl, "program-loader-missing", "problem", /ld-musl-none\.so\.1.*Alpine/s);
  assert.equal(musl.exitCode, 126);

  // ELFCLASS32 in e_ident: what the kernel goes by. (As much of a header as is read.)
  const elf32 = Buffer.alloc(52);
  elf32.write("\x7fELF\x01\x01\x01", "latin1");
  elf32.writeUInt16LE(3, 18);
  const old = join(folder, "old");
  writeFileSync(old, elf32, { mode: 0o755 });
  has(
    await examine(["-t", HERE, "--", old]),
    "program-32-bit",
    process.arch === "x64" ? "note" : "problem",
    /32-bit/,
  );

  const setuid = join(folder, "setuid");
  copyFileSync(foreign, setuid);
  execFileSync("cc", ["-static", "-o", setuid, source]);
  chmodSync(setuid, 0o4755);
  const raised = await examine(["-t", HERE, "--", setuid], {
    before: ["setpriv", "--no-new-privs"],
  });
  has(raised, "program-setuid", "warning", /own rights/);
  const free = await examine(["-t", HERE, "--", setuid]);
  const keepsThem = process.getuid?.() === 0;
  assert.equal(
    free.findings.some(({ id }) => id === "program-setuid"),
    !keepsThem,
    "root's filter takes no rights",
  );
  has(raised, "program-found", "ok", /statically linked/);
  assert.deepEqual(problems(raised), []);
});

test("wrong usage and configuration end with 2, before anything is looked at", async () => {
  assert.equal((await run(doctor("-o", "xml"))).code, 2);
  assert.equal((await run(doctor("-t", "pod"))).code, 2);
  const config = join(folder, "wrong.json");
  writeFileSync(config, '{"agent": {"imagge": "x"}}');
  const { code, stderr } = await run(doctor("-f", config));
  assert.equal(code, 2);
  assert.match(stderr, /imagge/);
});

test("--help has the exit codes and does not show what is for inpod itself", async () => {
  const { code, stdout } = await run(doctor("--help"));
  assert.equal(code, 0);
  for (const each of [/ {4}7 {2}rights are missing/, / {2}126 {2}/, / {4}6 {2}this machine/])
    assert.match(stdout, each);
  assert.doesNotMatch(stdout, /probe-tap/);
});

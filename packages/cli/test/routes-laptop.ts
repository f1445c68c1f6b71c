/**
 * A laptop in which routes and DNS can be changed: a network namespace with a network of its own beside loopback, and a mount
 * namespace with an /etc and a /var/lib of its own.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const PROGRAM = fileURLToPath(new URL("routes-laptop.mjs", import.meta.url));
const CLIENT = fileURLToPath(new URL("routes-client.mjs", import.meta.url));
const TOOL_TIMEOUT_MS = 60_000;

export interface LaptopOptions {
  /** What runs a program in the laptop's network, with its arguments. */
  readonly network: (argv: readonly string[]) => ChildProcess;
  /** A unix socket that leads to an API server: on 127.0.0.1:6443 of the laptop. */
  readonly way?: string;
  /** In a shell, before anything else: of /etc, or of the network. */
  readonly setUp?: string;
}

export class Laptop {
  readonly #child: ChildProcess;
  /** What enters the laptop, before a program's words. */
  readonly enter: readonly string[];

  private constructor(child: ChildProcess, pid: string) {
    this.#child = child;
    this.enter = ["nsenter", "--target", pid, "--net", "--mount", "--"];
  }

  static async start({ network, way, setUp = ":" }: LaptopOptions): Promise<Laptop> {
    const script = `set -e
mount --make-rprivate /
folder=$(mktemp -d)
mount -t tmpfs inpod-test "$folder"
mkdir "$folder/etc" "$folder/lib"
cp -a /etc/. "$folder/etc"
rm -f "$folder/etc/resolv.conf"
printf 'nameserver 127.0.0.77\\nsearch corp.example\\noptions timeout:2\\n' >"$folder/etc/resolv.conf"
printf 'hosts: files dns\\n' >"$folder/etc/nsswitch.conf"
mount --bind "$folder/etc" /etc
mount --bind "$folder/lib" /var/lib
umount "$folder"
rmdir "$folder"
ip link set lo up
ip link add office type veth peer name wall
ip link set office addrgenmode none
ip link set wall addrgenmode none up
ip addr add 192.0.2.20/24 dev office
ip link set office up
${setUp}
exec "$0" "$@"`;
    const child = network([
      "unshare",
      "--mount",
      "sh",
      "-c",
      script,
      process.execPath,
      PROGRAM,
      ...(way === undefined ? [] : [way]),
    ]);
    child.stderr?.pipe(process.stderr);
    assert.ok(child.stdout);
    let said = "";
    for await (const bytes of child.stdout) {
      said += bytes;
      if (said.includes("\n")) break;
    }
    assert.match(said, /^\d+\n/, "the laptop did not start");
    return new Laptop(child, said.trim());
  }

  start(argv: readonly string[], env = process.env): ChildProcess {
    const [program = "", ...args] = [...this.enter, ...argv];
    return spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  }

  /** Its output. Rejects with what it said when it fails. */
  run(...argv: readonly string[]): Promise<string> {
    return this.with(process.env, argv);
  }

  /** The same, with variables. */
  async with(env: NodeJS.ProcessEnv, argv: readonly string[]): Promise<string> {
    const [program = "", ...args] = [...this.enter, ...argv];
    const { stdout } = await promisify(execFile)(program, args, { env, timeout: TOOL_TIMEOUT_MS });
    return stdout;
  }

  /** A shell's. */
  sh(script: string): Promise<string> {
    return this.run("sh", "-c", script);
  }

  /** Everything that a session may change, as text. */
  state(): Promise<string> {
    return this.sh(`
ip -d link; ip addr; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all
nft list ruleset; ls -l /etc/resolv.conf* | sed 's/ [A-Z][a-z]* [ 0-9]* [0-9:]* / /'; cat /etc/resolv.conf; ls -A /var/lib`);
  }

  /** What programs of the laptop meet: each of "lookup NAME", "tcp HOST PORT", "udp HOST PORT", "http URL", all at once. */
  async meets(...acts: readonly string[]): Promise<readonly string[]> {
    const words = acts.map((act) => act.split(" "));
    return JSON.parse(await this.run(process.execPath, CLIENT, JSON.stringify(words)));
  }

  async stop(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return; // with its sandbox
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}

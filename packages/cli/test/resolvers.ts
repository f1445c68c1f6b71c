/**
 * The name resolvers of users' machines, as the real programs beside the real inpod: those of this machine, or what
 * scripts/prepare.sh has unpacked. They run in the laptop's namespaces and have no right of a service manager.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Run, until } from "./exec-support.ts";
import type { Laptop } from "./routes-laptop.ts";

const UNPACKED = fileURLToPath(new URL("../../../.cache/resolvers", import.meta.url));
const FOLDERS = ["usr/bin", "bin", "usr/sbin", "sbin", "usr/lib/systemd", "lib/systemd"];
/** They live as long as a file's tests. */
const DAEMON_MS = 170_000;

const LIBRARIES = ["usr/lib", "lib"].flatMap((folder) =>
  ["x86_64-linux-gnu", "aarch64-linux-gnu"].flatMap((machine) =>
    ["", "systemd"].map((last) => join(UNPACKED, folder, machine, last)),
  ),
);

/** With which its programs, and inpod, find the others. */
export const ENVIRONMENT: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: [process.env.PATH, ...FOLDERS.map((folder) => join(UNPACKED, folder))].join(":"),
  LD_LIBRARY_PATH: LIBRARIES.filter((folder) => existsSync(folder)).join(":"),
};

/** Its path. Undefined: it is not here. */
export const resolver = (program: string): string | undefined =>
  [UNPACKED, "/"]
    .flatMap((root) => FOLDERS.map((folder) => join(root, folder, program)))
    .find((path) => existsSync(path));

/** What a test is skipped for. */
export const missing = (...programs: readonly string[]): string | undefined => {
  const none = programs.filter((program) => resolver(program) === undefined);
  return none.length === 0 ? undefined : `needs ${none.join(", ")}: sh scripts/prepare.sh tests`;
};

/** A program that is ended with all that it has started, and with us. */
export class Daemon {
  readonly run: Run;

  constructor(run: Run) {
    this.run = run;
  }

  /** @param through what runs it in other namespaces than the laptop's */
  static start(laptop: Laptop, argv: readonly string[], through: readonly string[] = []): Daemon {
    // Who changes his user loses the signal of his parent's death: the pid namespace ends with its first process.
    const held = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", '"$@" & wait', "sh"];
    const words = ["setpriv", "--pdeathsig", "KILL", ...through, ...held, ...argv];
    return new Daemon(new Run(laptop.start(words, ENVIRONMENT), DAEMON_MS));
  }

  async stop(): Promise<void> {
    this.run.child.kill("SIGKILL");
    await this.run.ended;
  }
}

const BUS = `<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen>
<auth>EXTERNAL</auth><policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/></policy></busconfig>`;

/** In a laptop's setUp: a /run of its own, and whom its daemons are. */
export const OWN_RUN = `mount -t tmpfs run /run
mkdir -p /run/dbus /run/systemd/resolve /run/lock
grep -q ^systemd-resolve: /etc/passwd || {
  echo systemd-resolve:x:991:991::/:/usr/sbin/nologin >>/etc/passwd
  echo systemd-resolve:x:991: >>/etc/group
}
chown systemd-resolve: /run/systemd/resolve
printf '%s' '${BUS.replaceAll("\n", " ")}' >/etc/test-bus.conf`;

/** systemd-resolved and the bus by which it is spoken to. */
export class Resolved {
  readonly #laptop: Laptop;
  readonly #bus: Daemon;
  #daemon: Daemon | undefined;

  private constructor(laptop: Laptop, bus: Daemon) {
    this.#laptop = laptop;
    this.#bus = bus;
  }

  static async start(laptop: Laptop): Promise<Resolved> {
    const words = [
      "--nofork",
      "--nopidfile",
      "--print-address",
      "--config-file=/etc/test-bus.conf",
    ];
    const bus = Daemon.start(laptop, [resolver("dbus-daemon") ?? "", ...words]);
    await bus.run.said("unix:");
    const resolved = new Resolved(laptop, bus);
    await resolved.begin();
    return resolved;
  }

  async begin(): Promise<void> {
    this.#daemon = Daemon.start(this.#laptop, [resolver("systemd-resolved") ?? ""]);
    await until("systemd-resolved answers", async () => {
      try {
        return (await this.status()) !== "";
      } catch {
        return false;
      }
    });
  }

  /** As by SIGKILL. */
  async end(): Promise<void> {
    await this.#daemon?.stop();
    this.#daemon = undefined;
  }

  ctl(...words: readonly string[]): Promise<string> {
    return this.#laptop.with(ENVIRONMENT, [resolver("resolvectl") ?? "", ...words]);
  }

  status(): Promise<string> {
    return this.ctl("--no-pager", "status");
  }

  async stop(): Promise<void> {
    await this.end();
    await this.#bus.stop();
  }
}

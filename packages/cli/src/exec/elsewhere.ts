/**
 * Programs of the tree that have their work done outside of it: by a daemon that runs already, or by an engine. What those
 * start is not in the target's place, and nothing but a line can be done about it.
 */
import { basename } from "node:path";
import { hasMark, type Notice } from "@inpod/layer";
import { commandLineOf, daemonAskedBy, KNOWN_DAEMONS, runningDaemons } from "../daemons.ts";

/** Of these a command line is looked at: a script's interpreter says nothing by its name. */
const INTERPRETERS = /^(java|node|python[\d.]*)$/;
/** And what they start processes by. */
const ENGINES: Readonly<Record<string, string>> = {
  docker: "Docker's daemon",
  "docker-compose": "Docker's daemon",
  nerdctl: "containerd",
  "systemd-run": "systemd",
};
const STARTS = / (run|start|up|exec|create|restart)( |$)/;

export class Elsewhere {
  readonly #mark: string;
  readonly #notice: (notice: Notice) => void;
  readonly #asked = new Set<string>();

  constructor(sessionId: string, notice: (notice: Notice) => void) {
    this.#mark = `INPOD_SESSION=${sessionId}`;
    this.#notice = notice;
  }

  /** A program of the tree that has just begun. */
  program(pid: number, executable: string): void {
    const name = basename(executable);
    const isEngine = Object.hasOwn(ENGINES, name);
    const isClient = daemonAskedBy(name, "") !== undefined;
    if (!isEngine && !isClient && !INTERPRETERS.test(name)) return;
    const line = commandLineOf(pid);
    if (isEngine) {
      const isStart = name === "systemd-run" || STARTS.test(line);
      if (isStart) this.#tell(name, `what ${name} starts is started by ${ENGINES[name]}`, "");
      return;
    }
    const kind = daemonAskedBy(name, line);
    const known = kind === undefined ? undefined : KNOWN_DAEMONS[kind];
    if (kind === undefined || !known || this.#asked.has(kind)) return;
    this.#asked.add(kind);
    const running = runningDaemons().filter(
      (each) => each.name === kind && each.pid !== pid && !hasMark(each.pid, this.#mark),
    );
    if (running.length === 0) return;
    const pids = running.map((each) => each.pid).join(", ");
    this.#tell(
      kind,
      `${known.who} runs already (process ${pids}), and what it does for your command is done there`,
      `. ${known.hint}`,
    );
  }

  #tell(key: string, what: string, hint: string): void {
    const text = `${what}: outside of inpod, so not in the target's place${hint}`;
    this.#notice({ key: `elsewhere ${key}`, text });
  }
}

/** A program on a terminal of its own, with somebody at the keyboard. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Sandbox } from "@inpod/sandbox";
import { Run } from "./exec-support.ts";

/** Node has no pseudo-terminals. SIGUSR1: the window is 40 lines of 100 columns; end of input: it is closed. */
const TERMINAL = `
import fcntl, os, pty, select, signal, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
def resize(*_):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
signal.signal(signal.SIGUSR1, resize)
sources = [0, terminal]
while terminal in sources:
    for source in select.select(sources, [], [])[0]:
        try:
            data = os.read(source, 65536)
        except OSError: # EIO: nobody has it open any more
            data = b""
        if not data:
            sources.remove(source)
            if source == 0:
                os.close(terminal)
                sources.remove(terminal)
            break
        elif source == 0: os.write(terminal, data)
        else: os.write(1, data)
status = os.waitpid(pid, 0)[1]
os.write(2, f"ended {os.waitstatus_to_exitcode(status)}\\n".encode())
`;

const folder = mkdtempSync(join(tmpdir(), "inpod-terminal-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const helper = join(folder, "terminal.py");
writeFileSync(helper, TERMINAL);

export const KEYS = {
  interrupt: "\x03",
  endOfInput: "\x04",
  quit: "\x1c",
  suspend: "\x1a",
} as const;

const open = new Set<Terminal>();

/** For afterEach: closes what a failed test has left open. */
export async function endTerminals(): Promise<void> {
  for (const terminal of open) {
    terminal.hangUp();
    await terminal.run.ended;
  }
}

export class Terminal {
  readonly run: Run;

  private constructor(run: Run) {
    this.run = run;
    open.add(this);
    void run.ended.finally(() => open.delete(this)).catch(() => {});
  }

  static open(sandbox: Sandbox, argv: readonly string[]): Terminal {
    const command = ["python3", helper, ...argv];
    const { PATH, HOME = "/" } = process.env;
    return new Terminal(
      new Run(
        sandbox.inLaptop(command, {
          cwd: tmpdir(),
          env: { PATH, HOME, TERM: "dumb", PS1: "$ ", LANG: "C.UTF-8" },
          stdio: ["pipe", "pipe", "pipe"],
          detached: true,
        }),
      ),
    );
  }

  type(text: string): void {
    this.run.child.stdin?.write(text);
  }

  /** Whole lines that the terminal shows. */
  lines(): string[] {
    return this.run.stdout.split(/\r?\n/);
  }

  async shows(what: string | RegExp): Promise<void> {
    await this.run.said(what);
  }

  /** The next thing it shows, after all that it has shown. */
  async answers(typed: string, what: RegExp): Promise<void> {
    const from = this.run.stdout.length;
    this.type(typed);
    await this.run.said(new RegExp(`^[\\s\\S]{${from}}[\\s\\S]*(?:${what.source})`));
  }

  resize(): void {
    this.run.child.kill("SIGUSR1");
  }

  /** As who closes the window. */
  hangUp(): void {
    this.run.child.stdin?.end();
  }
}

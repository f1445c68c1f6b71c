/**
 * A login program of a kubeconfig (`users[].user.exec`): asked for a token or a certificate, which are kept
 * until they expire. The contract is client-go's: kubernetes.io/docs/reference/access-authn-authz/authentication,
 * "client-go credential plugins". Not @kubernetes/client-node's: it asks the program again for each request
 * where no expiry is given, several times at once, never with a terminal, and fails without a reason.
 */
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { UserError } from "@inpod/protocol";

/** As the kubeconfig has it. */
export interface LoginProgram {
  readonly command?: string;
  readonly args?: readonly string[] | null;
  readonly env?: ReadonlyArray<{ readonly name: string; readonly value: string }> | null;
  readonly apiVersion?: string;
  readonly interactiveMode?: "Never" | "IfAvailable" | "Always";
  readonly installHint?: string;
  readonly provideClusterInfo?: boolean;
}

export interface LoginContext {
  readonly user: string;
  /** A command with a slash in it is looked up from the folder of its kubeconfig. */
  readonly kubeconfig: string;
  /** For programs that ask for it; in the ExecCredential's own words. */
  readonly cluster: Readonly<Record<string, unknown>>;
  /** Asked just before a program starts that wants to speak with the user: is there a terminal for it? */
  readonly takeTerminal: () => boolean;
}

/** What a program gave. Secret. */
export interface Login {
  readonly token: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** One that refreshes a token over the network takes a second or two; one with a user and a browser, minutes. */
const TIMEOUT_MS = 60_000;
const INTERACTIVE_TIMEOUT_MS = 600_000;
const MAX_OUTPUT = 1024 * 1024;
const MAX_WORDS = 2048;
const DEFAULT_VERSION = "client.authentication.k8s.io/v1";

interface Run {
  readonly answer: Promise<Login>;
  readonly stop: () => void;
  /** How many wait for it. */
  waiting: number;
}

export class LoginRun {
  readonly #program: LoginProgram;
  readonly #context: LoginContext;
  #known: { readonly login: Login; readonly expiresAtMs: number } | undefined;
  #running: Run | undefined;

  constructor(program: LoginProgram, context: LoginContext) {
    this.#program = program;
    this.#context = context;
  }

  /**
   * What was given last while it is valid, else what the program says now; whoever asks while it runs gets the
   * same answer. When nobody waits any more it is ended.
   *
   * @throws UserError LOGIN_FAILED, the signal's reason
   */
  async login(signal: AbortSignal | undefined): Promise<Login> {
    signal?.throwIfAborted();
    if (this.#known !== undefined && Date.now() < this.#known.expiresAtMs) return this.#known.login;
    const run = this.#running ?? this.#start();
    this.#running = run;
    run.waiting++;
    let give: () => void = () => {};
    const aborted = new Promise<never>((_, reject) => {
      give = () => reject(signal?.reason);
      signal?.addEventListener("abort", give);
    });
    try {
      return await Promise.race([run.answer, aborted]);
    } finally {
      signal?.removeEventListener("abort", give);
      run.waiting--;
      if (run.waiting === 0) run.stop();
    }
  }

  /** After the API server refused what was given. False: nothing was, so asking again gives nothing new. */
  forget(): boolean {
    const had = this.#known !== undefined;
    this.#known = undefined;
    return had;
  }

  #start(): Run {
    const stopping = new AbortController();
    const answer = this.#run(stopping.signal).finally(() => {
      this.#running = undefined;
    });
    // Those who asked may have gone.
    answer.catch(() => {});
    return { answer, stop: () => stopping.abort(), waiting: 0 };
  }

  async #run(signal: AbortSignal): Promise<Login> {
    const { apiVersion = DEFAULT_VERSION, interactiveMode = "IfAvailable" } = this.#program;
    const isInteractive = interactiveMode !== "Never" && this.#context.takeTerminal();
    if (interactiveMode === "Always" && !isInteractive)
      throw this.#failed(new Error("it asks its user, and there is no terminal for it"));
    const { login, expiresAtMs } = this.#read(
      await this.#output(apiVersion, isInteractive, signal),
      apiVersion,
    );
    this.#known = { login, expiresAtMs };
    return login;
  }

  /** Its stdout. */
  #output(apiVersion: string, isInteractive: boolean, signal: AbortSignal): Promise<string> {
    const { command = "", args, env, provideClusterInfo } = this.#program;
    const { kubeconfig, cluster } = this.#context;
    const info = {
      apiVersion,
      kind: "ExecCredential",
      spec: { interactive: isInteractive, ...(provideClusterInfo ? { cluster } : {}) },
    };
    const path =
      command.includes("/") && !command.startsWith("/")
        ? join(dirname(kubeconfig), command)
        : command;
    const child = spawn(path, args ?? [], {
      // On a terminal the program speaks with its user itself: a code to type, a page to open.
      stdio: isInteractive ? ["inherit", "pipe", "inherit"] : ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        ...Object.fromEntries((env ?? []).map(({ name, value }) => [name, value])),
        KUBERNETES_EXEC_INFO: JSON.stringify(info),
      },
    });
    return new Promise((resolve, reject) => {
      let output = "";
      let words = "";
      const limitMs = isInteractive ? INTERACTIVE_TIMEOUT_MS : TIMEOUT_MS;
      const end = (error: Error): void => {
        child.kill("SIGKILL");
        // What it started may still hold the pipes.
        child.stdout?.destroy();
        child.stderr?.destroy();
        reject(this.#failed(error));
      };
      const timer = setTimeout(
        () => end(new Error(`no answer within ${limitMs / 1000} s`)),
        limitMs,
      );
      const stop = (): void => end(new Error("nobody waits for it any more"));
      signal.addEventListener("abort", stop);
      child.stdout?.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        if (output.length > MAX_OUTPUT) end(new Error("its answer has no end"));
      });
      child.stderr?.setEncoding("utf8").on("data", (text: string) => {
        words = (words + text).slice(-MAX_WORDS);
      });
      child.once("error", (error) => reject(this.#failed(error)));
      child.once("close", (code, killedBy) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", stop);
        if (code === 0) resolve(output);
        else
          reject(
            this.#failed(new Error(words.trim() || `it ended with ${killedBy ?? `code ${code}`}`)),
          );
      });
    });
  }

  /** Never puts any of the output into an error: it is secret. */
  #read(output: string, apiVersion: string): { login: Login; expiresAtMs: number } {
    let answer: Record<string, unknown>;
    try {
      answer = Object(JSON.parse(output));
    } catch {
      throw this.#failed(new Error("its answer is no JSON"));
    }
    if (answer.kind !== "ExecCredential")
      throw this.#failed(new Error("its answer is no ExecCredential"));
    if (answer.apiVersion !== apiVersion)
      throw this.#failed(
        new Error(`it answers in ${String(answer.apiVersion)}, the kubeconfig says ${apiVersion}`),
      );
    const { token, clientCertificateData, clientKeyData, expirationTimestamp } = Object(
      answer.status,
    ) as Record<string, unknown>;
    const text = (value: unknown): string | undefined =>
      typeof value === "string" && value !== "" ? value : undefined;
    const login = {
      token: text(token),
      cert: text(clientCertificateData),
      key: text(clientKeyData),
    };
    if (login.token === undefined && (login.cert === undefined || login.key === undefined))
      throw this.#failed(
        new Error("its answer has neither a token nor a certificate with its key"),
      );
    const expiry = text(expirationTimestamp);
    const expiresAtMs = expiry === undefined ? Number.POSITIVE_INFINITY : Date.parse(expiry);
    if (Number.isNaN(expiresAtMs))
      throw this.#failed(new Error("its answer has an expirationTimestamp that is no time"));
    return { login, expiresAtMs };
  }

  #failed(cause: Error): UserError {
    const { command = "", args, installHint } = this.#program;
    const isMissing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    const line = [command, ...(args ?? [])].join(" ");
    return new UserError(
      "LOGIN_FAILED",
      isMissing
        ? `the login program "${command}" of user "${this.#context.user}" is not on this machine`
        : `cannot log in to the cluster as "${this.#context.user}" by its login program`,
      {
        hints: [
          ...(isMissing && installHint ? [installHint.trim()] : []),
          ...(isMissing ? [] : [`see what the login program says: ${line}`]),
          "see whether kubectl can: kubectl auth whoami",
        ],
        cause,
      },
    );
  }
}

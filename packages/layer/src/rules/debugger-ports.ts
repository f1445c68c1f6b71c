/**
 * Ports on which a debugger waits for the developer, read off a program's command line and
 * environment. They stay on this machine: an IDE attaches to 127.0.0.1, and a debugger that
 * the cluster can reach is a shell for everybody in it.
 */
import type { ByteString } from "@inpod/protocol";

/** Node's inspector (nodejs.org/api/cli.html#--inspecthostport); Deno has the same. */
const NODE_DEFAULT_PORT = 9229;
/** bun.sh/docs/runtime/debugger */
const BUN_DEFAULT_PORT = 6499;

/** JVMs make up a port when an `address` has none; debugpy has this. */
const DEBUGPY_DEFAULT_PORT = 5678;

/** Bytes of command line or variable that are searched; what is longer names no debugger. */
const MAX_TEXT = 64 * 1024;

/**
 * @param argv of one process, argv[0] first
 * @param env  of the same process. Looked at by name; values are never shown.
 * @param executable of the same process, if it is known: Node opens its inspector at SIGUSR1 without any argument
 * @returns each port once, in ascending order
 */
export function debuggerPorts(
  argv: readonly ByteString[],
  env: Readonly<Record<string, ByteString | undefined>>,
  executable: string = argv[0] ?? "",
): number[] {
  const args = argv.slice(0, 4096).map((arg) => arg.slice(0, MAX_TEXT));
  const found = [
    ...nodePorts(args, executable),
    ...nodePorts(words(env.NODE_OPTIONS), executable),
    ...signalledPorts(args, executable),
    ...jdwpPorts(args),
    ...["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "JAVA_OPTS"].flatMap((name) =>
      jdwpPorts(words(env[name])),
    ),
    ...debugpyPorts(args),
    ...delvePorts(args),
    // PyCharm's debugger: the port is the IDE's, but a subprocess listens on it in server mode.
    ...pydevdPorts(args),
    ...portOf(env.PYDEVD_PORT),
    ...portOf(env.DEBUGPY_PORT),
    // rdbg (Ruby), read by its own name.
    ...portOf(env.RUBY_DEBUG_PORT),
  ];
  return [...new Set(found)].sort((a, b) => a - b);
}

const words = (text: ByteString | undefined): string[] =>
  (text ?? "")
    .slice(0, MAX_TEXT)
    .split(/\s+/)
    .map((word) => word.replace(/^["']|["']$/g, ""))
    .filter((word) => word !== "");

/** The port of `9229`, `127.0.0.1:9229`, `[::1]:9229`, `*:5005`, `:2345`. */
function portOf(address: string | undefined): number[] {
  const digits = /(?:^|:)(\d{1,5})$/.exec(address ?? "")?.[1];
  const port = Number(digits ?? 0);
  return port >= 1 && port <= 65_535 ? [port] : [];
}

/** `--inspect`, `--inspect-brk`, `--inspect-wait`, `--inspect-port`; the value after "=" only, as Node has it. */
function nodePorts(args: readonly string[], executable: string): number[] {
  const defaultPort = /(?:^|\/)bun$/.test(executable) ? BUN_DEFAULT_PORT : NODE_DEFAULT_PORT;
  return args.flatMap((arg) => {
    const found = /^--inspect(-brk|-wait|-port|-brk-node)?(?:=(.*))?$/.exec(arg);
    if (found === null) return [];
    const [, kind, address] = found;
    // `--inspect-port=0` asks for any port, and a host alone means the default one.
    if (/(?:^|:)0+$/.test(address ?? "")) return [];
    const ports = portOf(address);
    if (ports.length > 0) return ports;
    return kind === "-port" && address === undefined ? [] : [defaultPort];
  });
}

/** SIGUSR1 opens Node's inspector on 127.0.0.1, at `--inspect-port` or its default. */
function signalledPorts(args: readonly string[], executable: string): number[] {
  if (!/(?:^|\/)node(?:js)?$/.test(executable)) return [];
  return args.some((arg) => /^--inspect(?:[-=]|$)/.test(arg)) ? [] : [NODE_DEFAULT_PORT];
}

/** `-agentlib:jdwp=…,address=*:5005`, and its old form `-Xrunjdwp:…`. */
function jdwpPorts(args: readonly string[]): number[] {
  return args.flatMap((arg) => {
    const options = /^-(?:agentlib:jdwp=|Xrunjdwp:)(.*)$/.exec(arg)?.[1]?.split(",") ?? [];
    return options.flatMap((option) =>
      option.startsWith("address=") ? portOf(option.slice("address=".length)) : [],
    );
  });
}

/**
 * `python -m debugpy --listen [host:]port` (or `--connect`), `python -m debugpy.adapter --port`, and what VS Code starts:
 * `python …/debugpy/launcher PORT -- app.py`, which connects to its adapter.
 */
function debugpyPorts(args: readonly string[]): number[] {
  const launcher = args.findIndex((arg) => /(?:^|\/)debugpy\/launcher\/?$/.test(arg));
  if (launcher !== -1) return portOf(args[launcher + 1]);
  if (!args.some((arg) => /(?:^|\/)debugpy(?:\.adapter|\/adapter)?\/?$/.test(arg))) return [];
  const value = optionValue(args, "--listen") ?? optionValue(args, "--connect");
  const ports = portOf(value ?? optionValue(args, "--port"));
  return value !== undefined && ports.length === 0 ? [DEBUGPY_DEFAULT_PORT] : ports;
}

/** `dlv … --listen=:2345`, `-l host:port`. Without it a headless delve takes a random port, a `dap` one too. */
function delvePorts(args: readonly string[]): number[] {
  if (!/(?:^|\/)dlv(?:-dap)?$/.test(args[0] ?? "")) return [];
  const end = args.indexOf("--");
  const own = end === -1 ? args : args.slice(0, end);
  // `dlv dap --client-addr`: VS Code listens, and delve connects to it.
  const value =
    optionValue(own, "--listen") ?? optionValue(own, "-l") ?? optionValue(own, "--client-addr");
  return portOf(value);
}

/** `python pydevd.py --port 5678 --file …` */
function pydevdPorts(args: readonly string[]): number[] {
  return args.some((arg) => /(?:^|\/)pydevd(?:\.py)?$/.test(arg))
    ? portOf(optionValue(args, "--port"))
    : [];
}

/** The value of `name=value` or of `name value`. */
function optionValue(args: readonly string[], name: string): string | undefined {
  const index = args.findIndex((arg) => arg === name || arg.startsWith(`${name}=`));
  const arg = args[index];
  if (arg === undefined) return undefined;
  return arg === name ? args[index + 1] : arg.slice(name.length + 1);
}

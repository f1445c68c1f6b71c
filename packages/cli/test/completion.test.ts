import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { visibleCommands } from "../src/arguments.ts";
import { broken, splitLine } from "../src/completion/bash-line.ts";
import { cached } from "../src/completion/cache.ts";
import { wanted } from "../src/completion/wanted.ts";

const commands = visibleCommands();
const words = (...line: string[]): string[] => {
  const what = wanted(line, commands);
  return what.kind === "words" ? what.candidates.map(({ text }) => text) : [what.kind];
};
const lookup = (...line: string[]): string => {
  const what = wanted(line, commands);
  if (what.kind !== "lookup") return what.kind;
  const said = [...what.said].map(([flag, value]) => `${flag} ${value}`).join();
  return `${what.lookup} "${what.value}" behind "${what.before}", ${said}`;
};

test("the first word is a command, and hidden ones are not offered", () => {
  assert.deepEqual(words("exe"), ["exec"]);
  assert.deepEqual(words("explain", "-o", ""), ["text", "json"]);
  const all = words("");
  for (const name of ["exec", "ls", "completion", "--help"]) assert.ok(all.includes(name), name);
  assert.ok(!all.some((name) => name.startsWith("__")));
});

test("flags are those of the command's own --help", () => {
  assert.deepEqual(words("exec", "--no-tcp"), ["--no-tcp-outgoing"]);
  assert.ok(words("ls", "-").includes("--all-namespaces"));
  assert.ok(!words("exec", "-").includes("--no-telemetry"));
  assert.deepEqual(words("env", "--sh"), ["--show-values"]);
  assert.deepEqual(words("env", "--st"), ["--steal"]);
});

test("a flag's value is completed behind a space, behind =, and with what was said before", () => {
  assert.equal(
    lookup("exec", "-n", "shop", "--context=c", "-t", "pod/o"),
    'targets "pod/o" behind "", --target-namespace shop,--context c',
  );
  assert.equal(lookup("exec", "--target=pod/o"), 'targets "pod/o" behind "--target=", ');
  assert.equal(
    lookup("ls", "-nshop", "--context", ""),
    'contexts "" behind "", --target-namespace shop',
  );
  assert.equal(lookup("verify", "-n", "k"), 'namespaces "k" behind "", ');
  assert.deepEqual(words("exec", "--fs-mode", "local"), ["local", "local-with-overrides"]);
  assert.deepEqual(words("exec", "--fs-mode=r"), ["--fs-mode=read"]);
  assert.deepEqual(words("ls", "-o", "j"), ["json"]);
  assert.deepEqual(words("env", "--format", "d"), ["dotenv", "docker"]);
  assert.equal(lookup("env", "-t", "pod/o"), 'targets "pod/o" behind "", ');
  assert.deepEqual(words("exec", "--env-file", "x"), ["files"]);
});

test("-f has a value or none: a flag after it is a flag", () => {
  assert.deepEqual(words("exec", "-f", ""), ["files"]);
  assert.deepEqual(words("exec", "-f", "--ste"), ["--steal"]);
});

test("behind the flags of exec a program comes, and then its own files", () => {
  assert.deepEqual(words("exec", "-t", "pod/x", "no"), ["command"]);
  assert.deepEqual(words("exec", "-t", "pod/x", "--", ""), ["command"]);
  assert.deepEqual(words("exec", "-t", "pod/x", "--", "node", "--ste"), ["files"]);
  assert.deepEqual(words("exec", "node", "--ste"), ["files"]);
  assert.ok(words("exec", "").includes("--target"));
});

test("operands are kinds for ls and shells for completion", () => {
  assert.deepEqual(words("ls", "deployment", "st"), ["statefulset"]);
  assert.deepEqual(words("completion", ""), ["bash", "zsh", "fish"]);
  assert.deepEqual(words("completion", "bash", ""), ["--help"]);
  assert.deepEqual(words("verify-config", ""), ["files"]);
  assert.deepEqual(words("init", "-o", ""), ["files"]);
});

test("service modes are offered Services and targets, recover Services, leave sessions; then flags", () => {
  for (const command of ["exchange", "intercept", "mesh", "mirror", "wiretap", "dump", "forward"])
    assert.equal(
      lookup(command, "-n", "shop", "or"),
      'services-and-targets "or" behind "", --target-namespace shop',
    );
  assert.equal(
    lookup("recover", "-n", "shop", ""),
    'services "" behind "", --target-namespace shop',
  );
  assert.equal(lookup("leave", ""), 'sessions "" behind "", ');
  assert.equal(lookup("leave", "orders", "d"), 'sessions "d" behind "", ');
  assert.ok(words("exchange", "orders", "").includes("--expose"));
  assert.ok(words("preview", "").includes("--expose"), "its name is to be a new one");
  assert.ok(words("forward", "orders", "").includes("--target"));
});

test("bash's line is split as bash splits it, and candidates go on where bash broke the word", () => {
  assert.deepEqual(splitLine("inpod exec -t pod/o"), ["inpod", "exec", "-t", "pod/o"]);
  assert.deepEqual(splitLine("inpod exec "), ["inpod", "exec", ""]);
  assert.deepEqual(splitLine(`a 'b c' "d \\" e" f\\ g ''`), ["a", "b c", 'd " e', "f g", ""]);
  assert.deepEqual(splitLine("cd x && inpod l"), ["inpod", "l"]);
  assert.equal(broken("--target=label/app=o", "=:"), "--target=label/app=".length);
  assert.equal(broken("label/app=o", " "), 0);
});

const cli = fileURLToPath(new URL("../../../dist/cli.js", import.meta.url));
const node = process.execPath;

test("at a Tab nothing goes wrong aloud: no cluster, no kubeconfig, nonsense", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "inpod-completion-"));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const line of [
    ["exec", "--kubeconfig", "/no/such", "-t", "pod/"],
    ["recover", "--kubeconfig", "/no/such", ""],
    ["leave", ""],
    ["exec", "-f", "/no/such", "-n", ""],
    ["nonsense", ""],
    [],
  ]) {
    const { status, stderr, stdout } = spawnSync(node, [cli, "__complete", "zsh", "--", ...line], {
      encoding: "utf8",
      env: {
        PATH: process.env.PATH,
        HOME: "/nonexistent",
        XDG_RUNTIME_DIR: folder,
        KUBECONFIG: "/no/such",
      },
      timeout: 120_000,
    });
    assert.deepEqual([status, stderr], [0, ""], line.join(" "));
    assert.doesNotMatch(stdout, /error|pod\//);
  }
});

test("an API server that does not answer is waited for no longer than a Tab may take", async () => {
  const folder = mkdtempSync(join(tmpdir(), "inpod-completion-"));
  const silent = createServer(() => {});
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as AddressInfo;
  const kubeconfig = join(folder, "kubeconfig");
  writeFileSync(kubeconfig, kubeconfigOf(["c"], `http://127.0.0.1:${port}`));
  const child = spawn(node, [cli, "__complete", "zsh", "--", "exec", "-t", "pod/"], {
    env: { PATH: process.env.PATH, HOME: folder, KUBECONFIG: kubeconfig, XDG_RUNTIME_DIR: folder },
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      said += String(chunk);
    });
  try {
    assert.deepEqual([...(await once(child, "close")), said], [0, null, ""]);
  } finally {
    silent.closeAllConnections();
    silent.close();
    rmSync(folder, { recursive: true });
  }
});

test("answers are kept for some seconds, in a folder that is nobody else's", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "inpod-completion-"));
  t.after(() => rmSync(folder, { recursive: true }));
  let asked = 0;
  const ask = async (key: string, runtime = folder) => {
    await cached([key], { XDG_RUNTIME_DIR: runtime }, async () => [`${key}${++asked}`]);
    return cached([key], { XDG_RUNTIME_DIR: runtime }, async () => [`${key}${++asked}`]);
  };
  assert.deepEqual(await ask("pod"), ["pod1"]);
  assert.deepEqual(await ask("job"), ["job2"], "another question has another answer");
  assert.deepEqual(statSync(join(folder, "inpod")).mode & 0o077, 0);
  const file = join(folder, "inpod", readdirSync(join(folder, "inpod"))[0] ?? "");
  utimesSync(file, 0, 0);
  asked = 10;
  const [kept, again] = [(await ask("pod"))[0], (await ask("job"))[0]];
  assert.ok([kept, again].filter((each) => /1[12]$/.test(each ?? "")).length === 1, "one is old");
  chmodSync(join(folder, "inpod"), 0o777);
  asked = 20;
  assert.deepEqual(
    await ask("pod"),
    ["pod22"],
    "a folder that others may write in is not believed",
  );
});

const kubeconfigOf = (contexts: readonly string[], server: string): string =>
  JSON.stringify({
    "current-context": contexts[0],
    clusters: [{ name: "c", cluster: { server } }],
    users: [{ name: "u", user: {} }],
    contexts: contexts.map((name) => ({ name, context: { cluster: "c", user: "u" } })),
  });

const STARTS: Readonly<Record<string, { args: string[]; define: string; source: string }>> = {
  bash: {
    args: ["--norc", "-i"],
    define: `inpod() { if [ "$1" = __complete ]; then "${node}" "${cli}" "$@"; else printf '<%s>' "$@"; echo; fi; }`,
    source: `source <("${node}" "${cli}" completion bash)`,
  },
  zsh: {
    args: ["-f", "-i"],
    define: `inpod() { if [ "$1" = __complete ]; then "${node}" "${cli}" "$@"; else printf '<%s>' "$@"; echo; fi; }`,
    source: `autoload -U compinit; compinit -u -D; source <("${node}" "${cli}" completion zsh)`,
  },
  fish: {
    args: ["--no-config", "-i"],
    define: `function inpod; if test "$argv[1]" = __complete; "${node}" "${cli}" $argv; else; printf '<%s>' $argv; echo; end; end`,
    source: `"${node}" "${cli}" completion fish | source`,
  },
};

for (const [shell, { args, define, source }] of Object.entries(STARTS)) {
  const missing = [shell, "script"].filter((name) => spawnSync("which", [name]).status !== 0);
  const skip = missing.length > 0 ? `needs ${missing.join(" and ")}` : false;
  describe(`a real ${shell} on a terminal`, { skip, timeout: 240_000 }, () => {
    const folder = mkdtempSync(join(tmpdir(), "inpod-completion-"));
    after(() => rmSync(folder, { recursive: true }));

    /** Types each line, with its Tabs, and Return. @returns what came on the terminal, until each of `said` */
    async function typed(lines: readonly (readonly [line: string, said: string])[]): Promise<void> {
      // script(1) gives it a terminal of its own.
      const child = spawn("script", ["-qec", [shell, ...args].join(" "), "/dev/null"], {
        cwd: folder,
        env: {
          PATH: process.env.PATH,
          HOME: folder,
          TERM: "xterm",
          KUBECONFIG: join(folder, "kubeconfig"),
          XDG_RUNTIME_DIR: folder,
        },
        stdio: ["pipe", "pipe", "inherit"],
      });
      let output = "";
      const until = (said: string) =>
        new Promise<void>((resolve, reject) => {
          const late = setTimeout(() => reject(new Error(`no ${said} in: ${output}`)), 60_000);
          const look = () => {
            if (!output.includes(said)) return;
            clearTimeout(late);
            child.stdout.off("data", look);
            resolve();
          };
          child.stdout.on("data", look);
          look();
        });
      child.stdout.on("data", (chunk: Buffer) => {
        output += String(chunk);
      });
      try {
        // The words are put together only when they are run: the terminal shows what is typed, too.
        for (const [line, said] of [
          [`${define}; ${source}; echo ready-"to"-type\r`, "ready-to-type"] as const,
          ...lines,
        ]) {
          child.stdin.write(line);
          await until(said);
        }
        const closed = once(child, "close");
        child.stdin.write("exit\r");
        await closed; // it may write its history
      } finally {
        child.kill("SIGKILL");
      }
    }

    test("completes commands, flags and values, also behind =", async () => {
      writeFileSync(
        join(folder, "kubeconfig"),
        kubeconfigOf(["staging", "production"], "http://127.0.0.1:1"),
      );
      await typed([
        ["inpod exe\t --ste\t\r", "<exec><--steal>"],
        ["inpod exec --fs-mode=local-w\t\r", "<exec><--fs-mode=local-with-overrides>"],
        ["inpod ls --context prod\t\r", "<ls><--context><production>"],
        ["inpod exec -t deplo\tx\r", "<exec><-t><deployment/x>"],
        ["inpod exec --target=statef\tx\r", "<exec><--target=statefulset/x>"],
        ["inpod exec -f kubec\t\r", "<exec><-f><kubeconfig>"],
      ]);
    });
  });
}

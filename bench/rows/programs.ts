/** Whole programs, timed by a shell that is in the session already. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Bed } from "../bed.ts";
import { warm } from "../measure.ts";
import type { Shell } from "../shell.ts";
import { atMost, type Row, type Skipped } from "../table.ts";
import { findPython, findTool } from "../tools.ts";

const TRUE_COUNT = 100;
/** Some ten thousand files that are the developer's by default, and everywhere. */
const TREE = "/usr/share";
const TRANSACTIONS = 50;
const LOOP = "let sum = 0; for (let at = 0; at < 2e8; at++) sum += at % 7";
const REPOSITORY_FOLDERS = 40;
const FILES_PER_FOLDER = 50;

interface Program {
  readonly what: string;
  readonly command: string;
  readonly goal: number;
  /** Runs in one sample. */
  readonly times: number;
  /** skip_build_tools knows it: it is measured with and without. */
  readonly isBuildTool: boolean;
}

function programs(bed: Bed): { programs: Program[]; skipped: Skipped[] } {
  const tools = {
    python3: findPython(),
    java: findTool("java"),
    cc: findTool("cc"),
    go: findTool("go"),
    git: findTool("git"),
    npm: findTool("npm"),
    sqlite3: findTool("sqlite3"),
  };
  const found: Program[] = [];
  const skipped: Skipped[] = [];
  const add = (needs: string | undefined, what: string, program: Omit<Program, "what">): void => {
    if (needs === undefined) skipped.push({ what, why: "the program is not on this machine" });
    else found.push({ what, ...program });
  };
  const start = { goal: 1.05, times: 8, isBuildTool: false };
  add("", "node start-up", { ...start, command: `${process.execPath} -e 0` });
  const imports = "import json, http.client, email, asyncio, ssl, decimal, logging";
  add(tools.python3, "python start-up with imports", {
    ...start,
    command: `${tools.python3} -c '${imports}'`,
  });
  add(tools.java, "java -version", { ...start, command: `${tools.java} -version 2>/dev/null` });
  bed.file(
    "hello.c",
    '#include <stdio.h>\n#include <stdlib.h>\nint main(void) { return puts("hello") < 0; }\n',
  );
  const walk = { isBuildTool: false, times: 1 };
  add("", "ls -R", { ...walk, goal: 1.5, command: `ls -R ${TREE}` });
  add("", "ls -lR", { ...walk, goal: 2.5, command: `ls -lR ${TREE}` });
  add("", "find", { ...walk, goal: 1.5, command: `find ${TREE}` });
  add(tools.npm, "npm --version", {
    ...{ ...start, times: 2 },
    command: `${process.execPath} ${tools.npm} --version`,
  });
  bed.file("transactions.sql", sqlTransactions());
  add(tools.sqlite3, `sqlite, ${TRANSACTIONS} transactions`, {
    ...{ goal: 1.3, times: 2, isBuildTool: false },
    command: `rm -f bench.db && ${tools.sqlite3} bench.db < transactions.sql`,
  });
  add("", "a computing loop in node", {
    ...start,
    ...{ times: 2, command: `${process.execPath} -e '${LOOP}'` },
  });
  const build = { isBuildTool: true, times: 4 };
  add(tools.cc, "gcc -c", { ...build, goal: 1.7, command: "cc -O2 -c hello.c -o hello.o" });
  if (tools.go) goProject(bed, tools.go);
  const goBuild = `(cd go && rm -f hello && GOTOOLCHAIN=local GOPROXY=off ${tools.go} build -o hello .)`;
  add(tools.go, "go build, warm", { ...build, times: 2, goal: 2, command: goBuild });
  if (tools.git) repository(bed, tools.git);
  const status = "git -C repository status --porcelain";
  add(tools.git, "git status, 2,000 files", { ...build, times: 8, goal: 6, command: status });
  return { programs: found, skipped };
}

/** Each makes a journal, and removes it. */
function sqlTransactions(): string {
  const all = Array.from({ length: TRANSACTIONS }, (_, at) => `insert into t values (${at});`);
  return `pragma synchronous = off;\ncreate table t (a);\n${all.join("\n")}\n`;
}

function goProject(bed: Bed, go: string): void {
  const folder = join(bed.folder, "go");
  mkdirSync(folder);
  writeFileSync(join(folder, "go.mod"), "module hello\n\ngo 1.21\n");
  writeFileSync(
    join(folder, "main.go"),
    'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("hello") }\n',
  );
  const env = { ...process.env, GOTOOLCHAIN: "local", GOPROXY: "off" };
  execFileSync(go, ["build", "-o", "hello", "."], { cwd: folder, env });
}

function repository(bed: Bed, git: string): void {
  const folder = join(bed.folder, "repository");
  for (let at = 0; at < REPOSITORY_FOLDERS; at++) {
    mkdirSync(join(folder, `folder${at}`), { recursive: true });
    for (let file = 0; file < FILES_PER_FOLDER; file++) {
      writeFileSync(join(folder, `folder${at}`, `file${file}.txt`), `${at} ${file}\n`);
    }
  }
  const run = (...args: string[]): void => {
    execFileSync(git, args, { cwd: folder, stdio: "ignore" });
  };
  run("init");
  run("add", ".");
  const who = ["-c", "user.name=bench", "-c", "user.email=bench@invalid"];
  run(...who, "commit", "-m", "files");
}

/** Milliseconds of one run. */
const timed = async (shell: Shell, { command, times }: Program): Promise<number> => {
  const all = Array.from({ length: times }, () => command).join(" && ");
  return (await shell.run(`{ ${all}; } >/dev/null`)).ms / times;
};

export async function wholePrograms(bed: Bed): Promise<{ rows: Row[]; skipped: Skipped[] }> {
  const { programs: list, skipped } = programs(bed);
  const plain = bed.plainShell("laptop");
  const skipping = bed.sessionShell();
  const config = bed.file("tapped.json", JSON.stringify({ skip_build_tools: false }));
  const tapped = bed.sessionShell(["-f", config]);
  const rows: Row[] = [];
  const loop = `sh -c 'i=0; while [ $i -lt ${TRUE_COUNT} ]; do /bin/true; i=$((i+1)); done'`;
  const shellLoop: Program = {
    ...{ what: `a shell running true ${TRUE_COUNT} times`, command: loop },
    ...{ goal: 1.5, times: 1, isBuildTool: false },
  };
  for (const program of [shellLoop, ...list]) {
    const both = {
      plain: () => timed(plain, program),
      skipped: () => timed(skipping, program),
    };
    const shared = { beside: "without inpod", unit: "ms", goal: atMost(program.goal) };
    if (program.isBuildTool) {
      const all = { ...both, tapped: () => timed(tapped, program) };
      const found = await warm(bed.length.rounds, all);
      rows.push(
        { what: program.what, ...shared, plain: found.plain, inpod: found.skipped },
        {
          what: `${program.what}, skip_build_tools off`,
          ...{ ...shared, plain: found.plain, inpod: found.tapped },
        },
      );
    } else {
      const found = await warm(bed.length.rounds, both);
      rows.push({ what: program.what, ...shared, plain: found.plain, inpod: found.skipped });
    }
  }
  await Promise.all([plain.end(), skipping.end(), tapped.end()]);
  return { rows, skipped };
}

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { CLI, isRoot, Run, useSandbox } from "./exec-support.ts";
import { inPrivateRoot } from "./private-root.ts";

const { sandbox, folder } = await useSandbox();

const CHECKOUT = fileURLToPath(new URL("../../..", import.meta.url));

/** The same project wherever it is: each program reads a file beside it and asks the pod's neighbour. */
const FILES: Readonly<Record<string, string>> = {
  "package.json":
    '{ "name": "orders", "private": true, "scripts": { "start": "node server.js" } }\n',
  "words.json": '{ "word": "beside" }\n',
  "lib/ask.js": `const http = require("node:http");
exports.ask = (then) => http.get("http://greetings/", (answer) => {
  let text = "";
  answer.on("data", (bytes) => { text += bytes; }).on("end", () => then(text.trim()));
});\n`,
  "server.js": `const { word } = require("./words.json");
require("./lib/ask").ask((text) => console.log("node", word, text));\n`,
  "main.py": `import json, pathlib, urllib.request
word = json.loads((pathlib.Path(__file__).parent / "words.json").read_text())["word"]
print("python", word, urllib.request.urlopen("http://greetings/").read().decode().strip())\n`,
  "go.mod": "module orders\n\ngo 1.20\n",
  "main.go": `package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
)

func main() {
	words, err := os.ReadFile("words.json")
	if err != nil {
		panic(err)
	}
	conn, err := net.Dial("tcp", "greetings:80")
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(conn, "GET / HTTP/1.0\\r\\n\\r\\n")
	status, _ := bufio.NewReader(conn).ReadString(' ')
	fmt.Println("go", len(words), status)
}\n`,
  "run.sh": `. ./settings.sh
read word < words.json
echo "shell $SETTING $word"\n`,
  "settings.sh": "SETTING=set\n",
};

const COMMANDS: readonly (readonly [script: string, says: RegExp])[] = [
  ["node server.js", /node beside greetings to 198\.18\.200\.2/],
  ["npm start --silent", /node beside greetings to 198\.18\.200\.2/],
  ["python3 main.py", /python beside greetings to 198\.18\.200\.2/],
  ["sh ./run.sh", /shell set \{ "word": "beside" \}/],
  ["git status --short", /\?\? changed\.txt/],
  ["CGO_ENABLED=0 go run main.go", /go 21 HTTP\/1\.\d/],
];

const has = (program: string): boolean => {
  try {
    execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
};

async function makeProject(at: string): Promise<void> {
  for (const [name, content] of Object.entries(FILES)) {
    await mkdir(dirname(join(at, name)), { recursive: true });
    await writeFile(join(at, name), content);
  }
  if (!has("git")) return;
  const identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
  const git = (...argv: string[]): void => {
    execFileSync("git", [...identity, ...argv], { cwd: at, stdio: "ignore" });
  };
  git("init", "-q");
  git("add", ".");
  git("commit", "-qm", "begun");
  await writeFile(join(at, "changed.txt"), "new\n");
}

async function check(prefix: readonly string[], cwd: string): Promise<void> {
  const commands = COMMANDS.filter(([script]) => {
    const program = /(node|npm|python3|sh|git|go)\b/.exec(script)?.[1] ?? "";
    return has(program);
  });
  const script = commands.map(([line]) => `${line} || echo "failed: ${line}"`).join("\n");
  const argv = [process.execPath, CLI, "exec", "-t", `process/${sandbox.pid}`, "--"];
  const run = new Run(
    sandbox.inLaptop([...prefix, ...argv, "sh", "-c", script], {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    }),
  );
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  for (const [line, says] of commands) assert.match(stdout, says, `${line}\n${stdout}\n${stderr}`);
  assert.doesNotMatch(stdout, /failed:/, stderr);
}

for (const place of ["home", "workspaces", "root", "srv"]) {
  const skip = isRoot ? false : "a private mount namespace needs root";
  test(`a project in /${place} is the developer's, and works as without inpod`, {
    skip,
  }, async () => {
    const project = join(folder, place, "orders");
    const scratch = join(folder, `${place}-scratch`);
    await mkdir(scratch, { recursive: true });
    await makeProject(project);
    await check(inPrivateRoot({ place, project, scratch, checkout: CHECKOUT }), folder);
  });
}

test("a project in a temporary folder is the developer's too", async () => {
  const project = join(folder, "plain", "orders");
  await makeProject(project);
  await check([], project);
});

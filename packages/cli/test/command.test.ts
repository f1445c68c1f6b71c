import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { UserError } from "@inpod/protocol";
import { checkCommand } from "../src/command.ts";

const folder = mkdtempSync(join(tmpdir(), "inpod-command-"));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string | Buffer, mode = 0o755): string {
  const path = join(folder, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, mode); // after writing: the umask does not apply, and writing clears setuid
  return path;
}
const refusal = (name: string, path = `${folder}/first:${folder}/second`): string => {
  try {
    checkCommand(name, path, folder);
  } catch (error) {
    if (error instanceof UserError)
      return `${error.code} ${error.message}: ${error.cause} ${error.hints}`;
    throw error;
  }
  return assert.fail(`${name} was accepted`);
};

test("a bare name is searched on PATH in order, passing over what cannot be executed", () => {
  file("first/serve", "#!/bin/sh\n", 0o644);
  const second = file("second/serve", "#!/bin/sh\n");
  assert.equal(
    checkCommand("serve", `${folder}/first:${folder}/second`, folder).executable,
    second,
  );
  assert.match(refusal("serve", `${folder}/first`), /^COMMAND_NOT_EXECUTABLE .*mode has no x/);
});

test("a name with a slash is a path from the working directory, and an empty element of PATH is that directory", () => {
  const own = file("own", "#!/bin/sh\n");
  assert.equal(checkCommand("./own", "", folder).executable, own);
  assert.equal(checkCommand("own", "/nowhere:", folder).executable, own);
});

test("a command that is not found brings the nearest name on PATH", () => {
  file("second/kubernaut", "#!/bin/sh\n");
  assert.match(refusal("kubernuat"), /^COMMAND_NOT_FOUND .*did you mean kubernaut\?/);
  assert.match(refusal("./kubernuat"), /^COMMAND_NOT_FOUND .*no such file/);
  assert.match(refusal(""), /^COMMAND_NOT_FOUND/);
});

test("a directory, and a script whose interpreter is missing, cannot be executed, and the reason is told", () => {
  mkdirSync(join(folder, "first/tool"), { recursive: true });
  assert.match(refusal("tool"), /^COMMAND_NOT_EXECUTABLE .*directory/);
  file("first/gone", "#!/no/such/python3 -u\n");
  assert.match(refusal("gone"), /interpreter \/no\/such\/python3 is missing/);
  file("first/env-gone", "#!/usr/bin/env no-such-interpreter\n");
  assert.match(refusal("env-gone"), /no-such-interpreter is not on PATH/);
  file("first/windows", "#!/bin/sh\r\n");
  assert.match(refusal("windows"), /CR LF/);
  file("first/loop", `#!${folder}/first/loop\n`);
  assert.match(refusal("loop"), /too many times/);
});

test("a text without #! is left to execvp, which gives it to a shell", () => {
  assert.deepEqual(checkCommand(file("plain", "echo hi\n"), "", folder).warnings, []);
});

test("a 32-bit program is warned about, but i386's on x86-64", () => {
  const elf32 = (name: string, machine: number): string[] => {
    const head = Buffer.alloc(52);
    head.write("\x7fELF\x01\x01\x01", "latin1");
    head.writeUInt16LE(machine, 18);
    return [...checkCommand(file(name, head), "", folder).warnings];
  };
  assert.match(elf32("arm", 40).join(), /32-bit program/);
  assert.equal(elf32("i386", 3).length, process.arch === "x64" ? 0 : 1);
  assert.deepEqual(checkCommand(process.execPath, "", folder).warnings, []);
});

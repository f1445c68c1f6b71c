/** Calls that are done with other files of this machine than those that they name. */
import assert from "node:assert/strict";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { PathOperation, type TapEvent } from "../src/index.ts";
import { folder, letGo, run, script, tap } from "./support.ts";

after(() => tap.unref()); // its threads would keep this process alive

const real = join(folder, "real");
mkdirSync(join(real, "sub"), { recursive: true });
writeFileSync(join(real, "a"), "content\n");
symlinkSync("a", join(real, "link"));
tap.setPathRules([
  {
    match: "tree",
    text: "/mapped",
    operations: PathOperation.read | PathOperation.write | PathOperation.lookup,
    verdict: "ask",
  },
]);

const seen = new Set<string>();
function toReal(event: TapEvent): void {
  if (event.kind !== "path") {
    letGo(event);
    return;
  }
  seen.add(event.call);
  const there = (path: string): string => path.replace(/^\/mapped/, real);
  const second = event.second && there(event.second.path);
  tap.serveLocal(event.token, there(event.path), second === undefined ? {} : { second });
}

test("reading, looking and listing find the other file", async () => {
  const ran = await run(
    [
      "bash",
      "-c",
      "cat /mapped/a /mapped/../mapped/link; readlink /mapped/link; ls /mapped; cat /mapped/none",
    ],
    toReal,
  );
  assert.equal(ran.stdout, "content\ncontent\na\na\nlink\nsub\n", ran.stderr);
  assert.match(ran.stderr, /\/mapped\/none: No such file or directory/);
});

test("writing, renaming and removing change the other file, with the program's umask", async () => {
  const source = `
import os
os.umask(0o027)
with open("/mapped/new", "w") as f: f.write("written")
os.mkdir("/mapped/made", 0o777)
os.rename("/mapped/new", "/mapped/made/renamed")
os.link("/mapped/made/renamed", "/mapped/linked")
os.truncate("/mapped/linked", 4)
os.rmdir("/mapped/sub")
print(open("/mapped/linked").read(), os.stat("/mapped/made/renamed").st_nlink)
try: os.unlink("/mapped/none")
except OSError as error: print(error.strerror)
`;
  const ran = await run(["python3", script("write.py", source)], toReal);
  assert.equal(ran.stdout, "writ 2\nNo such file or directory\n", ran.stderr);
  assert.deepEqual(readdirSync(real).sort(), ["a", "link", "linked", "made"]);
  assert.equal(readFileSync(join(real, "made/renamed"), "utf8"), "writ");
  assert.equal(statSync(join(real, "made")).mode & 0o777, 0o750);
  assert.equal(statSync(join(real, "linked")).mode & 0o777, 0o640);
  for (const call of ["open", "mkdir", "rename", "link", "truncate", "rmdir", "stat", "unlink"]) {
    assert.ok(seen.has(call), `${call} was not seen`);
  }
});

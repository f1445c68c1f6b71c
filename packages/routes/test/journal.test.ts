import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { UserError } from "@inpod/protocol";
import { changeFile, holder, type JournalPlace, restoreFile } from "../src/dns/journal.ts";
import { leftOnMachine, recoverMachine } from "../src/left.ts";

const OURS = Buffer.from("nameserver 169.254.61.2\n");
const ORIGINAL = Buffer.from("# \xff any bytes\0\nnameserver 192.0.2.53\n", "latin1");

function place(t: TestContext): JournalPlace {
  const folder = mkdtempSync(join(tmpdir(), "inpod-journal-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return { path: join(folder, "resolv.conf"), directory: join(folder, "journal") };
}

/** As a session that was killed leaves it. */
const abandon = ({ directory }: JournalPlace): void =>
  writeFileSync(join(directory, "owner"), `${process.pid} 1`);

test("a file is byte for byte what it was, the same inode with the same mode, and nothing else is left", async (t) => {
  const at = place(t);
  writeFileSync(at.path, ORIGINAL, { mode: 0o640 });
  const before = statSync(at.path);
  await changeFile(at, OURS, () => {});
  assert.deepEqual(readFileSync(at.path), OURS);
  assert.deepEqual(holder(at), { kind: "held", pid: process.pid });
  assert.deepEqual(await restoreFile(at), { kind: "restored" });
  assert.deepEqual(readFileSync(at.path), ORIGINAL);
  const after = statSync(at.path);
  assert.deepEqual([after.ino, after.mode, after.uid], [before.ino, before.mode, before.uid]);
  assert.ok(!existsSync(at.directory));
});

test("a symbolic link is one again, and what it leads to was never touched", async (t) => {
  const at = place(t);
  writeFileSync(`${at.path}.real`, ORIGINAL);
  symlinkSync("resolv.conf.real", at.path);
  await changeFile(at, OURS, () => {});
  assert.ok(lstatSync(at.path).isFile());
  assert.deepEqual(readFileSync(`${at.path}.real`), ORIGINAL);
  assert.deepEqual(await restoreFile(at), { kind: "restored" });
  assert.equal(readlinkSync(at.path), "resolv.conf.real");
  assert.ok(!existsSync(`${at.path}.inpod`) && !existsSync(at.directory));
});

test("a link that leads elsewhere for a while leads back, unless another program has changed it", async (t) => {
  const at = place(t);
  writeFileSync(`${at.path}.real`, ORIGINAL);
  writeFileSync(`${at.path}.other`, OURS);
  symlinkSync("resolv.conf.real", at.path);
  await changeFile(at, { link: "resolv.conf.other" }, () => {});
  assert.equal(readlinkSync(at.path), "resolv.conf.other");
  assert.deepEqual(await restoreFile(at), { kind: "restored" });
  assert.equal(readlinkSync(at.path), "resolv.conf.real");
  assert.ok(!existsSync(`${at.path}.inpod`) && !existsSync(at.directory));

  await changeFile(at, { link: "resolv.conf.other" }, () => {});
  abandon(at);
  assert.deepEqual(await recoverMachine(at), [`${at.path} is again what it was`]);
  assert.equal(readlinkSync(at.path), "resolv.conf.real");

  await changeFile(at, { link: "resolv.conf.other" }, () => {});
  rmSync(at.path);
  writeFileSync(at.path, OURS); // the same bytes, and yet not our link
  assert.deepEqual(await restoreFile(at), { kind: "changed" });
  assert.ok(lstatSync(at.path).isFile());
  assert.ok(!existsSync(at.directory));
});

test("what another program has written since stays as it is", async (t) => {
  const at = place(t);
  const theirs = Buffer.from("nameserver 192.0.2.99\n");
  writeFileSync(at.path, ORIGINAL);
  await changeFile(at, OURS, () => {});
  writeFileSync(at.path, theirs);
  assert.deepEqual(await restoreFile(at), { kind: "changed" });
  assert.deepEqual(readFileSync(at.path), theirs);
  assert.ok(!existsSync(at.directory));

  await changeFile(at, OURS, () => {});
  rmSync(at.path);
  symlinkSync("elsewhere", at.path);
  assert.deepEqual(await restoreFile(at), { kind: "changed" });
  assert.equal(readlinkSync(at.path), "elsewhere");
});

test("one session at a time has the file, and is named to the next", async (t) => {
  const at = place(t);
  writeFileSync(at.path, ORIGINAL);
  await changeFile(at, OURS, () => {});
  await assert.rejects(
    changeFile(at, OURS, () => {}),
    (error) => {
      assert.ok(error instanceof UserError);
      assert.equal(error.code, "DNS_NOT_SPLIT");
      assert.match(error.message, new RegExp(`process ${process.pid}`));
      assert.ok(error.hints.some((hint) => hint.includes("--no-dns")));
      return true;
    },
  );
  assert.deepEqual(await recoverMachine(at), [], "a session that runs is not undone");
  assert.deepEqual(readFileSync(at.path), OURS);
  assert.equal((await restoreFile(at)).kind, "restored");
});

test("after a crash verify names it, and recover restores it, whenever in the change it was", async (t) => {
  const at = place(t);
  writeFileSync(at.path, ORIGINAL);
  await changeFile(at, OURS, () => {});
  abandon(at);
  const [left] = leftOnMachine(at);
  assert.equal(left?.verdict, "left");
  assert.match(left?.why ?? "", /inpod recover/);
  assert.deepEqual(await recoverMachine(at), [`${at.path} is again what it was`]);
  assert.deepEqual(readFileSync(at.path), ORIGINAL);
  assert.deepEqual(await recoverMachine(at), []);

  // Killed before the file was changed: with nothing, a part, or all of what is to be written down.
  for (const names of [[], ["owner"], ["owner", "original"], ["owner", "original", "written"]]) {
    mkdirSync(at.directory);
    const bytes = { owner: "1 1", original: ORIGINAL, written: OURS } as const;
    for (const name of names as (keyof typeof bytes)[])
      writeFileSync(join(at.directory, name), bytes[name]);
    assert.equal(holder(at).kind, "left", names.join());
    assert.deepEqual(await recoverMachine(at), []);
    assert.deepEqual(readFileSync(at.path), ORIGINAL);
    assert.ok(!existsSync(at.directory), names.join());
  }
});

test("where there is no file, or one that leads nowhere, nothing is written", async (t) => {
  const at = place(t);
  for (const make of [() => {}, () => symlinkSync("nowhere", at.path)]) {
    make();
    await assert.rejects(
      changeFile(at, OURS, () => assert.fail()),
      { code: "DNS_NOT_SPLIT" },
    );
    assert.ok(!existsSync(at.directory));
  }
  assert.equal(readlinkSync(at.path), "nowhere");
});

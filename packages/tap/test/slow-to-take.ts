/** `slow-to-take.ts PROGRAM COUNT GROUP`: slow-to-take.c under a tap of its own, with that group; says what it says. */
import type { FilterGroup } from "../src/index.ts";
import { letGo, ruleFor, run, tap } from "./support.ts";

const FILE = "/inpod/file";
const [program = "", count = "", group = ""] = process.argv.slice(2);

tap.setPathRules([ruleFor(FILE)]);
const content = Buffer.from("the pod's");
const { stdout, stderr } = await run(
  [program, FILE, count],
  (event) => {
    if (event.kind === "path")
      tap.replyFile(event.token, { name: "file", content, mode: 0o100644, mtimeNs: 0n });
    else letGo(event);
  },
  { groups: ["network", "files", group as FilterGroup] },
);
tap.unref();
process.stdout.write(stdout + stderr);

/** Who builds a program and starts it again when its source has changed. */
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { fromGo } from "../install.ts";
import { type Group, program, quoted, row } from "../row.ts";
import { askReloaded } from "./web.ts";

const air = row({
  name: "Go, rebuilt by air",
  tool: () => fromGo("github.com/air-verse/air", "v1.67.4", ["-v"]),
  program: (argv) => ({
    start: async ({ port, folder }) => {
      await copyFile(program("facts.go"), join(folder, "facts.go"));
      const build = ["--build.cmd", "go build -o tmp/main facts.go"];
      const entry = ["--build.entrypoint", "./tmp/main"];
      return quoted([...argv, ...build, ...entry, String(port)]);
    },
    ask: (place) => askReloaded(place, "facts.go", "// changed\n"),
  }),
});

export const watchers: Group = { rows: [air] };

/** Python's standard library. */
import { installed } from "../install.ts";
import { followedBy, NO_RESOLVER, program, type Row, simple } from "../row.ts";

const row = (name: string, file: string): Row =>
  simple({
    name,
    tool: async () => followedBy(await installed(["python3"]), program(file)),
    without: NO_RESOLVER,
  });

export const pythonRows: readonly Row[] = [
  row("Python, threads", "python-threads.py"),
  row("Python, asyncio", "python-asyncio.py"),
];

/** Python's standard library. */
import { program, type Row, simple } from "../row.ts";

const row = (name: string, file: string): Row =>
  simple({
    name,
    recipe: { sources: [program(file)], run: (_, path) => ["python3", path] },
    version: ["python3", "--version"],
    without: { "own resolver": "names are libc's business" },
  });

export const pythonRows: readonly Row[] = [
  row("Python, threads", "python-threads.py"),
  row("Python, asyncio", "python-asyncio.py"),
];

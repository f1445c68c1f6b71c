// What a program of Node does before it does anything: finds itself, its modules, its settings and its system.
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");

const load = require; // of modules that no package.json names

console.log(fs.realpathSync(__dirname) === __dirname, process.cwd() === __dirname);
console.log(load("words").word, require.resolve("words"));
console.log(fs.readdirSync(path.join(__dirname, "words")).sort().join());
console.log(JSON.parse(fs.readFileSync("../settings.json", "utf8")).mode);
try {
  load("not-installed");
} catch ({ code }) {
  console.log(code);
}
console.log(require("node:tls").rootCertificates.length > 0, fs.readFileSync("/etc/passwd").length);
console.log(new Intl.DateTimeFormat("de", { timeZone: "Europe/Berlin" }).format(0));
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "runtimes-"));
fs.writeFileSync(path.join(scratch, "a"), "written");
console.log(fs.readFileSync(path.join(scratch, "a"), "utf8"));
fs.mkdirSync(path.join(__dirname, "made/by/node"), { recursive: true });
fs.renameSync(path.join(scratch, "a"), path.join(scratch, "b"));
console.log(fs.readdirSync("made/by"), fs.readdirSync(scratch));
for (const made of [scratch, "made"]) fs.rmSync(made, { recursive: true });
console.log(execFileSync("sh", ["-c", "pwd; command -v node"], { encoding: "utf8" }));
import("./module.mjs").then((module) => console.log(module.default));

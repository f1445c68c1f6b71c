// PORT FOLDER WORD. Serves FOLDER/repository.git over HTTP by git's own CGI program; its file "word" says WORD. Notes
// who asks in FOLDER/peers, and what "word" says after a push in FOLDER/word. Says "listening PORT".
import { execFileSync, spawn } from "node:child_process";
import { appendFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";

const [port, folder, word] = process.argv.slice(2);
const repository = join(folder, "repository.git");
const env = {
  ...process.env,
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_PROJECT_ROOT: folder,
  GIT_HTTP_EXPORT_ALL: "yes",
  REMOTE_USER: "test",
};
const git = (cwd, ...argv) => execFileSync("git", argv, { cwd, env, encoding: "utf8" });
const first = join(folder, "first");
git(folder, "init", "-q", first);
writeFileSync(join(first, "word"), `${word}\n`);
git(first, "add", "word");
git(first, "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "-qm", "first");
git(folder, "clone", "-q", "--bare", first, repository);

const server = http.createServer((request, response) => {
  const { pathname, search } = new URL(request.url, "http://neighbour");
  appendFileSync(join(folder, "peers"), `${request.socket.remoteAddress}\n`);
  const cgi = spawn("git", ["http-backend"], {
    env: {
      ...env,
      PATH_INFO: pathname,
      QUERY_STRING: search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
      GIT_PROTOCOL: request.headers["git-protocol"] ?? "",
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  request.pipe(cgi.stdin);
  const chunks = [];
  cgi.stdout.on("data", (bytes) => chunks.push(bytes));
  cgi.on("close", () => {
    if (pathname.endsWith("git-receive-pack")) {
      writeFileSync(join(folder, "word"), git(repository, "show", "HEAD:word"));
    }
    const answer = Buffer.concat(chunks);
    const end = answer.indexOf("\r\n\r\n");
    for (const line of answer.toString("latin1", 0, end).split("\r\n")) {
      const [name, value = ""] = line.split(": ");
      if (name === "Status") response.statusCode = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.end(answer.subarray(end + 4));
  });
});
server.listen(Number(port), "0.0.0.0", () => console.log(`listening ${port}`));

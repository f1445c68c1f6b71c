/** nginx as server and as proxy: what it observes is in its answers and in its log. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NAMES, NETWORK } from "@inpod/sandbox";
import type { Answer } from "../contract.ts";
import { installed } from "../install.ts";
import { QUESTION, row } from "../row.ts";
import type { Place } from "../session.ts";
import { wordIn } from "../words.ts";

/** Below its prefix, and not in the system's folders. */
export const TEMPORARY = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
  .map((name) => `${name}_temp_path temporary-${name};`)
  .join("\n");

/** A name in a variable is resolved by nginx itself, at each request; one that is written out by libc, at the start. */
const configuration = (port: number, isRoot: boolean): string => `
${isRoot ? "user root;" : ""}
daemon off;
worker_processes 2;
pid nginx.pid;
error_log stderr info;
events {}
http {
  access_log off;
  ${TEMPORARY}
  resolver ${NETWORK.services.nameServer} ipv6=off;
  add_header x-upstream $upstream_addr always;
  server {
    # A socket for each worker: the kernel spreads the connections.
    listen ${port} reuseport;
    location = /self {
      return 200 "peer $remote_addr:$remote_port\\nlocal $server_addr:$server_port\\nhostname $hostname\\nby $pid\\n";
    }
    location = /file { alias ${QUESTION.file}; }
    location = /out { proxy_pass http://${QUESTION.name}/; }
    location = /resolver { set $name ${NAMES.greetings}; proxy_pass http://$name/; }
    location = /refused { proxy_pass http://${QUESTION.name}:${QUESTION.refusedPort}/; }
    location = /unreachable { proxy_pass http://${QUESTION.unreachable}/; }
    location = /unknown { set $name nobody.example; proxy_pass http://$name/; }
  }
}
`;

async function ask(place: Place): Promise<readonly Answer[]> {
  const { port, sandbox } = place;
  const get = (path: string) => sandbox.request({ port, path, timeoutMs: 20_000 });
  const errors = await readLog(place);
  /** What the log has of it. */
  const failing = async (path: string): Promise<string> => {
    const { status } = await get(path);
    const lines = (await readLog(place)).slice(errors.length).split("\n");
    const line = lines.find((each) => each.includes(`GET ${path} `)) ?? `status ${status}`;
    return wordIn(line);
  };
  const [file, out, resolver] = await Promise.all(["/file", "/out", "/resolver"].map(get));
  const [refused, unreachable, unknown] = await Promise.all(
    ["/refused", "/unreachable", "/unknown"].map(failing),
  );
  const upstream = out?.headers["x-upstream"] ?? "";
  const text = `file ${file?.body.trim()}
out ${out?.body.trim()}
out ${resolver?.body.trim()}
to ${upstream}
dns ${upstream.replace(/:\d+$/, "")}
resolver ${resolver?.headers["x-upstream"]?.replace(/:\d+$/, "")}
refused ${refused}
unreachable ${unreachable}
unknown ${unknown}
`;
  // Each of these has the ends of a connection of its own.
  const answers = await place.askServer({ workers: 2, path: "/self" });
  return answers.map((answer) => ({ ...answer, text: answer.text + text }));
}

const readLog = ({ folder }: Place): Promise<string> => readFile(join(folder, "err"), "utf8");

export const nginx = row({
  name: "nginx",
  without: { environment: "its configuration has no word for a variable of the environment" },
  tool: () => installed(["nginx"], ["nginx", "-v"]),
  program: () => ({
    start: async ({ port, folder }) => {
      const text = configuration(port, process.getuid?.() === 0);
      await writeFile(join(folder, "nginx.conf"), text);
      return 'nginx -p "$PWD" -c nginx.conf -e stderr';
    },
    ask,
  }),
});

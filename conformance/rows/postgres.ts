/** PostgreSQL in the pod's place, asked by SQL what it observes; and its client. */
import { execFile } from "node:child_process";
import { appendFile, chown, readdir } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { NETWORK } from "@inpod/sandbox";
import { until } from "../../packages/cli/test/exec-support.ts";
import type { Answer } from "../contract.ts";
import { beside, fromSystem, type Tool } from "../install.ts";
import { type Group, NO_RESOLVER, QUESTION, quoted, row } from "../row.ts";
import type { Place } from "../session.ts";
import { wordIn } from "../words.ts";
import { CLIENT, failing, words } from "./clients.ts";

const INITDB_TIMEOUT_MS = 60_000;
const AT_ONCE = 4;
const NEIGHBOUR = NETWORK.client.address;
/** It refuses to run as root. */
const NOBODY = 65534;

/** Debian keeps the server's programs off PATH, in a folder for each version. */
const FIND = `for found in /usr/lib/postgresql/*/bin; do PATH="$found:$PATH"; done
command -v "$1" >/dev/null || exit 127; exec "$@"`;
const of = (program: string): readonly string[] => ["sh", "-c", FIND, "find", program];
const server = async (): Promise<Tool> => {
  const found = await fromSystem(["postgresql"], of("postgres"));
  if (found.kind === "missing" || process.getuid?.() === 0) return found;
  try {
    userInfo();
    return found;
  } catch {
    return { kind: "missing", why: "initdb refuses a user that is not in /etc/passwd" };
  }
};
const client = (): Promise<Tool> => fromSystem(["postgresql-client"], of("psql"));

const asNobody = (argv: readonly string[]): readonly string[] =>
  process.getuid?.() === 0
    ? ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", ...argv]
    : argv;

/** A new cluster whose server everybody may ask. What starts it. */
async function makeServer(folder: string, port: number): Promise<readonly string[]> {
  const data = join(folder, `data-${(await readdir(folder)).length}`);
  await promisify(execFile)("mkdir", ["-m", "700", data]);
  if (process.getuid?.() === 0) await chown(data, NOBODY, NOBODY);
  const [program = "", ...argv] = asNobody([
    ...[...of("initdb"), "--no-sync", "--auth=trust", "--username=postgres"],
    ...["--encoding=UTF8", "--locale=C", "-D", data],
  ]);
  await promisify(execFile)(program, argv, { cwd: "/", timeout: INITDB_TIMEOUT_MS });
  await appendFile(join(data, "pg_hba.conf"), "host all all all trust\n");
  const settings = ["listen_addresses=*", `unix_socket_directories=${data}`, "fsync=off"];
  return asNobody([
    ...[...of("postgres"), "-D", data, "-p", String(port)],
    ...settings.flatMap((setting) => ["-c", setting]),
  ]);
}

/** A server where "neighbour" leads. */
async function startNeighbour({ port, folder, startBeside }: Place): Promise<void> {
  const server = await makeServer(folder, port);
  // There an ordinary user is root in a user namespace, and PostgreSQL minds that.
  const argv = process.getuid?.() === 0 ? server : ["unshare", "--user", "--map-user=1", ...server];
  const ready = `cd /; ${quoted(argv)} 2>&1 | grep --line-buffered "ready to accept"`;
  await startBeside(["sh", "-c", ready]);
}

/** The values of the first row, or what went wrong: the protocol's simple query, over a connection whose ends are known. */
async function query(
  { port, sandbox }: Place,
  sql: string,
): Promise<{ readonly said: string; readonly peer: string }> {
  const connection = await sandbox.connect({ port, timeoutMs: 30_000 });
  const message = (type: string, body: string): string => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length + 4);
    return `${type}${length.toString("latin1")}${body}`;
  };
  const startup = "\0\x03\0\0user\0postgres\0database\0postgres\0\0";
  await connection.send(message("", startup) + message("Q", `${sql}\0`) + message("X", ""));
  const bytes = Buffer.from(await connection.receive(), "latin1");
  await connection.close();
  const peer = `${connection.local.address}:${connection.local.port}`;
  for (let at = 0; at + 5 <= bytes.length; at += 1 + bytes.readUInt32BE(at + 1)) {
    const body = bytes.toString("utf8", at + 5, at + 1 + bytes.readUInt32BE(at + 1));
    const type = String.fromCharCode(bytes[at] ?? 0);
    // u16 columns · u32 length · bytes: one column is asked for
    if (type === "D") return { said: body.slice(6), peer };
    // its message and its detail
    if (type === "E") return { said: (body.match(/(?<=\0[MD])[^\0]+/g) ?? [body]).join(" "), peer };
  }
  return { said: "nothing", peer };
}

const at = (host: string, port: number): string =>
  `host=${host} port=${port} user=postgres dbname=postgres`;
const GREETING =
  "'greetings to ' || host(inet_client_addr()) || ' at ' || host(inet_server_addr())";

/** A program that the server starts, as its COPY does: it has its environment and its host's name. */
const ofProgram = (command: string): string =>
  `create temp table said (line text); copy said from program '${command}'; select line from said`;

async function ask(place: Place): Promise<readonly Answer[]> {
  const { port, sandbox } = place;
  const one = async (sql: string): Promise<string> => (await query(place, sql)).said.trim();
  const linked = (host: string, to: number, sql: string): Promise<string> =>
    one(
      `select line from dblink('${at(host, to)}', '${sql.replaceAll("'", "''")}') as t(line text)`,
    );
  // It listens before it answers.
  const isUp = async (): Promise<boolean> => !/starting up/.test(await one("select 1"));
  await until("PostgreSQL answers", isUp);
  await one("create extension dblink");
  const greeting = await linked("neighbour", port, `select ${GREETING}`);
  const lines = [
    `out ${greeting}`,
    `dns ${greeting.replace(/.* at /, "")}`,
    `file ${await one(`select pg_read_file('${QUESTION.file}')`)}`,
    `env ${await one(ofProgram(`printenv ${QUESTION.variable}`))}`,
    `hostname ${await one(ofProgram("uname -n"))}`,
    `refused ${wordIn(await linked(QUESTION.name, QUESTION.refusedPort, "select 1"))}`,
    `unreachable ${wordIn(await linked(QUESTION.unreachable, 80, "select 1"))}`,
    `unknown ${wordIn(await linked("nobody.example", 80, "select 1"))}`,
  ];
  const ends = `host(inet_client_addr()) || ':' || inet_client_port() || ' ' ||
    host(inet_server_addr()) || ':' || inet_server_port()`;
  return Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      const { said, peer } = await query(place, `select ${ends}`);
      const [seen, local] = said.split(" ");
      const right = {
        ...neighbour(sandbox.podAddress),
        peer,
        local: `${sandbox.podAddress}:${port}`,
      };
      return { text: `${lines.join("\n")}\npeer ${seen}\nlocal ${local}`, right };
    }),
  );
}

const neighbour = (pod: string): { readonly out: string; readonly dns: string } => ({
  out: `greetings to ${pod} at ${NEIGHBOUR}`,
  dns: NEIGHBOUR,
});

async function startClient(argv: readonly string[], place: Place): Promise<string> {
  await startNeighbour(place);
  const psql = quoted([...argv, "-X", "-A", "-t"]);
  const to = (host: string, port: number): string => `${psql} ${quoted([at(host, port)])}`;
  const copy = `create temp table said (line text);
\\copy said from '${QUESTION.file}'
select 'file ' || line from said;
\\getenv variable ${QUESTION.variable}
\\echo env :variable
select 'out ' || ${GREETING};
select 'dns ' || host(inet_server_addr());`;
  return `
    ${to("neighbour", place.port)} -q <<'SQL'
${copy}
SQL
    ${failing((host, port) => `${to(host, port)} -c 'select 1'`)}`;
}

export const postgresGroup: Group = {
  rows: [
    row({
      name: "PostgreSQL",
      without: NO_RESOLVER,
      tool: server,
      program: () => ({
        start: async (place) => {
          await startNeighbour(place);
          return `cd /; exec ${quoted(await makeServer(place.folder, place.port))}`;
        },
        ask,
      }),
    }),
    row({
      name: "psql",
      without: { ...CLIENT, hostname: "it does not ask for it" },
      tool: () => beside(client(), server()),
      program: (argv) => ({
        start: (place) => startClient(argv, place),
        ask: async (place) => {
          const text = `${await place.output()}\n${await words(place)}`;
          return [{ text, right: neighbour(place.sandbox.podAddress) }];
        },
      }),
    }),
  ],
};

/** Redis in the pod's place, with the pod's configuration and a replica of a neighbour; and its client. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { NETWORK, type Sandbox } from "@inpod/sandbox";
import { Run, until } from "../../packages/cli/test/exec-support.ts";
import type { Answer } from "../contract.ts";
import { beside, fromSystem, type Tool } from "../install.ts";
import { type Group, NO_RESOLVER, QUESTION, quoted, row } from "../row.ts";
import type { Place } from "../session.ts";
import { wordIn } from "../words.ts";
import { CLIENT, failing, words } from "./clients.ts";

const WORD = "the pod's configuration";
const GREETING = "greetings of the neighbour";
const NEIGHBOUR = NETWORK.client.address;
const LOG_TIMEOUT_MS = 20_000;

const server = (): Promise<Tool> => fromSystem(["redis-server"], ["redis-server"]);
const client = (): Promise<Tool> => fromSystem(["redis-tools"], ["redis-cli"]);

async function writeInPod(sandbox: Sandbox, path: string, text: string): Promise<void> {
  const argv = ["sh", "-c", `printf %s "$1" >"$2"`, "write", text, path];
  const { code, stderr } = await new Run(sandbox.inPod(argv)).ended;
  if (code !== 0) throw new Error(stderr);
}

/** A server where "neighbour" leads, with a word. */
async function startNeighbour({ port, folder, startBeside, askBeside }: Place): Promise<void> {
  const settings = [
    "--port",
    String(port),
    "--protected-mode",
    "no",
    "--save",
    "",
    "--dir",
    folder,
  ];
  const argv = ["redis-server", ...settings, "--repl-diskless-sync-delay", "0"];
  await startBeside(["sh", "-c", `${quoted(argv)} | grep --line-buffered "Ready to accept"`]);
  await askBeside(["redis-cli", "-p", String(port), "set", "greeting", GREETING]);
}

async function start(place: Place): Promise<string> {
  const { port, folder, sandbox } = place;
  await startNeighbour(place);
  const path = `/config/redis-${port}.conf`;
  const settings = [
    ...[`port ${port}`, "protected-mode no", 'save ""', `dir "${folder}"`],
    // Any text: it is for a log that nobody keeps.
    ...[`syslog-ident "${WORD}"`, "repl-diskless-load on-empty-db"],
  ];
  await writeInPod(sandbox, path, `${settings.join("\n")}\n`);
  return quoted(["redis-server", path]);
}

/** One command over a connection whose ends are known. */
async function command(
  { port, sandbox }: Place,
  line: string,
): Promise<{ readonly reply: string; readonly peer: string }> {
  const connection = await sandbox.connect({ port, timeoutMs: 20_000 });
  await connection.send(`${line}\r\nQUIT\r\n`);
  const reply = await connection.receive();
  await connection.close();
  return { reply, peer: `${connection.local.address}:${connection.local.port}` };
}

const ends = (reply: string, type: string): readonly [string, string] => {
  const [, to = "none", from = "none"] =
    new RegExp(`addr=(\\S+) laddr=(\\S+).*${type}`).exec(reply) ?? [];
  return [to, from];
};

/** A name that is not there is told with the errno of whatever was before it, and unlike a connection that failed. */
const unknown = (line: string): string =>
  line.includes("Unable to connect to MASTER") ? "EAI_NONAME" : line;

async function ask(place: Place): Promise<readonly Answer[]> {
  const { port, folder, sandbox } = place;
  const log = (): Promise<string> => readFile(join(folder, "out"), "utf8");
  const replicate = async (host: string, at: number, sign: RegExp): Promise<string> => {
    const before = (await log()).length;
    await command(place, `REPLICAOF ${host} ${at}`);
    let line: string | undefined;
    const isThere = async (): Promise<boolean> => {
      line = (await log())
        .slice(before)
        .split("\n")
        .find((each) => sign.test(each));
      return line !== undefined;
    };
    await until(`redis tells of ${host}`, isThere, LOG_TIMEOUT_MS);
    return line ?? "";
  };
  await replicate("neighbour", port, /Finished with success/);
  const greeting = (await command(place, "GET greeting")).reply.split("\r\n")[1];
  const [to, from] = ends((await command(place, "CLIENT LIST TYPE master")).reply, "");
  const FAILED = /Error condition on socket for SYNC|Unable to connect to MASTER/;
  const errors = [
    `refused ${wordIn(await replicate(QUESTION.name, QUESTION.refusedPort, FAILED))}`,
    `unreachable ${wordIn(await replicate(QUESTION.unreachable, 80, FAILED))}`,
    `unknown ${unknown(await replicate("nobody.example", 80, FAILED))}`,
  ];
  const word = (await command(place, "CONFIG GET syslog-ident")).reply.split("\r\n")[4];
  const lines = [
    ...[`out ${greeting}`, `to ${to}`, `from ${from.replace(/:\d+$/, "")}`],
    ...[`dns ${to.replace(/:\d+$/, "")}`, `file ${word}`, ...errors],
  ];
  // Several clients at once, each with the ends that the server sees.
  return Promise.all(
    Array.from({ length: 5 }, async () => {
      const { reply, peer } = await command(place, "CLIENT INFO");
      const [seen, local] = ends(reply, "");
      const right = {
        ...{ peer, local: `${sandbox.podAddress}:${port}`, file: WORD, out: GREETING },
        ...{ to: `${NEIGHBOUR}:${port}`, dns: NEIGHBOUR },
      };
      return { text: `${lines.join("\n")}\npeer ${seen}\nlocal ${local}\n`, right };
    }),
  );
}

async function askClient(place: Place): Promise<readonly Answer[]> {
  const [greeting = "", info = ""] = (await place.output()).trim().split("\n");
  const [from, to] = ends(info, "");
  const text = [
    ...[`out ${greeting}`, `to ${to}`, `dns ${to.replace(/:\d+$/, "")}`],
    ...[`from ${from.replace(/:\d+$/, "")}`, await words(place)],
  ].join("\n");
  const right = { out: GREETING, to: `${NEIGHBOUR}:${place.port}`, dns: NEIGHBOUR };
  return [{ text, right }];
}

const NOT_ASKED = "it does not ask for it";

const redisServer = row({
  name: "Redis",
  without: { ...NO_RESOLVER, environment: NOT_ASKED, hostname: NOT_ASKED },
  tool: () => beside(server(), client()),
  program: () => ({ start, ask }),
});

const redisClient = row({
  name: "redis-cli",
  without: { ...CLIENT, environment: NOT_ASKED, file: NOT_ASKED, hostname: NOT_ASKED },
  tool: () => beside(client(), server()),
  program: () => ({
    start: async (place) => {
      await startNeighbour(place);
      return `
        redis-cli -h neighbour -p ${place.port} get greeting
        redis-cli -h neighbour -p ${place.port} client info
        ${failing((host, port) => `redis-cli -h ${host} -p ${port} ping`)}`;
    },
    ask: askClient,
  }),
});

export const redisGroup: Group = { rows: [redisServer, redisClient] };

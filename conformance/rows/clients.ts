/** Programs that are clients only: what they observe is what they write. */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { NETWORK } from "@inpod/sandbox";
import { type Answer, readFacts, type Without } from "../contract.ts";
import { installed } from "../install.ts";
import { NO_RESOLVER, program, QUESTION, row } from "../row.ts";
import type { Place } from "../session.ts";
import { wordIn } from "../words.ts";

const { name, refusedPort, unreachable } = QUESTION;
export const CLIENT: Without = {
  incoming: "it is a client",
  peer: "it is a client",
  ...NO_RESOLVER,
};
const FAILING: Readonly<Record<string, readonly [host: string, port: number]>> = {
  refused: [name, refusedPort],
  unreachable: [unreachable, 80],
  unknown: ["nobody.example", 80],
};

/** Lines of sh in which a client fails: what it says of each is in a file of its own. */
export const failing = (command: (host: string, port: number) => string): string =>
  Object.entries(FAILING)
    .map(([key, [host, port]]) => `${command(host, port)} >${key} 2>&1`)
    .join("\n");

/** The same as lines of an answer. */
export async function words({ folder }: Place): Promise<string> {
  const lines = Object.keys(FAILING).map(async (key) => {
    return `${key} ${wordIn(await readFile(join(folder, key), "utf8"))}\n`;
  });
  return (await Promise.all(lines)).join("");
}

const CURL = "curl -sS --max-time 20";
export const curl = row({
  name: "curl",
  without: {
    ...CLIENT,
    environment: "it looks at proxies only",
    hostname: "it does not ask for it",
  },
  tool: () => installed(["curl"]),
  program: () => ({
    start: () => `
      echo "out $(${CURL} http://${name}/)"
      ${CURL} -o /dev/null -w 'to %{remote_ip}:%{remote_port}\\nfrom %{local_ip}\\ndns %{remote_ip}\\n' http://${name}/
      echo "file $(${CURL} file://${QUESTION.file})"
      ${failing((host, port) => `${CURL} -v http://${host}:${port}/`)}`,
    ask: async (place) => {
      const text = await place.output();
      return [{ text: text + (await words(place)), right: {} }];
    },
  }),
});

/** The neighbour's repository holds it, and then what was pushed. */
const WORD = "from the neighbour's repository";
/** Not as a build tool, which it is by default and which is left alone. */
export const git = row({
  name: "git over HTTP, with `skip_build_tools: false`",
  without: CLIENT,
  tool: () => installed(["git"]),
  program: () => ({ start: startGit, ask: askGit }),
});

async function startGit({ port, folder, startBeside }: Place): Promise<string> {
  const served = join(folder, "served");
  await mkdir(served);
  const identity = "-c user.name=test -c user.email=test@example.com";
  await startBeside([process.execPath, program("git-server.mjs"), String(port), served, WORD]);
  const url = `http://neighbour:${port}/repository.git`;
  return `
    export GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 LC_ALL=C
    unset EMAIL
    GIT_CURL_VERBOSE=1 git clone -q ${url} clone 2>trace || cat trace >&2
    cd clone && echo "out $(cat word)"
    echo pushed >word && git ${identity} commit -qam pushed && git push -q && echo pushed
    echo "file $(git cat-file -p "$(git hash-object -w ${QUESTION.file})")"
    echo "env $(git --config-env=test.variable=${QUESTION.variable} config test.variable)"
    # Without an address of its own it makes one of the user and the host, if only to say that it is none.
    echo "ident $(git -c user.name=test var GIT_COMMITTER_IDENT 2>&1 | tail -n 1)"
    cd ..
    ${failing((host, at) => `GIT_CURL_VERBOSE=1 git ls-remote http://${host}:${at}/`)}`;
}

async function askGit(place: Place): Promise<readonly Answer[]> {
  const { port, folder } = place;
  const said = readFacts(await place.output());
  const trace = await readFile(join(folder, "trace"), "utf8");
  const [, address = "none"] = /Connected to neighbour \(([\d.]+)\)/.exec(trace) ?? [];
  // What the other end has seen: who asked, and what was pushed.
  const served = (file: string): Promise<string> => readFile(join(folder, "served", file), "utf8");
  const peers = new Set((await served("peers")).trim().split("\n"));
  const [log] = said.has("pushed") ? [await served("word")] : ["nothing was pushed"];
  const [, hostname = "none"] = /@([^.'>]+)/.exec(said.get("ident")?.[0] ?? "") ?? [];
  const lines = [
    ...["file", "env"].map((key) => `${key} ${said.get(key)?.[0]}`),
    `hostname ${hostname}`,
    `out ${said.get("out")?.[0]} and ${log?.trim()}`,
    `dns ${address}`,
    `to ${address}:${port}`,
    ...[...peers].map((peer) => `from ${peer}`),
  ];
  const neighbour = NETWORK.client.address;
  const right = { out: `${WORD} and pushed`, dns: neighbour, to: `${neighbour}:${port}` };
  return [{ text: `${lines.join("\n")}\n${await words(place)}`, right }];
}

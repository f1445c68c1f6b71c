/** gRPC in Go and on its core of C++, which Python has: servers of it, and clients of another one by its name. */
import { buildWitness, NETWORK } from "@inpod/sandbox";
import type { Answer, Without } from "../contract.ts";
import { versionOf } from "../install.ts";
import { PATH, type Prepared, program, quoted, type Row } from "../row.ts";
import type { Place } from "../session.ts";
import { wordIn } from "../words.ts";

const AT_ONCE = 3;

/** The system's own, which has the package of the system. */
const PYTHON = "/usr/bin/python3";

async function ask(client: readonly string[], place: Place): Promise<readonly Answer[]> {
  const { port, sandbox } = place;
  const path = PATH.replace(/^\/[^/]*/, `/neighbour:${port}`);
  const address = `${sandbox.podAddress}:${port}`;
  const neighbour = NETWORK.client.address;
  return Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      const said = await place.askBeside([...client, "observe", address, path]);
      const [peer = "", ...lines] = said.split("\n");
      // Its errors are messages for people.
      const text = lines.map((line) => {
        const [, key, value = ""] = /^(refused|unreachable|unknown) (.*)/.exec(line) ?? [];
        return key === undefined ? line : `${key} ${wordIn(value)}`;
      });
      const right = {
        ...{ peer, local: address, dns: neighbour, resolver: neighbour },
        ...{
          to: `${neighbour}:${port}`,
          out: `greetings to ${sandbox.podAddress} at ${neighbour}:${port}`,
        },
      };
      return { text: text.join("\n"), right };
    }),
  );
}

const row = (
  name: string,
  version: (go: readonly string[]) => readonly string[],
  server: (go: readonly string[]) => readonly string[],
  without: Without = {},
): Row => ({
  name,
  without,
  prepare: async (): Promise<Prepared> => {
    const go = await buildWitness("go-grpc");
    if (go.kind === "missing") return go;
    const number = await versionOf(version(go.argv));
    if (number === undefined) return { kind: "missing", why: `${PYTHON} has no grpcio` };
    return {
      kind: "ready",
      program: {
        version: number,
        start: async ({ port, startBeside }) => {
          await startBeside([...go.argv, "observer", String(port)]);
          return quoted([...server(go.argv), String(port)]);
        },
        ask: (place) => ask(go.argv, place),
      },
    };
  },
});

const VERSION = `import sys
try: import grpc; print(grpc.__version__)
except ImportError: sys.exit(127)`;

export const grpcRows: readonly Row[] = [
  row(
    "gRPC in Go",
    (go) => [...go, "version"],
    (go) => [...go, "observer"],
  ),
  row(
    "gRPC in Python",
    () => [PYTHON, "-c", VERSION],
    () => [PYTHON, program("grpc_observe.py")],
  ),
];

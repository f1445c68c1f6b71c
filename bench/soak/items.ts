/** What is done in the sessions: each item verifies its own answers. Programs: work.c, work.cjs, work.py, shells, Go. */
import { NETWORK, POD_ENVIRONMENT, POD_FILES } from "@inpod/sandbox";

/** Read by runner.cjs. "SEED" in an argument becomes a number. */
export interface Item {
  readonly name: string;
  readonly argv: readonly string[];
  /** "stopped": SIGSTOP and SIGCONT again and again; "killed": SIGKILL of one of its processes at some time. */
  readonly how?: "stopped" | "killed";
}

export interface Programs {
  /** Of work.c. */
  readonly c: string;
  /** The folder of this file. */
  readonly folder: string;
  /** Of work.go; undefined: no Go here. */
  readonly go: string | undefined;
}

const GREETING = "greetings from the pod's file";
const SETTINGS = '"currency": "EUR"';
const NAME = "greetings";

/** For the programs. */
export const ENVIRONMENT: Readonly<Record<string, string>> = {
  SOAK_ECHO: `${NETWORK.pod.address}:${NETWORK.pod.echoPort}`,
  SOAK_UDP: `${NETWORK.services.greetings}:${NETWORK.services.udpEchoPort}`,
  SOAK_GREETING: GREETING,
  SOAK_SETTINGS: SETTINGS,
  SOAK_NAME: NAME,
  SOAK_FULL_NAME: `${NAME}.shop.svc.cluster.local`,
};

/** Ports that the pod does not listen on, so whoever answers there is the session's. */
export const SERVER_PORTS = { c: 4101, node: 4102, python: 4103 } as const;

const shell = (name: string, script: string): Item => ({
  name: `sh ${name}`,
  argv: ["sh", "-euc", script],
});

export function items({ c, folder, go }: Programs): readonly Item[] {
  const inC = (item: string, rounds: number, how?: Item["how"]): Item => ({
    name: `C ${item}${how ? `, ${how}` : ""}`,
    argv: [c, item, "SEED", String(rounds)],
    ...(how ? { how } : {}),
  });
  const inNode = (item: string): Item => ({
    name: `Node ${item}`,
    argv: [process.execPath, `${folder}/work.cjs`, item, "SEED"],
  });
  const inPython = (item: string): Item => ({
    name: `Python ${item}`,
    argv: ["python3", `${folder}/work.py`, item, "SEED"],
  });
  const stopped = ({ name, argv }: Item): Item => ({
    name: `${name}, stopped`,
    argv,
    how: "stopped",
  });
  const inGo: Item[] = go === undefined ? [] : [{ name: "Go all", argv: [go, "SEED"] }];
  return [
    inC("tcp", 40),
    inC("udp", 20),
    inC("dns", 5),
    inC("files", 50),
    inC("threads", 1),
    inC("timer", 3),
    inC("alarms", 2),
    inC("forks", 1),
    inC("exec", 15),
    inC("thread-exec", 1),
    inC("mixed", 60, "stopped"),
    inC("threads", 1, "stopped"),
    inC("spin", 1, "killed"),
    ...["web", "echoes", "datagrams", "files", "names", "workers"].map(inNode),
    ...["web", "echoes", "datagrams"].map(inPython),
    stopped(inNode("datagrams")),
    stopped(inPython("datagrams")),
    ...inGo,
    ...inGo.map(stopped),
    shell(
      "pipeline",
      `for i in 1 2 3 4 5 6 7 8 9 10; do
        test "$(cat ${POD_FILES.greeting} | tr a-z A-Z | tr A-Z a-z | wc -c)" = ${GREETING.length + 1}
      done; test "$GREETING" = ${POD_ENVIRONMENT.GREETING}; echo ok`,
    ),
    shell(
      "stats",
      "ls -lR /usr/include /config >/dev/null; find /app /usr/share/doc -name x; echo ok",
    ),
    shell(
      "jobs",
      `for i in 1 2 3 4 5; do sleep 0.0$i & done; (exec cat ${POD_FILES.settings}) | grep -q EUR; wait; echo ok`,
    ),
    shell(
      "status",
      `(exit 7) && false || test $? = 7; sh -c 'kill -9 $$' || test $? = 137; echo ok`,
    ),
  ];
}

export function servers({ c, folder }: Programs): readonly (readonly string[])[] {
  return [
    [c, "serve", String(SERVER_PORTS.c)],
    [process.execPath, `${folder}/work.cjs`, "serve", String(SERVER_PORTS.node)],
    ["python3", `${folder}/work.py`, "serve", String(SERVER_PORTS.python)],
  ];
}

/**
 * `inpod exec` on containers of this machine's podman: as root the agent is a child process, as is an ordinary user's in
 * the containers of his own podman; who has no rights has the engine run it.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Podman, podmanMissing, startPodman } from "@inpod/sandbox";
import { CLI, endRuns, isRoot, Run, sessionProcesses, until } from "./exec-support.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "inpod-engine-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const volume = join(folder, "volume");
mkdirSync(volume);
writeFileSync(join(volume, "file"), "in the volume\n");

const SERVER = join(folder, "server.mjs");
writeFileSync(
  SERVER,
  `import http from "node:http";
http.createServer((_, response) => response.end("local " + process.env.GREETING))
  .listen(3000, () => console.log("listening"));`,
);
const FACTS = join(folder, "facts.mjs");
writeFileSync(
  FACTS,
  `import fs from "node:fs";
import http from "node:http";
import os from "node:os";
const answer = (await fetch("http://client:8080/")).text();
console.log(JSON.stringify({
  greeting: process.env.GREETING, spec: process.env.ONLY_IN_SPEC, hostname: os.hostname(),
  file: fs.readFileSync("/app/file", "utf8"), volume: fs.readFileSync("/data/file", "utf8"),
  neighbour: await answer,
}));`,
);
const EXPECTED = {
  greeting: "from-the-container",
  spec: "in-the-spec",
  hostname: "web-host",
  file: "in the container\n",
  volume: "in the volume\n",
  neighbour: "the neighbour\n",
};

interface Finding {
  readonly id: string;
  readonly group: string;
  readonly level: string;
  readonly what: string;
}
const pick = ({ id, level, what }: Finding): string[] => [id, level, what];

describe("containers without a cluster", { skip: podmanMissing(), timeout: 280_000 }, () => {
  let podman: Podman;
  let web: number;
  const web1 = {
    name: "web",
    // What its main process begins with is not all that its spec says.
    script: `mkdir -p /app /www && echo "in the container" >/app/file && echo container >/www/index.html &&
      exec env -u ONLY_IN_SPEC httpd -f -p 3000 -h /www`,
    options: [
      ...["--env", "GREETING=from-the-container", "--env", "ONLY_IN_SPEC=in-the-spec"],
      ...["--hostname", "web-host", "--volume", `${volume}:/data`],
    ],
  };
  const client = {
    name: "client",
    script: "mkdir /www && echo the neighbour >/www/index.html && exec httpd -f -p 8080 -h /www",
  };

  before(async () => {
    podman = await startPodman();
    [web] = await podman.startPair(web1, client);
  });
  after(() => podman?.stop());
  afterEach(endRuns);

  interface Session {
    readonly target?: string;
    readonly flags?: readonly string[];
    readonly env?: NodeJS.ProcessEnv;
    /** Runs the CLI without any capability. */
    readonly isPowerless?: boolean;
  }
  function start(
    command: readonly string[],
    { target = "podman/web", flags = [], env = {}, isPowerless = false }: Session = {},
  ): Run {
    const powerless = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--"];
    const argv = [
      ...(isPowerless ? powerless : []),
      ...[process.execPath, CLI, "exec", "-t", target, ...flags, "--", ...command],
    ];
    const set = Object.entries({ HOME: folder, ...env }).map(([name, value]) => `${name}=${value}`);
    const [program, ...rest] = podman.command([...set, ...argv], folder);
    return new Run(
      spawn(program, rest, {
        env: { ...process.env, ...podman.env },
        stdio: ["ignore", "pipe", "pipe"],
        detached: true,
      }),
    );
  }

  const ask = (host = "web"): Promise<string> =>
    podman.sh("client", `timeout 30 wget -qO- http://${host}:3000/`).catch(String);
  const containers = async (): Promise<string[]> =>
    (await podman.run("ps", "--all", "--format", "{{.Names}}")).trim().split("\n").sort();
  const ruleset = (): string => {
    const user = isRoot ? [] : ["--user", "--preserve-credentials"];
    return execFileSync(
      "nsenter",
      ["-t", String(web), ...user, "--net", "nft", "list", "ruleset"],
      {
        encoding: "utf8",
        env: podman.env,
      },
    ).trim();
  };
  /** Other tests have sessions too. */
  const noProcesses = (): Promise<void> =>
    until("the processes of the session to be gone", () =>
      sessionProcesses().every(
        (entry) => ![folder, `--pid ${web} `].some((word) => entry.includes(word)),
      ),
    );
  const nothingLeft = async (): Promise<void> => {
    await noProcesses();
    await until(
      "the containers to be as before",
      async () => ["client", "web"].join() === (await containers()).join(),
    );
    await until("the ruleset to be empty", () => ruleset() === "");
    assert.equal(await ask(), "container\n");
  };
  async function hasFacts(session?: Session): Promise<void> {
    const run = start([process.execPath, FACTS], session);
    const { code, stdout, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), EXPECTED);
  }
  async function steals(session: Session = {}): Promise<Run> {
    const run = start([process.execPath, SERVER], { ...session, flags: ["--steal"] });
    await run.said("listening");
    await until(
      "the local program answers",
      async () => (await ask()) === "local from-the-container",
    );
    return run;
  }
  const fails = async (words: RegExp, code: number, session: Session): Promise<void> => {
    const { code: got, stderr } = await start(["true"], session).ended;
    assert.match(stderr, words);
    assert.equal(got, code, stderr);
  };

  test("a program has the container's variables, name, files, volumes and neighbours", () =>
    hasFacts());

  test("inpod env says which variables are its process's, and which only its settings have", async () => {
    const argv = [process.execPath, CLI, "env", "-t", "podman/web", "--show-values"];
    const [program, ...rest] = podman.command([`HOME=${folder}`, ...argv], folder);
    const child = spawn(program, rest, {
      env: { ...process.env, ...podman.env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const { code, stdout, stderr } = await new Run(child).ended;
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^# GREETING +pod +from-the-container$/m);
    assert.match(stdout, /^# ONLY_IN_SPEC +spec +in-the-spec$/m);
  });

  test("a program takes the container's requests until it ends, and then the container has them again", async () => {
    const run = await steals();
    run.signalGroup("SIGINT");
    await run.ended;
    await nothingLeft();
  });

  test("nothing is left when inpod is killed", async () => {
    const run = await steals();
    run.child.kill("SIGKILL");
    await nothingLeft();
  });

  test("a container that is not there is told with those that are like it", () =>
    fails(/^error: no container "wep" in podman\n {2}hint: did you mean podman\/web\?$/m, 3, {
      target: "podman/wep",
    }));

  test("a container that has ended, or stands still, is told with what starts it", async () => {
    await podman.start("over", "exit 3", "--network", "none");
    await podman.run("wait", "over");
    await fails(
      /^error: container "over" of podman is not running: it ended with code 3\n {2}hint: start it: podman start over$/m,
      3,
      { target: "podman/over" },
    );
    await podman.run("rm", "over");
  });

  /** A PATH with no engine on it. */
  const programs = join(folder, "programs");
  mkdirSync(programs);
  symlinkSync("/bin/true", join(programs, "true"));

  test("an engine that is not there is named", () =>
    fails(/^error: nerdctl is not on this machine$/m, 6, {
      target: "nerdctl/web",
      env: { PATH: programs },
    }));

  test("inpod doctor looks at the container, and says who will run the agent", async () => {
    const found = async (target: string): Promise<Finding> => {
      const argv = [process.execPath, CLI, "doctor", "-o", "json", "-t", target];
      const [program, ...rest] = podman.command(argv, folder);
      const env = { ...process.env, ...podman.env };
      const run = new Run(spawn(program, rest, { env, stdio: ["ignore", "pipe", "pipe"] }));
      const { stdout } = await run.ended;
      const { findings } = JSON.parse(stdout) as { findings: readonly Finding[] };
      return findings.find(({ group }) => group === "target") ?? assert.fail(stdout);
    };
    assert.deepEqual(pick(await found("podman/web")), [
      "target-found",
      "ok",
      "podman/web: you may enter it, and the agent needs no image",
    ]);
    assert.deepEqual(pick(await found("podman/wep")), [
      "target-container-not-found",
      "problem",
      'no container "wep" in podman',
    ]);
  });

  const noDocker = spawnSync("docker", ["--version"]).error ? "needs the docker command" : false;
  const needsRoot = isRoot ? false : "needs root";

  test("docker/NAME is found by the docker command", { skip: noDocker || needsRoot }, async () => {
    const env = { DOCKER_HOST: await podman.serveDocker() };
    await hasFacts({ target: "docker/web", env });
    await fails(/^error: no container "wep" in docker\n {2}hint: did you mean docker\/web\?$/m, 3, {
      target: "docker/wep",
      env,
    });
    await fails(/^error: docker cannot be reached$/m, 6, {
      target: "docker/web",
      env: { DOCKER_HOST: "unix:///nowhere" },
    });
    await nothingLeft();
  });

  describe("who may use a daemon of root's and has no rights of his own", {
    skip: needsRoot,
  }, () => {
    let viaPodman: Session;
    let session: Session;
    before(async () => {
      const api = await podman.serveDocker();
      const isPowerless = true;
      viaPodman = { target: "podman/web", isPowerless, env: { CONTAINER_HOST: api } };
      session = noDocker
        ? viaPodman
        : { target: "docker/web", isPowerless, env: { DOCKER_HOST: api } };
    });

    test("needs the agent's image, there or pulled", () =>
      fails(
        /cannot get the agent's image "inpod\/none:1"[\s\S]*npm run agent-image -- --out agent\.tar/,
        5,
        { ...session, flags: ["--agent-image", "inpod/none:1"] },
      ));

    test("has the agent run by the engine, and all is the same", async () => {
      const archive = join(folder, "agent.tar");
      execFileSync(
        process.execPath,
        ["--import", "tsx", "scripts/agent-image.ts", "--out", archive],
        { cwd: root },
      );
      await podman.run("load", "--quiet", "-i", archive);
      await hasFacts(viaPodman);
      await hasFacts(session);
      const run = await steals(session);
      assert.match((await containers()).join(), /inpod-/);
      run.signalGroup("SIGINT");
      await run.ended;
      await nothingLeft();
    });

    test("has another agent when the engine's command is killed", async () => {
      const run = await steals(session);
      const children = execFileSync("ps", ["-o", "pid=,args=", "--ppid", String(run.pid)], {
        encoding: "utf8",
      });
      const [, pid] = /^ *(\d+) (?:docker|podman) run --rm /m.exec(children) ?? [];
      assert.ok(pid, children);
      process.kill(Number(pid), "SIGKILL");
      await run.said("the connection to the agent is back", "stderr");
      await until("one agent is left", async () => {
        const agents = (await containers()).filter((name) => name.startsWith("inpod-"));
        return agents.length === 1 && (await ask()).startsWith("local ");
      });
      run.signalGroup("SIGINT");
      await run.ended;
      await nothingLeft();
    });

    test("leaves nothing when inpod is killed", async () => {
      const run = await steals(session);
      run.child.kill("SIGKILL");
      await nothingLeft();
    });
  });

  // Last: afterwards the container's network is another, and then there is no container.
  test("a container that is started again is found again; one that is removed ends the session", async () => {
    const run = await steals();
    await podman.run("restart", "--time", "0", "web");
    await run.said(/the agent is gone \(podman\/web has ended\): starting another one/, "stderr");
    await run.said("the connection to the agent is back", "stderr");
    // An ordinary user's containers were joined by hand. podman's name server does not know the new address.
    if (isRoot) {
      const format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
      const address = (await podman.run("inspect", "--format", format, "web")).trim();
      await until("the local program answers", async () =>
        (await ask(address)).startsWith("local "),
      );
    }
    await podman.run("rm", "--force", "--time", "0", "web");
    const { code, stderr } = await run.ended;
    assert.match(stderr, /the session is lost for good: no container "web" in podman/);
    assert.equal(code, 5);
    await noProcesses();
  });
});

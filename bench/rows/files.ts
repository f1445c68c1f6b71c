/** Files of a pod far away, beside sshfs and kubectl cp; and what one call on a known file costs. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import type { Bed } from "../bed.ts";
import { Cluster } from "../cluster.ts";
import { layDistance } from "../distance.ts";
import { interleaved, median, warm } from "../measure.ts";
import type { Shell } from "../shell.ts";
import { SshServer, sshfsMissing } from "../sshfs.ts";
import { atLeast, figureAtMost, type Row, type Skipped } from "../table.ts";
import { LOAD_ROWS, sampleLoad } from "./outgoing.ts";

const RTTS_MS = [1, 20, 80];
/** sshfs needs minutes for some of this; what is longer is shown as so long. */
const LIMIT_MS = 10_000;
const LIMIT_NOTE = `sshfs was stopped after ${LIMIT_MS / 1000} s: a figure of ${LIMIT_MS.toLocaleString("en")} ms means "longer".`;
const APPENDS = 200;
const CALLS = 2000;

interface Workload {
  readonly what: string;
  command(folder: string): string;
  /** Folder that `kubectl cp` would copy to the same end. */
  readonly copied?: string;
}

const WORKLOADS: readonly Workload[] = [
  { what: "ls -la of 200", command: (folder) => `ls -la ${folder}/list >/dev/null` },
  {
    what: "cat of 10 MB",
    command: (folder) => `cat ${folder}/large/file >/dev/null`,
    copied: "large",
  },
  {
    what: "grep -r of 500",
    command: (folder) => `! grep -r no-such-word ${folder}/words >/dev/null`,
    copied: "words",
  },
  {
    what: "require of 300",
    command: (folder) => `${process.execPath} ${folder}/modules/main.js >/dev/null`,
  },
];

/** What the workloads read: `folders` times the same, so that each is read for the first time once. */
function makeData(root: string, folders: number): void {
  const first = join(root, "0");
  for (const name of ["list", "large", "words", "modules"]) {
    mkdirSync(join(first, name), { recursive: true });
  }
  for (let number = 0; number < 200; number++) {
    writeFileSync(join(first, "list", `file-${number}`), "x".repeat(number * 10));
  }
  writeFileSync(join(first, "large", "file"), Buffer.alloc(10_000_000, "some text\n"));
  for (let number = 0; number < 500; number++) {
    writeFileSync(join(first, "words", `text-${number}`), `line ${number}\n`.repeat(150));
  }
  for (let number = 0; number < 300; number++) {
    writeFileSync(join(first, "modules", `m${number}.js`), `module.exports = ${number};\n`);
  }
  const main =
    "let sum = 0; for (let i = 0; i < 300; i++) sum += require('./m' + i); console.log(sum);\n";
  writeFileSync(join(first, "modules", "main.js"), main);
  for (let number = 1; number < folders; number++) {
    cpSync(first, join(root, String(number)), { recursive: true });
  }
}

export async function files(bed: Bed): Promise<{ rows: Row[]; skipped: Skipped[] }> {
  const rows = await calls(bed);
  const skipped: Skipped[] = [];
  const cluster = await Cluster.find();
  if (typeof cluster === "string") {
    return { rows, skipped: [{ what: "files at a distance", why: cluster }] };
  }
  const noSshfs = sshfsMissing();
  if (noSshfs !== undefined) skipped.push({ what: "files beside sshfs", why: noSshfs });
  const data = join(bed.folder, "pod-data");
  const { rounds } = bed.length;
  makeData(data, RTTS_MS.length * rounds);
  const server = noSshfs === undefined ? await SshServer.start(bed) : undefined;
  try {
    await cluster.prepare(bed);
    await copyIn(bed, cluster, data);
    rows.push(...(await throughput(bed, cluster)));
    let nextFolder = 0;
    for (const rttMs of RTTS_MS) {
      rows.push(...(await atDistance(bed, cluster, server, data, nextFolder, rttMs)));
      nextFolder += rounds;
    }
  } finally {
    await cluster.remove();
    rmSync(data, { recursive: true, force: true });
  }
  return { rows, skipped };
}

async function copyIn(bed: Bed, cluster: Cluster, data: string): Promise<void> {
  const child = cluster.start(bed, "exec", "-i", "server", "--", ...["tar", "-xf", "-", "-C", "/"]);
  const folder = execFileSync("tar", ["-C", data, "--transform", "s,^\\.,data,", "-cf", "-", "."], {
    maxBuffer: 1e9,
  });
  child.stdin?.end(folder);
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error("the data could not be put into the pod");
}

const config = (bed: Bed): readonly string[] => {
  const feature = { fs: { mode: "write", read_write: ["^/data(/|$)", "^/bench(/|$)"] } };
  return ["-f", bed.file("files.json", JSON.stringify({ feature }))];
};

/** One round trip: everything once for the first time, and again. */
async function atDistance(
  bed: Bed,
  cluster: Cluster,
  server: SshServer | undefined,
  data: string,
  firstFolder: number,
  rttMs: number,
): Promise<Row[]> {
  const { hostname, port } = new URL(cluster.server);
  const toApi = await layDistance(bed, { host: hostname, port: Number(port) }, rttMs);
  const far = await cluster.through(bed, toApi.port);
  const taken = new Map<string, number[]>();
  const take = (key: string, ms: number): void => {
    taken.set(key, [...(taken.get(key) ?? []), ms]);
  };
  for (let round = 0; round < bed.length.rounds; round++) {
    const folder = String(firstFolder + round);
    const inpod = bed.shell("inpod", far.exec(bed, ["sh"], config(bed)));
    await inpod.run("true");
    for (const { what, command } of WORKLOADS) {
      take(`${what}, first inpod`, (await inpod.run(command(`/data/${folder}`))).ms);
      take(`${what}, again inpod`, (await inpod.run(command(`/data/${folder}`))).ms);
    }
    await inpod.end();
    if (server !== undefined) {
      const toServer = await layDistance(bed, { host: "127.0.0.1", port: server.port }, rttMs);
      const mounted = await server.mount(join(data, folder), toServer.port);
      for (const { what, command } of WORKLOADS) {
        const first = timed(command(mounted));
        take(`${what}, first sshfs`, first);
        take(`${what}, again sshfs`, first >= LIMIT_MS ? first : timed(command(mounted)));
      }
      await server.unmount(mounted);
      await toServer.close();
    }
    for (const { what, copied } of WORKLOADS) {
      if (copied === undefined) continue;
      const into = join(bed.folder, "copied");
      const began = performance.now();
      await far.kubectl("cp", "-n", cluster.namespace, `server:/data/${folder}/${copied}`, into);
      take(`${what}, first cp`, performance.now() - began);
      rmSync(into, { recursive: true, force: true });
    }
  }
  await toApi.close();
  return WORKLOADS.flatMap(({ what }) =>
    ["first", "again"].flatMap((when) => {
      const key = `${what}, ${when}`;
      const inpod = median(taken.get(`${key} inpod`) ?? []);
      return ["sshfs", "cp"].flatMap((other): Row[] => {
        const plain = taken.get(`${key} ${other}`);
        if (plain === undefined) return [];
        const beside = other === "cp" ? "kubectl cp" : other;
        const note = other === "sshfs" ? { note: LIMIT_NOTE } : {};
        return [
          {
            what: `${what}, ${when}, ${rttMs} ms`,
            beside,
            unit: "ms",
            plain: median(plain),
            inpod,
            ...note,
          },
        ];
      });
    }),
  );
}

function timed(command: string): number {
  const began = performance.now();
  try {
    execFileSync("sh", ["-c", command], { timeout: LIMIT_MS, killSignal: "SIGKILL" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ETIMEDOUT") throw error;
    return LIMIT_MS;
  }
  return performance.now() - began;
}

/** Through the cluster as it is: a large file beside the tunnel's own bulk, appends beside its round trips. */
async function throughput(bed: Bed, cluster: Cluster): Promise<Row[]> {
  const inpod = bed.shell("inpod", cluster.exec(bed, ["sh"], config(bed)));
  const pod = { host: cluster.serverAddress, port: 7100 };
  const rowOf = (mode: string) =>
    LOAD_ROWS.find((row) => row.mode === mode) as (typeof LOAD_ROWS)[number];
  const load = (mode: string) => () =>
    sampleLoad(inpod, bed.load, rowOf(mode), pod, bed.length.loadMs);
  const number = async (command: string): Promise<number> =>
    (await inpod.numbers(command))[0] ?? Number.NaN;
  await cluster.kubectl(
    ...["exec", "-n", cluster.namespace, "server", "--", "sh", "-c"],
    "mkdir -p /bench; for n in 0 1 2 3 4 5; do head -c 100000000 /dev/zero > /bench/large-$n; done",
  );
  let next = 0;
  const bulk = await interleaved(bed.length.rounds, {
    plain: load("down"),
    inpod: () => number(`${bed.load} read 1 /bench/large-${next++ % 6}`),
  });
  let logs = 0;
  const appends = await warm(bed.length.rounds, {
    plain: load("echo"),
    inpod: async () => 1e6 / (await number(`${bed.load} append ${APPENDS} /bench/log-${logs++}`)),
  });
  await inpod.end();
  const counted = await cluster.kubectl(
    ...["exec", "-n", cluster.namespace, "server", "--", "sh", "-c", "cat /bench/log-* | wc -l"],
  );
  if (Number(counted) !== logs * APPENDS)
    throw new Error(`appended ${logs * APPENDS} lines, found ${counted}`);
  return [
    {
      what: "a file of 100 MB, read once",
      ...{ beside: "inpod's own bulk down", unit: "MB/s", ...bulk, goal: atLeast(0.7) },
    },
    {
      what: "appends, one at a time",
      beside: "round trips out, 1 connection",
      unit: "/s",
      ...appends,
    },
  ];
}

/** On this machine, on files that are known already. */
async function calls(bed: Bed): Promise<Row[]> {
  const folder = "/app/bench";
  const make = `mkdir -p ${folder}/list && for n in $(seq 100); do echo $n > ${folder}/list/$n; done; head -c 4096 /dev/zero > ${folder}/small`;
  const made = bed.sandbox.inPod(["sh", "-c", make], { stdio: "inherit" });
  await new Promise((resolve) => made.once("close", resolve));
  const local = join(bed.folder, "calls");
  mkdirSync(join(local, "list"), { recursive: true });
  for (let number = 1; number <= 100; number++) {
    writeFileSync(join(local, "list", String(number)), `${number}\n`);
  }
  writeFileSync(join(local, "small"), Buffer.alloc(4096));
  const plain = bed.plainShell("laptop");
  const inpod = bed.sessionShell();
  const rows: Row[] = [];
  for (const { what, mode, path, goalUs, count } of [
    { what: "stat of a known file", mode: "stat", path: "small", goalUs: 25, count: CALLS },
    { what: "open, read 4 KiB, close", mode: "open", path: "small", goalUs: 60, count: CALLS },
    { what: "list of 100", mode: "list", path: "list", goalUs: 1000, count: 200 },
  ]) {
    const each = (shell: Shell, root: string) => async () =>
      (await shell.numbers(`${bed.load} ${mode} ${count} ${root}/${path}`))[0] ?? Number.NaN;
    const found = await warm(bed.length.rounds, {
      plain: each(plain, local),
      inpod: each(inpod, folder),
    });
    rows.push({ what, beside: "a local file", unit: "µs", ...found, goal: figureAtMost(goalUs) });
  }
  await Promise.all([plain.end(), inpod.end()]);
  return rows;
}

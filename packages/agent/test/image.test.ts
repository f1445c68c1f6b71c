import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { podmanMissing, startPodman } from "@inpod/sandbox";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const folder = mkdtempSync(join(tmpdir(), "inpod-image-"));
after(() => rmSync(folder, { recursive: true }));

const makeImage = (...args: string[]) =>
  spawnSync(process.execPath, ["--import", "tsx", "scripts/agent-image.ts", ...args], {
    cwd: root,
    encoding: "utf8",
  });
const hasNft = spawnSync("/usr/sbin/nft", ["--version"]).status === 0;
const isRoot = process.getuid?.() === 0;
const skip = process.platform !== "linux" || (!hasNft && !isRoot) ? "needs nft, or root" : false;

interface Descriptor {
  digest: string;
  size: number;
  annotations: Record<string, string>;
}

const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");
const json = (path: string) => JSON.parse(readFileSync(join(folder, path), "utf8"));
/** The path of a blob below `folder`, after its size and digest were compared with its descriptor. */
function blob({ digest, size }: Descriptor): string {
  const path = `blobs/${digest.replace(":", "/")}`;
  assert.equal(digest, `sha256:${sha256(join(folder, path))}`);
  assert.equal(size, readFileSync(join(folder, path)).length);
  return path;
}

test("the image is the same, byte by byte, when it is made again", { skip }, () => {
  const [first, second] = ["first.tar", "second.tar"].map((name) => {
    const { status, stdout, stderr } = makeImage("--out", join(folder, name));
    assert.equal(status, 0, stderr);
    assert.match(stdout, /docker\.io\/inpod\/agent:\d+\.\d+\.\d+/);
    return sha256(join(folder, name));
  });
  assert.equal(first, second);
  execFileSync("tar", ["-xf", join(folder, "first.tar"), "-C", folder]);
});

test("an engine finds its name, and every blob has the digest that the manifests say", {
  skip,
}, () => {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert.deepEqual(json("oci-layout"), { imageLayoutVersion: "1.0.0" });
  const [entry, ...others] = json("index.json").manifests;
  assert.equal(others.length, 0);
  assert.equal(entry.annotations["io.containerd.image.name"], `docker.io/inpod/agent:${version}`);
  assert.equal(entry.annotations["org.opencontainers.image.ref.name"], version);
  const manifest = json(blob(entry));
  const config = blob(manifest.config);
  const layer = blob(manifest.layers[0]);
  assert.equal(manifest.layers.length, 1);
  const { rootfs, config: run } = json(config);
  // Not compressed, so the layer's digest is that of its archive.
  assert.deepEqual(rootfs.diff_ids, [manifest.layers[0].digest]);
  assert.deepEqual(run.Entrypoint, ["/inpod/inpod-enter"]);
  assert.deepEqual(json("manifest.json"), [
    { Config: config, RepoTags: [`inpod/agent:${version}`], Layers: [layer] },
  ]);
});

test("its programs find their libraries in it, and nothing of it is anybody's but root's", {
  skip,
}, () => {
  const layer = join(folder, blob(json(blob(json("index.json").manifests[0])).layers[0]));
  const listing = execFileSync("tar", ["--numeric-owner", "--utc", "-tvf", layer], {
    encoding: "utf8",
  });
  const entries = new Map(
    listing
      .trimEnd()
      .split("\n")
      .map((line) => {
        const [mode, owner, , date, , path = ""] = line.split(/\s+/);
        assert.equal(owner, "0/0", line);
        assert.equal(date, "1970-01-01", line);
        return [path, mode] as const;
      }),
  );
  assert.equal(entries.get("inpod/inpod-enter"), "-rwxr-xr-x");
  assert.equal(entries.get("inpod/node"), "-rwxr-xr-x");
  assert.equal(entries.get("inpod/agent.js"), "-rw-r--r--");
  assert.equal(entries.get("usr/sbin/nft"), "-rwxr-xr-x");
  assert.equal(entries.get("tmp/"), "drwxrwxrwt");
  assert.equal(entries.has("inpod/agent.js.map"), false);
  const rootfs = join(folder, "rootfs");
  execFileSync("mkdir", [rootfs]);
  execFileSync("tar", ["-xf", layer, "-C", rootfs]);
  assert.match(readFileSync(join(rootfs, "etc/passwd"), "utf8"), /^inpod:x:40404:40404:/m);

  // In its own root, nothing of this machine can stand in for what is missing.
  const inside = isRoot ? ["chroot", rootfs] : ["unshare", "-r", "chroot", rootfs];
  const run = (...command: string[]) => {
    const [name = "", ...rest] = [...inside, ...command];
    return spawnSync(name, rest, { encoding: "utf8" });
  };
  assert.match(run("/inpod/node", "--version").stdout, /^v24\./);
  assert.match(run("/usr/sbin/nft", "--version").stdout, /^nftables v/);
  assert.match(run("/inpod/inpod-enter").stderr, /^usage: inpod-enter/);
  // It is parsed and run up to the key that is missing.
  assert.match(run("/inpod/node", "/inpod/agent.js").stderr, /Ed25519 public key/);
});

test("it can have another name, which engines read as the kubelet does", { skip }, () => {
  const archive = join(folder, "named.tar");
  const named = join(folder, "named");
  for (const [image, full, short] of [
    ["team/agent:7", "docker.io/team/agent:7", "team/agent:7"],
    ["registry.example:5000/agent:7", "registry.example:5000/agent:7", undefined],
    ["localhost/agent:7", "localhost/agent:7", undefined],
  ] as const) {
    const { status, stdout, stderr } = makeImage("--out", archive, "--image", image);
    assert.equal(status, 0, stderr);
    assert.match(stdout, new RegExp(`: ${full}, `));
    rmSync(named, { recursive: true, force: true });
    mkdirSync(named);
    execFileSync("tar", ["-xf", archive, "-C", named, "index.json", "manifest.json"]);
    const { annotations } = JSON.parse(readFileSync(join(named, "index.json"), "utf8"))
      .manifests[0] as Descriptor;
    assert.equal(annotations["io.containerd.image.name"], full);
    const [{ RepoTags }] = JSON.parse(readFileSync(join(named, "manifest.json"), "utf8"));
    assert.deepEqual(RepoTags, [short ?? full]);
  }
  const { status, stderr } = makeImage("--out", archive, "--image", "no tag");
  assert.equal(status, 1);
  assert.match(stderr, /^agent-image: "no tag" is no NAME:TAG\n {2}hint: --image /);
});

test("podman loads it under its name, and runs it", {
  skip: skip || podmanMissing(),
}, async () => {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const podman = await startPodman();
  try {
    const loaded = await podman.run("load", "--quiet", "-i", join(folder, "first.tar"));
    assert.match(loaded, new RegExp(`docker\\.io/inpod/agent:${version}\n`));
    const run = (...command: string[]): Promise<string> =>
      podman.run(
        ...["run", "--rm", "--network", "none", "--entrypoint", command[0] ?? ""],
        ...["--pull", "never", `inpod/agent:${version}`, ...command.slice(1)],
      );
    assert.match(await run("/inpod/node", "--version"), /^v24\./);
    await assert.rejects(run("/inpod/inpod-enter"), /usage: inpod-enter/);
  } finally {
    await podman.stop();
  }
});

test("the Dockerfile takes from the build what the archive has of it", { skip }, () => {
  const dockerfile = readFileSync(join(root, "packages/agent/Dockerfile"), "utf8");
  const copied = [...dockerfile.matchAll(/^COPY --from=build (.+) \/inpod\/$/gm)]
    .flatMap(([, sources = ""]) => sources.split(" "))
    .map((path) => path.replace("/src/", ""));
  for (const path of copied) assert.ok(existsSync(join(root, path)), path);
  const made = [...dockerfile.matchAll(/(?:> |ln -s \S+ )\/inpod\/(\S+)/g)].map(
    ([, name = ""]) => name,
  );
  const layer = join(folder, blob(json(blob(json("index.json").manifests[0])).layers[0]));
  const archived = execFileSync("tar", ["-tf", layer], { encoding: "utf8" })
    .split("\n")
    .flatMap((path) => /^inpod\/(.+)/.exec(path)?.[1] ?? []);
  assert.deepEqual([...copied.map((path) => basename(path)), ...made].sort(), archived.sort());
  // The agent is one file: esbuild puts what is loaded by import() beside it.
  assert.deepEqual(
    readdirSync(join(root, "dist")).filter((name) => /^agent-.*\.js$/.test(name)),
    [],
  );
});

test("an image for another machine is refused in a sentence", () => {
  const other = process.arch === "x64" ? "arm64" : "x64";
  const { status, stderr, stdout } = makeImage("--out", join(folder, "other.tar"), "--arch", other);
  assert.equal(status, 1);
  assert.equal(stdout, "");
  assert.match(stderr, new RegExp(`^agent-image: an image for linux ${other} is not made`));
});

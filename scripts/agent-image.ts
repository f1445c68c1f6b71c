/**
 * Makes the agent's container image without a container engine:
 *
 *     npm run agent-image -- --out agent.tar [--image NAME:TAG] [--arch x64|arm64]
 *
 * for `ctr -n k8s.io images import`, `docker load -i` and `podman load -i`. The same bytes come out when the same
 * programs go in. Those with an engine can use packages/agent/Dockerfile.
 */
import { execFileSync } from "node:child_process";
import { closeSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { agentFiles } from "./image/contents.ts";
import { imageArchive } from "./image/layout.ts";
import { Refusal } from "./image/refusal.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const REPOSITORY = "docker.io/inpod/agent";
const GO_ARCH: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

function main(): void {
  const { values } = parseArgs({
    options: {
      out: { type: "string" },
      image: { type: "string" },
      arch: { type: "string", default: process.arch },
    },
  });
  const { out, arch } = values;
  const architecture = GO_ARCH[arch];
  if (out === undefined || architecture === undefined) {
    throw new Refusal("needs --out FILE, and --arch of x64 or arm64", "--out agent.tar");
  }
  if (process.platform !== "linux" || arch !== process.arch) {
    throw new Refusal(
      `an image for linux ${arch} is not made on ${process.platform} ${process.arch}: ` +
        "its nft and inpod-enter are those of the machine that makes it",
      `run this on a Linux machine of ${arch}, or use packages/agent/Dockerfile`,
    );
  }
  execFileSync(process.execPath, ["--import", "tsx", join(root, "scripts/build.ts")], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    version: string;
  };
  const { repository, tag } = nameOf(values.image ?? `${REPOSITORY}:${version}`);
  const archive = imageArchive({
    repository,
    tag,
    architecture,
    entrypoint: ["/inpod/inpod-enter"],
    files: agentFiles(arch, join(root, "dist")),
  });
  const path = resolve(out);
  const bytes = write(path, archive);
  console.log(`${path}: ${repository}:${tag}, ${Math.round(bytes / 1e6)} MB`);
}

/** As the kubelet reads a short name: "inpod/agent:1" is docker.io's. */
function nameOf(image: string): { repository: string; tag: string } {
  const parts = /^([a-z0-9._:/-]+):([\w.-]{1,128})$/.exec(image);
  const [, name = "", tag = ""] = parts ?? [];
  if (parts === null) throw new Refusal(`"${image}" is no NAME:TAG`, "--image inpod/agent:mine");
  const hasHost = /^[^/]*[.:][^/]*\/|^localhost\//.test(name);
  return { repository: hasHost ? name : `docker.io/${name}`, tag };
}

/** Whole or not at all: aside, then renamed. */
function write(path: string, pieces: Iterable<Uint8Array>): number {
  const fd = openSync(`${path}.new`, "w", 0o644);
  let bytes = 0;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) at += writeSync(fd, piece, at);
    bytes += piece.length;
  }
  closeSync(fd);
  renameSync(`${path}.new`, path);
  return bytes;
}

try {
  main();
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  console.error(`agent-image: ${error.message}\n  hint: ${error.hint}`);
  process.exitCode = 1;
}

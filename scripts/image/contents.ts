/** What is in the agent's image: our two files, Node, nft, the libraries they need, and nothing else. */
import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Refusal } from "./refusal.ts";
import type { Entry } from "./tar.ts";

/** Node's own user in the agent's pod; agents' Pod specs and `enter`'s --node-uid name the same number. */
const NODE_ID = 40404;

const PASSWD = `root:x:0:0:root:/:/sbin/nologin\ninpod:x:${NODE_ID}:${NODE_ID}:inpod:/:/sbin/nologin\n`;
const GROUP = `root:x:0:\ninpod:x:${NODE_ID}:\n`;

const text = (path: string, content: string): Entry => ({
  path,
  mode: 0o644,
  content: Buffer.from(content),
});
const program = (path: string, from: string): Entry => ({
  path,
  mode: 0o755,
  content: readFileSync(from),
});

/**
 * @param arch as Node names it: "x64", "arm64"
 * @param dist the folder that scripts/build.ts fills
 */
export function agentFiles(arch: string, dist: string): Entry[] {
  const node = nodeFor(arch);
  const nft = findNft();
  const libraries = new Set([...librariesOf(node), ...librariesOf(nft)]);
  return [
    text("etc/group", GROUP),
    text("etc/passwd", PASSWD),
    program("inpod/inpod-enter", join(dist, "inpod-enter")),
    program("inpod/node", node),
    { ...program("inpod/agent.js", join(dist, "agent.js")), mode: 0o644 },
    // Without it Node parses agent.js twice to learn what kind of module it is.
    text("inpod/package.json", '{"type":"module"}\n'),
    { path: "tmp/", mode: 0o1777, content: new Uint8Array() },
    program("usr/sbin/nft", nft),
    ...[...libraries].map((path) => program(path.slice(1), path)),
  ];
}

/**
 * The image's Node is a package of its own folder, not of the workspace: npm would put its `node` on the PATH of
 * every script here, before the machine's.
 */
function nodeFor(arch: string): string {
  const name = `node-linux-${arch}`;
  const folder = fileURLToPath(new URL("../../packages/agent/image", import.meta.url));
  const node = join(folder, "node_modules", name, "bin/node");
  try {
    if (!existsSync(node)) {
      execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
        cwd: folder,
        stdio: ["ignore", 2, 2],
        timeout: 300_000,
      });
    }
    accessSync(node, constants.X_OK);
    return node;
  } catch (cause) {
    throw new Refusal(
      `no ${name} is installed`,
      `npm install --prefix packages/agent/image ${name}@24`,
      cause,
    );
  }
}

/** `enter` runs it from there, too. */
function findNft(): string {
  const folders = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"];
  for (const path of folders.map((folder) => join(folder, "nft"))) {
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // The next folder.
    }
  }
  return installNft();
}

function installNft(): string {
  const managers = {
    "/usr/bin/apt-get": "apt-get install -y --no-install-recommends nftables",
    "/usr/bin/dnf": "dnf install -y nftables",
    "/sbin/apk": "apk add nftables",
  };
  for (const [manager, command] of Object.entries(managers)) {
    try {
      accessSync(manager, constants.X_OK);
    } catch {
      continue;
    }
    if (process.getuid?.() !== 0) throw nftMissing(`sudo ${command}`);
    const [name = "", ...rest] = command.split(" ");
    // stdout is for results.
    execFileSync(name, rest, {
      stdio: ["ignore", 2, 2],
      timeout: 300_000,
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
    return "/usr/sbin/nft";
  }
  throw nftMissing("install the package nftables, or what it is called here");
}

const nftMissing = (hint: string): Refusal =>
  new Refusal("nft is not installed, and goes into the image", hint);

/** Where the dynamic linker finds them; the files themselves, at the paths it will look at. */
function librariesOf(path: string): string[] {
  const listing = execFileSync("ldd", [path], { encoding: "utf8" });
  return [...listing.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map(([, library = ""]) => library);
}

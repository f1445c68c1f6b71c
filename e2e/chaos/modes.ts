/** What a developer does in a round. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Mode {
  readonly name: string;
  /** Whose requests may come to this machine. */
  readonly takes: "nobody's" | "marked" | "everybody's";
  /** @param port of a server here. @param folder of the round's own, where it is started. @param pick by chance */
  words(port: number, folder: string, pick: <T>(of: readonly T[]) => T): readonly string[];
}

/** A session's agent ends soon after it. */
export const BRIEF = { idle_timeout: 2, resume_timeout: 3 };

function configured(folder: string, agent: object): string[] {
  const file = join(folder, "inpod.json");
  writeFileSync(file, JSON.stringify({ agent: { ...BRIEF, ...agent } }));
  return ["-f", file];
}

const UP = (port: number): string => `services:
  web: { mode: exchange, expose: "${port}:80" }
  orders:
    mode: mesh
    expose: "${port}:80"
    header: x-dev=one
    config_patch: { agent: { relay_pod: { mode: always } } }
`;

const SELECTOR = ["--mode", "selector"];

export const MODES: readonly Mode[] = [
  {
    name: "exchange",
    takes: "everybody's",
    words: (port, folder, pick) => [
      ...["exchange", "web", "--expose", `${port}:80`, ...configured(folder, {})],
      ...pick([[], ["--replicas", "1"], ["--no-canary"], ["-v"]]),
    ],
  },
  {
    name: "relay",
    takes: "everybody's",
    words: (port, folder, pick) => [
      ...["exchange", "web", "--expose", `${port}:80`, ...SELECTOR, ...configured(folder, {})],
      ...pick([[], ["--no-canary"], ["-v"]]),
    ],
  },
  {
    name: "mesh",
    takes: "marked",
    words: (port, folder, pick) => [
      ...["mesh", "web", "--expose", `${port}:80`, ...configured(folder, {})],
      ...pick([
        ["--header", "x-dev=one"],
        ["--version-mark", "x-dev:one"],
      ]),
    ],
  },
  {
    name: "mesh-relay",
    takes: "marked",
    words: (port, folder) => [
      ...["mesh", "web", "--expose", `${port}:80`, "--header", "x-dev=one"],
      ...configured(folder, { relay_pod: { mode: "always" } }),
    ],
  },
  {
    name: "mirror",
    takes: "nobody's",
    words: (port, folder) => [
      ...["mirror", "web", "--expose", `${port}:80`, ...configured(folder, {})],
    ],
  },
  {
    name: "dump",
    takes: "nobody's",
    words: (_, folder, pick) => [
      ...["dump", "service/web", ...configured(folder, {})],
      ...pick([[], ["-p", "80"], ["--output", "json"]]),
    ],
  },
  {
    name: "preview",
    takes: "nobody's",
    words: (port, folder) => [
      ...["preview", "web-v2", "--expose", `${port}:80`, ...configured(folder, {})],
    ],
  },
  {
    name: "forward",
    takes: "everybody's",
    words: (port, folder, pick) => [
      ...["forward", ...configured(folder, {})],
      ...pick([
        ["-L", "0:web:80"],
        ["web", "0:80"],
        ["-t", "deployment/web", "-L", "0:orders:80", "-R", `3000:${port}`],
      ]),
    ],
  },
  {
    name: "connect",
    takes: "nobody's",
    words: (_, folder, pick) => [
      ...["connect", "--mode", "proxy", "--port", "0", ...configured(folder, {})],
      ...pick([[], ["-t", "deployment/web"]]),
    ],
  },
  {
    name: "up",
    takes: "everybody's",
    words: (port, folder) => {
      writeFileSync(join(folder, "inpod-up.yaml"), UP(port));
      return ["up"];
    },
  },
];

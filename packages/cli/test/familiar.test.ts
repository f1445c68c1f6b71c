/** Words of ktctl, Telepresence, mirrord and nhctl: each works, or is answered with ours. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import { allCommands, parseArguments } from "../src/arguments.ts";
import { alsoUnderstood } from "../src/familiar/help.ts";
import { withFamiliarTables } from "../src/familiar/page.ts";
import { ALL, translate } from "../src/familiar/translate.ts";
import type { FlagAnswer, TheirFlag } from "../src/familiar/words.ts";

const ours = (line: string, isFile?: (path: string) => boolean): string =>
  translate(line.split(" "), isFile).argv.join(" ");
const lines = (line: string): readonly string[] => translate(line.split(" ")).lines;
const answer = (line: string): string[] => {
  try {
    translate(line.split(" "));
  } catch (error) {
    if (error instanceof UserError) return [error.message, ...error.hints];
    throw error;
  }
  return assert.fail(`${line} was accepted`);
};

/** ktctl 0.3.7's own list. */
const GLOBAL =
  "-n --namespace -c --kubeconfig --context -i --image --imagePullSecret --serviceAccount --nodeSelector -d --debug --withLabel --withAnnotation --portForwardTimeout --podCreationTimeout --useShadowDeployment --useLocalTime --forceUpdate --podQuota --ipVersion --asWorker";
const KTCTL: Readonly<Record<string, string>> = {
  connect:
    "--mode --dnsMode --shareShadow --clusterDomain --disablePodIp --skipCleanup --includeIps --excludeIps --ingressIp --disableTunDevice --disableTunRoute --proxyPort --proxyAddr --dnsCacheTtl --dnsPort --includeDomains",
  exchange: "--expose --mode --skipPortChecking --recoverWaitTime",
  mesh: "--expose --mode --versionMark --skipPortChecking --routerImage",
  preview: "--expose --external --skipPortChecking",
  forward: "",
  recover: "",
  clean: "--thresholdInMinus --dryRun --localOnly",
  birdseye: "--sortBy --showConnector --hideNaturalService",
};
const VERBS: Readonly<Record<string, readonly string[]>> = {
  Telepresence: [
    ..."connect intercept replace wiretap ingest detach leave list status quit version uninstall apply delete compose docker-run curl serve gather-logs loglevel genyaml revoke list-contexts list-namespaces mcp config".split(
      " ",
    ),
    ...["helm install", "helm upgrade", "helm uninstall", "helm lint", "helm version"],
  ],
  nhctl: [
    ..."start end reset terminal cmd associate containers pod"
      .split(" ")
      .map((verb) => `dev ${verb}`),
    ...["sync", "sync-status", "port-forward start", "port-forward end", "port-forward list"],
    ...["ssh reverse", "vpn connect", "vpn disconnect", "vpn reconnect", "vpn status"],
    ...[
      "install",
      "upgrade",
      "reset",
      "describe",
      "cleanup",
      "check cluster",
      "profile",
      "daemon",
      "kubeconfig",
      "pvc",
    ],
  ],
};

test("every command and flag of ktctl is in the table, and every verb of the others", () => {
  for (const [command, flags] of Object.entries(KTCTL)) {
    const entry = ALL.find(({ tool, words }) => tool === "ktctl" && words === command);
    const known = entry?.flags.flatMap(({ names }) => names) ?? [];
    for (const flag of `${GLOBAL} ${flags}`.split(" ").filter(Boolean))
      assert.ok(known.includes(flag), `${command} ${flag}`);
  }
  for (const command of ["config", "completion"])
    assert.ok(
      ALL.some(({ tool, words }) => tool === "ktctl" && words === command),
      command,
    );
  for (const [tool, verbs] of Object.entries(VERBS))
    for (const verb of verbs)
      assert.ok(
        ALL.some((each) => each.tool === tool && each.words === verb),
        `${tool} ${verb}`,
      );
});

/** Words of ours that an answer makes. */
function made(flag: TheirFlag, given: FlagAnswer = flag.answer): string[] {
  if (given.kind === "same") return [flag.names[0] ?? ""];
  if (given.kind === "is") return given.words(flag.hasValue ? "1" : "");
  if (given.kind === "of") return []; // of one of the commands only
  return given.kind === "values" ? Object.values(given.by).flatMap((each) => made(flag, each)) : [];
}

test("what goes on goes on as a command and flags that are there", () => {
  const commands = allCommands();
  let count = 0;
  for (const { tool, words, flags, answer: given } of ALL) {
    if (given.kind !== "ours") continue;
    const command = commands.find((each) => each.name() === given.words[0]);
    assert.ok(command, `${tool} ${words}: inpod ${given.words[0]}`);
    const known = command.options.flatMap(({ long, short }) => [long, short]);
    for (const word of [...given.words.slice(1), ...flags.flatMap((flag) => made(flag))]) {
      // Only some requests: then it is inpod mesh.
      if (!word.startsWith("-") || /^--(header|path-prefix)$/.test(word)) continue;
      assert.ok(known.includes(word), `${tool} ${words}: ${word}`);
      count++;
    }
  }
  assert.ok(count > 60);
});

test("ktctl's words are ours, flags before the command, short ones and camelCase included", () => {
  assert.equal(
    ours("-n shop -d exchange web --expose 8080:80 --podCreationTimeout=90 -i img"),
    "exchange -n shop --verbose web --expose 8080:80 --agent-startup-timeout 90 --agent-image img",
  );
  assert.equal(
    ours("mesh web --expose 8080:80 --versionMark ann:x --debug=false"),
    "mesh web --expose 8080:80 --version-mark ann:x",
  );
  assert.equal(
    ours("exchange web --mode ephemeral --expose 1"),
    "exchange web --ephemeral-container --expose 1",
  );
  assert.equal(
    ours("connect --excludeIps 10.0.0.0/8 --proxyPort 2223"),
    "connect --exclude 10.0.0.0/8 --port 2223",
  );
  assert.equal(ours("connect --mode tun2socks"), "connect --mode routes");
  assert.equal(ours("connect --mode proxy"), "connect --mode proxy");
  assert.equal(
    ours("birdseye --sortBy=name --hideNaturalService"),
    "status --services --sort-by name --held",
  );
  assert.equal(ours("clean --dryRun -n x"), "clean --dry-run -n x");
  assert.deepEqual(lines("exchange web --mode scale --skipPortChecking --expose 1"), [
    "--mode scale is not needed: no workload is scaled: traffic is taken in its pods",
    "--skipPortChecking is not needed: ports need not be listened on when a session begins: it says when one is",
  ]);
  assert.equal(ours("verify --localOnly --dryRun"), "verify --machine");
  assert.match(answer("clean --localOnly").join(), /inpod verify --machine/);
  assert.match(answer("exchange web --podQuota 0.5c,512m").join(), /agent\.resources/);
  assert.match(answer("exchange web --mode magic").join(), /there are: selector, ephemeral,/);
});

test("-c is a kubeconfig where it names a file, as ktctl has it; else it is what mirrord has", () => {
  assert.equal(ours("exchange -c /home/x/k web"), "exchange --kubeconfig /home/x/k web");
  assert.equal(
    ours("exchange -c k web", (path) => path === "k"),
    "exchange --kubeconfig k web",
  );
  assert.equal(
    ours("exchange -c deployment/web --expose 1"),
    "exchange -c deployment/web --expose 1",
  );
  assert.equal(ours("exchange web -c"), "exchange web -c");
  assert.equal(
    ours("exec -c -- true", () => true),
    "exec -c -- true",
  );
});

test("Telepresence's verbs go on or are answered with the user's own words", () => {
  assert.equal(
    ours("intercept web -p 8080:http -n shop"),
    "exchange web --expose 8080:http -n shop",
  );
  assert.equal(
    ours("intercept web --port=8080 --http-header x=y"),
    "mesh web --expose 8080 --header x=y",
  );
  assert.equal(
    ours("intercept web --port 8443 --http-header x=y --plaintext"),
    "mesh web --expose 8443 --header x=y --plaintext",
  );
  assert.equal(ours("intercept web --port 8443 --plaintext"), "exchange web --expose 8443");
  assert.equal(ours("wiretap web --port 8080"), "mirror web --expose 8080");
  assert.equal(ours("detach web"), "leave web");
  assert.equal(ours("quit -s"), "leave --all");
  assert.equal(ours("list -i --format json"), "status -o json");
  assert.deepEqual(
    answer("intercept web -w orders --http-header x=y -n shop -- npm start --port 1").slice(0, 3),
    [
      "inpod intercept runs no program",
      "inpod exec -t deployment/orders -n shop --steal -- npm start --port 1",
      "only requests with a header: feature.network.incoming.http_filter, docs/http-filters.md",
    ],
  );
  assert.equal(answer("ingest web -- node a.js")[1], "inpod exec -t deployment/web -- node a.js");
  assert.equal(answer("replace web")[1], "inpod exec -t deployment/web --steal -- COMMAND");
  assert.equal(answer("curl -v http://web/a?b=c")[1], "inpod connect -- curl 'http://web/a?b=c'");
  assert.equal(
    answer("helm install --set a=b")[0],
    'inpod has no command "helm install", which is Telepresence\'s',
  );
  assert.match(answer("intercept web -e .env").join(), /inpod env -t TARGET --format dotenv/);
});

test("nhctl's and mirrord's as well", () => {
  assert.deepEqual(answer("dev start app -d web -t statefulset -c main --header a=b -- go run ."), [
    'inpod has no command "dev start", which is nhctl\'s',
    "inpod exec -t statefulset/web/container/main --steal -- go run .",
    "inpod mesh web --expose LOCAL:REMOTE --header a=b",
    "your code stays on this machine: no container is changed, and nothing is synchronised",
    "more: docs/coming-from.md",
  ]);
  assert.equal(
    answer("port-forward start -d web -p 8080:80")[1],
    "inpod forward -t deployment/web -L 8080:localhost:80",
  );
  assert.equal(ours("operator status"), "status -A");
  assert.equal(answer("vpn")[1], "inpod connect");
});

test("docs/coming-from.md has the tables as they are", () => {
  const page = readFileSync(new URL("../../../docs/coming-from.md", import.meta.url), "utf8");
  assert.equal(withFamiliarTables(page), page, "npm run config-docs");
});

test("what is ours stays as it is, and a program's words are its own", () => {
  for (const line of [
    "exec -t pod/x -- ktctl exchange --versionMark x",
    "connect -- curl --mode scale",
    "up web",
    "--help",
    "--version",
    "nonsense -n x",
    "forward web 8080:80",
  ])
    assert.equal(ours(line), line);
  const connect = (line: string): readonly string[] => {
    const parsed = parseArguments(line.split(" "));
    return parsed.kind === "connect" ? [...parsed.command, parsed.target ?? ""] : [];
  };
  assert.deepEqual(connect("connect -t deployment/x docker run --hostname h -n 1 --name y"), [
    ..."docker run --hostname h -n 1 --name y".split(" "),
    "deployment/x",
  ]);
  const told: string[] = [];
  const parsed = parseArguments("clean --thresholdInMinus 15 --dryRun".split(" "), {
    tell: (line) => told.push(line),
  });
  assert.ok(parsed.kind === "clean" && parsed.isDryRun);
  assert.equal(told.length, 1);
  assert.match(alsoUnderstood("clean") ?? "", /--dryRun/);
  assert.equal(alsoUnderstood("exec"), undefined);
});

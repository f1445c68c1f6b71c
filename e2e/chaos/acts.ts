/** What happens to a session, its agent, its Service or its pods in the middle of a round. */
import { setTimeout as delay } from "node:timers/promises";
import type { Running } from "../support/inpod.ts";
import { apply, applyText, kubectl } from "../support/kubectl.ts";
import { signalGroup } from "../support/signal-group.ts";
import type { World } from "./world.ts";

export interface Scene {
  readonly world: World;
  readonly run: Running;
  /** Between the two parts of an act. */
  readonly gapMs: number;
  /** Another inpod of the same machine, in the same namespace. */
  start(...words: readonly string[]): Running;
  /** A second developer, who has the same Service or would like to. */
  second(): void;
}

export interface Act {
  readonly name: string;
  /** What a client may meet by it, whoever has the traffic; of a process that is killed, requests that it had are lost. */
  readonly costs: "nothing" | "what-it-had" | "requests";
  /** What is left is for `inpod recover` to undo. */
  readonly needsRecover?: boolean;
  do(scene: Scene): Promise<unknown> | undefined;
}

const signal =
  (...signals: readonly NodeJS.Signals[]) =>
  async ({ run, gapMs }: Scene): Promise<void> => {
    for (const [index, each] of signals.entries()) {
      if (index > 0) await delay(gapMs);
      if (run.child.pid !== undefined && !run.hasExited()) signalGroup(run.child.pid, each);
    }
  };
/** What is not there yet, or any more, is no failure of the act's. */
const cluster =
  (words: string) =>
  ({ world: { namespace } }: Scene): Promise<unknown> =>
    kubectl(...words.split(" "), "-n", namespace).catch(() => undefined);

const OURS = "-l app.kubernetes.io/managed-by=inpod --wait=false";
const AT_ONCE = "--wait=false --force --grace-period=0";

export const ACTS: readonly Act[] = [
  { name: "kill -9", costs: "what-it-had", do: signal("SIGKILL") },
  { name: "Ctrl-C", costs: "nothing", do: signal("SIGINT") },
  { name: "Ctrl-C twice", costs: "what-it-had", do: signal("SIGINT", "SIGINT") },
  { name: "Ctrl-C, kill -9", costs: "what-it-had", do: signal("SIGINT", "SIGKILL") },
  { name: "hang-up", costs: "nothing", do: signal("SIGHUP") },
  { name: "Ctrl-Z, fg", costs: "nothing", do: signal("SIGTSTP", "SIGCONT") },
  { name: "Ctrl-Z, kill -9", costs: "what-it-had", do: signal("SIGTSTP", "SIGKILL") },
  { name: "agents told to end", costs: "what-it-had", do: cluster(`delete pods ${OURS}`) },
  {
    name: "agents killed",
    costs: "requests",
    do: cluster(`delete pods ${OURS} --force --grace-period=0`),
  },
  { name: "jobs deleted", costs: "what-it-had", do: cluster(`delete jobs ${OURS}`) },
  { name: "pods deleted", costs: "requests", do: cluster("delete pods -l app=web --wait=false") },
  { name: "pods killed", costs: "requests", do: cluster(`delete pods -l app=web ${AT_ONCE}`) },
  { name: "rollout", costs: "requests", do: cluster("rollout restart deployment/web") },
  { name: "more pods", costs: "nothing", do: cluster("scale deployment/web --replicas=3") },
  { name: "less pods", costs: "requests", do: cluster("scale deployment/web --replicas=1") },
  {
    name: "applied",
    costs: "nothing",
    do: ({ world }) => apply(world.manifest("web")),
  },
  {
    name: "applied by the server",
    costs: "nothing",
    do: ({ world }) =>
      applyText(
        JSON.stringify(world.manifest("web")),
        ...["--server-side", "--force-conflicts", "--field-manager=argocd-controller"],
      ),
  },
  {
    name: "made anew",
    costs: "requests",
    do: async (scene) => {
      await cluster("delete service web")(scene);
      await delay(scene.gapMs);
      await apply(scene.world.manifest("web"));
    },
  },
  {
    name: "note taken away",
    costs: "nothing",
    do: cluster("annotate service web inpod.dev/held-"),
  },
  {
    name: "right taken away",
    costs: "nothing",
    needsRecover: true,
    do: cluster(`delete rolebindings ${OURS}`),
  },
  {
    name: "another developer",
    costs: "nothing",
    do: async (scene) => scene.second(),
  },
  { name: "leave", costs: "nothing", do: ({ start }) => start("leave", "--all").done },
  { name: "clean", costs: "nothing", do: ({ start }) => start("clean").done },
  { name: "recover", costs: "nothing", do: ({ start }) => start("recover").done },
  {
    name: "recover --yes",
    costs: "nothing",
    do: ({ start }) => start("recover", "web", "--yes").done,
  },
];

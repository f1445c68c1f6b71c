import { exitCodeHelp } from "./exit-codes.ts";

export const WHAT = "Runs a local process in the place of a Kubernetes pod.";

export const MAIN_EXAMPLES = `
Start with:
  inpod exec --target pod/orders-7d4f -- node server.js
  inpod exec --help`;

/** One paragraph: it is wrapped to the terminal's width. */
export const EXEC_WHAT =
  "Runs a command on this machine in the place of a pod: it has the pod's environment, reads the pod's files, finds names as the pod does, and what it connects to, it reaches from the pod. " +
  "With --steal, what the pod's clients send comes to it too. " +
  "Your code, terminal and debugger stay here. " +
  "When the command ends, everything made in the cluster is removed and the pod answers again.";

export const EXEC_EXAMPLES = `
Examples:
  Run a program with the environment, files and network of a pod:
    inpod exec --target pod/orders-7d4f -- node server.js

  Answer the pod's requests here, in another namespace, from one of its containers:
    inpod exec -t pod/orders-7d4f/container/app -n shop --steal -- npm start

  Say it once in .inpod/inpod.json (comments are fine; .mirrord/mirrord.json works as well):
    {"target": {"path": "pod/orders-7d4f", "namespace": "shop"},
     "feature": {"network": {"incoming": "steal"}}}
  and from then on:
    inpod exec -- go run main.go

A variable overrides a flag, a flag overrides the file: INPOD_TARGET_NAMESPACE=shop, for instance
(MIRRORD_… names are read too). INPOD_LOG=debug is --verbose.

Exit code: the command's own; or, when inpod could not run it:
${exitCodeHelp()}`;

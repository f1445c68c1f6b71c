import { exitCodeHelp } from "./exit-codes.ts";

export const WHAT = "Runs a local process in the place of a Kubernetes pod.";

export const MAIN_EXAMPLES = `
Start with:
  inpod exec --target deployment/orders -- node server.js
  inpod exec --help

If that does not work:
  inpod doctor --target deployment/orders

For who knows ktctl, Telepresence, mirrord or nhctl: their words are understood, or answered with ours
(docs/coming-from.md).`;

/** One paragraph: it is wrapped to the terminal's width. */
export const EXEC_WHAT =
  "Runs a command on this machine in the place of a pod: it has the pod's environment, reads the pod's files, finds names as the pod does, and what it connects to, it reaches from the pod. " +
  "What the pod's clients send is copied to it, while the pod answers; with --steal it answers them in the pod's place. " +
  "Your code, terminal and debugger stay here. " +
  "When the command ends, everything made in the cluster is removed and the pod answers again.";

export const ENV_WHAT =
  "Prints the variables that a command would get in the place of a pod, and of each where it comes from. " +
  "It is a session as exec's is, with the same flags and configuration, in which nothing runs; or, with --keep-open, what others start. " +
  "Values are secrets: they are printed only when you ask for them. " +
  "It works wherever Node does, without Linux.";

export const ENV_EXAMPLES = `
Where a variable comes from: pod (its process), spec (the pod's spec, where its process shows none),
env_file, mapping, override (your configuration), local (your own; with --all).

Formats:
  shell    sh, bash, zsh and fish evaluate it; what you have and the program would not is unset
  fish     the same for fish, with its own unset
  json     {"variables": [{"name", "from", "value"}]}; what is not UTF-8 is in valueBase64
  dotenv   for feature.env.env_file and dotenv libraries
  docker   for docker run --env-file and podman
  vscode   an envFile (--output names it), and on stdout what launch.json and tasks.json need
  jetbrains  for "Environment variables" of a run configuration
What a format cannot say is left out, and named on stderr.

With --keep-open the session stays until Ctrl-C, and programs that are started with these variables, by an
IDE or a shell, are in the pod's place: docs/ide.md.

Examples:
  inpod env -t deployment/orders
  eval "$(inpod env -t deployment/orders --format shell --show-values)"
  inpod env -t deployment/orders --format docker --show-values > orders.env
  inpod env -t deployment/orders --keep-open --steal --format dotenv --output .inpod/session.env
  inpod env -t deployment/orders --format json --show-values | jq -r '.variables[] | select(.name == "DB_URL").value'`;

export const EXPLAIN_WHAT =
  "Says whose a path, a host, a port to listen on, a variable or a program is, which rule decides, where its key is set, and what to write in the configuration for something else. " +
  "It decides by the rules of exec and runs nothing. " +
  "Without -t it is what the configuration and the defaults say, and what depends on the target is named; with -t the pod is asked: whether the file is there and may be read, what the name is, whether the port answers. " +
  "Values of variables are never printed.";

export const EXPLAIN_EXAMPLES = `
Subjects:
  /etc/app.yaml, ./conf, ~/x     a path
  db, db:5432, udp://10.0.0.1:53 a name or address to connect to
  :8080, 127.0.0.1:8080          a port to listen on; bind: before it says so, too
  DB_URL=, DB_URL, env:name      a variable
  program:go                     a program that your command starts
  unix:/run/x.sock               a unix socket

Examples:
  inpod explain /etc/hosts ~/.kube/config
  inpod explain -t deployment/orders db:5432 /config/app.yaml
  inpod explain --steal :8080 -o json
  inpod explain --command "node --inspect=9230 server.js" :9230`;

export const TRACE_WHAT =
  "Sums up what inpod exec --trace FILE has written: which files, hosts, ports, names, programs and variables, from where, what was waited for, " +
  "what was missing, and which key of the configuration changes that. " +
  "The session may run still, or have been killed.";

export const TRACE_EXAMPLES = `
Examples:
  inpod exec -t deployment/orders --trace orders.jsonl -- node server.js
  inpod trace orders.jsonl
  inpod trace orders.jsonl -o json | jq '.troubles[]'
  grep '"result":"E' orders.jsonl`;

export const LS_WHAT =
  "Lists what can be the target of a session, as paths for --target, and says of what cannot be one now why. " +
  "Without a KIND: everything but ReplicaSets and jobs that belong to something else. " +
  "Changes nothing.";

export const LS_EXAMPLES = `
Kinds: pod, deployment, statefulset, daemonset, replicaset, rollout, job, cronjob, service; container
lists each container of each pod. Plurals and kubectl's short names are understood.

Examples:
  inpod ls
  inpod ls deploy,sts -n shop
  inpod ls pod -A -l app=orders -o json
  inpod exec -t "$(inpod ls deploy -o name | fzf)" -- node server.js`;

export const STATUS_WHAT =
  "Tells who has a session on a target, or anywhere in the namespace, by which command, which ports and requests are whose, and how many came; with --services, which Service is whose. " +
  "It asks the agents that run, as a session that takes nothing, so it needs the right to patch their pods; without it there are only the names of those who made them.";

export const STATUS_EXAMPLES = `
Examples:
  inpod status
  inpod status -t deployment/orders -n shop
  inpod status --services --held
  inpod status -A -o json | jq '.[].sessions[].owner'`;

export const COMPLETION_WHAT =
  "Prints a script that makes bash, zsh or fish complete inpod's commands, flags and values: " +
  "targets, namespaces and containers as the cluster has them, contexts as the kubeconfig has them.";

export const COMPLETION_EXAMPLES = `
Put one of these where your shell begins:
  source <(inpod completion bash)        # ~/.bashrc
  source <(inpod completion zsh)         # ~/.zshrc, after compinit
  inpod completion fish | source         # ~/.config/fish/config.fish`;

export const CLEAN_WHAT =
  "Removes what ended sessions left in the cluster: agents that nobody holds. Each agent is asked whether it has a session; " +
  "one that has, that may be starting, or that does not say is named and left alone.";

export const VERIFY_WHAT =
  "Looks for anything that a session has left, in the cluster and on this machine, and says what it is. " +
  "What a living session uses is not left, and the exceptions of docs/nothing-left-behind.md are named as such. " +
  "Changes nothing. Exit code 0: nothing is left; 1: something is.";

export const EXEC_EXAMPLES = `
Examples:
  Run a program with the environment, files and network of a pod:
    inpod exec --target pod/orders-7d4f -- node server.js

  Answer a pod's requests here, in another namespace, in the place of one of its containers:
    inpod exec -t deployment/orders/container/app -n shop --steal -- npm start

  Say it once in .inpod/inpod.json (comments are fine; .mirrord/mirrord.json works as well):
    {"target": {"path": "deployment/orders", "namespace": "shop"},
     "feature": {"network": {"incoming": "steal"}}}
  and from then on:
    inpod exec -- go run main.go

Targets: pod, deployment, statefulset, daemonset, replicaset, rollout, job, cronjob, service (KIND/NAME),
label/KEY=VALUE[,…], each with /container/NAME if not the usual one.
Without a cluster: docker/NAME, podman/NAME, nerdctl/NAME, process/PID.
Of a workload's pods the newest that is ready is taken; --verbose says why.

A variable overrides a flag, a flag overrides the file: INPOD_TARGET_NAMESPACE=shop, for instance
(MIRRORD_… names are read too). INPOD_LOG=debug is --verbose.

Exit code: the command's own; or, when inpod could not run it:
${exitCodeHelp()}`;

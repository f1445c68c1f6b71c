/** One paragraph: it is wrapped to the terminal's width. */
export const UP_WHAT =
  "Starts the sessions of several services from one file, each with its output in lines that begin with its name. " +
  "Ctrl-C ends them all; when one fails, the others end with it, and its exit code is inpod's. " +
  "mirrord's mirrord-up.yaml is understood.";

export const UP_EXAMPLES = `
inpod-up.yaml (docs/up.md has every key):
  services:
    orders:                          # in the place of deployment/orders: requests with your key
      target: deployment/orders
      command: [npm, start]
      directory: services/orders
    web:                             # all that is sent to service/web comes to port 3000
      mode: exchange
      expose: 3000:80
      command: [npm, run, dev]

Modes: exec, split (the default), replace and mirror run a command in the place of a pod; exchange, mesh,
mirror with expose, preview and forward have ports here, and a command beside them.

Examples:
  inpod up
  inpod up orders web -n shop
  inpod up -f dev/inpod-up.yaml --keep-going
  inpod up --dry-run`;

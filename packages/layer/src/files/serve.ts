/**
 * Calls with a path that the tap's tables could not decide, or whose files have no remote root now: the developer's file,
 * or the pod's.
 */
import { readFileSync } from "node:fs";
import type { ByteString } from "@inpod/protocol";
import { errnoNumber } from "@inpod/protocol";
import { PathOperation, type Tap, type TrappedCall } from "@inpod/tap";
import { errnoOf } from "../errno.ts";
import type { PathDecision } from "../rules/paths.ts";
import { nsswitchWithPodHosts } from "../rules/resolver.ts";
import type { PodRoot } from "./pod-root.ts";
import type { SnapshotServer } from "./snapshots/serve.ts";

type PathCall = Extract<TrappedCall, { kind: "path" }>;

const NSSWITCH = "/etc/nsswitch.conf";
const MAX_NSSWITCH_BYTES = 64 * 1024;

export class Files {
  readonly #tap: Tap;
  readonly #remote: PodRoot | SnapshotServer;

  constructor(tap: Tap, remote: PodRoot | SnapshotServer) {
    this.#tap = tap;
    this.#remote = remote;
  }

  /** @param path after feature.fs.mapping @param second of rename and link: the other path, if both are the pod's */
  async serve(
    call: PathCall,
    path: ByteString,
    decision: PathDecision,
    second?: ByteString,
  ): Promise<void> {
    switch (decision.verdict) {
      case "local":
        this.#tap.continue(call.token);
        return;
      case "not-found":
        this.#tap.reply(call.token, 0, errnoNumber("ENOENT"));
        return;
      case "nsswitch":
        this.#serveNsswitch(call);
        return;
      case "remote":
        if ("serve" in this.#remote) await this.#remote.serve(call, path, decision);
        else await this.#serveRemote(this.#remote, call, path, decision, second);
    }
  }

  async #serveRemote(
    root: PodRoot,
    { token }: PathCall,
    path: ByteString,
    { fallback }: PathDecision,
    second: ByteString | undefined,
  ): Promise<void> {
    try {
      await root.ready();
    } catch (error) {
      this.#tap.reply(token, 0, errnoNumber(errnoOf(error)));
      return;
    }
    this.#tap.serveRemote(token, path, { fallback, ...(second === undefined ? {} : { second }) });
  }

  /** The machine's own file but for its `hosts:` line, so that only files and DNS (the pod's) give names. */
  #serveNsswitch(call: PathCall): void {
    if (call.call !== "open" || call.operation !== PathOperation.read) {
      this.#tap.continue(call.token);
      return;
    }
    let local = "";
    try {
      local = readFileSync(NSSWITCH, "latin1").slice(0, MAX_NSSWITCH_BYTES);
    } catch {
      // No such file (musl, minimal images): the one line is enough.
    }
    const content = Buffer.from(nsswitchWithPodHosts(local), "latin1");
    this.#tap.replyFile(call.token, { name: NSSWITCH, content, mode: 0o100644, mtimeNs: 0n });
  }
}

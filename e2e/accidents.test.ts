/**
 * Accidents of sessions on the real cluster, many at a time since most of them wait: what the pod's clients get
 * meanwhile, what the session does afterwards, and an inventory as before at the end. The words: docs/accidents.md.
 */
import { describe } from "node:test";
import { agentAccidents } from "./accidents/agent.ts";
import { processAccidents } from "./accidents/processes.ts";
import { targetAccidents } from "./accidents/target.ts";
import { tunnelAccidents } from "./accidents/tunnel.ts";
import { FILE_TIMEOUT_MS } from "./support/kubectl.ts";
import { useStage } from "./support/scene.ts";
import { notOnThisKernel } from "./support/this-kernel.ts";

describe("accidents", { skip: notOnThisKernel, timeout: FILE_TIMEOUT_MS, concurrency: 10 }, () => {
  const stage = useStage("inpod-accidents");
  // The longest first.
  tunnelAccidents(stage);
  targetAccidents(stage);
  processAccidents(stage);
  agentAccidents(stage);
});

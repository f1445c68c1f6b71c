/** Where an agent can be, by what real clusters and nodes answer. */
import { UserError } from "@inpod/protocol";
import type { AgentOutlook, NodeFacts } from "@inpod/targets";
import { judgeAgent, judgeTargetless } from "../../src/doctor/agent/judge.ts";
import type { SessionWish } from "../../src/doctor/session-wish.ts";
import type { Case } from "./case.ts";
import {
  agent,
  type Found,
  forbidden,
  found,
  GIB,
  known,
  node,
  type Row,
  wish,
} from "./orders-pod.ts";

const VERSION = "0.1.0";

const error = (code: string, message: string) => new UserError(code, message);
/** `tried`: the rungs with what refused them. */
const onRungs = (
  more: Partial<SessionWish>,
  tried: Partial<Record<AgentOutlook["rungs"][number]["rung"], UserError | undefined>>,
  ...row: Row
): Case => {
  const rungs = Object.entries(tried).map(([rung, refused]) => ({
    rung: rung as AgentOutlook["rungs"][number]["rung"],
    isAsked: true,
    refused,
  }));
  const facts = { ...found, agent: { ...agent, rungs } };
  return {
    when: row[0],
    findings: () => judgeAgent(facts, VERSION, { ...wish, ...more }),
    id: row[1],
    level: row[2],
    says: row[3],
  };
};

const beside = (facts: Partial<Found>, ...row: Row): Case => ({
  when: row[0],
  findings: () => judgeAgent({ ...found, ...facts }, VERSION, wish),
  id: row[1],
  level: row[2],
  says: row[3],
});
const onNode = (more: Partial<NodeFacts>, ...row: Row): Case =>
  beside({ node: known({ ...node, ...more }) }, ...row);
const withImage = (more: Partial<AgentOutlook>, ...row: Row): Case =>
  beside({ agent: { ...agent, ...more } }, ...row);
/** As the API server says it, through `inpod exec`'s own words for it. */
const refused = (code: string, cause: string, ...row: Row): Case =>
  beside(
    {
      agent: {
        ...agent,
        rungs: [
          {
            rung: "job",
            isAsked: true,
            refused: new UserError(code, "the cluster refused to create pods", {
              cause: new Error(cause),
            }),
          },
        ],
      },
    },
    ...row,
  );

const baseline = error("POD_SECURITY", 'namespace "shop" enforces the level "baseline"');
export const agentCases: readonly Case[] = [
  onRungs(
    {},
    { job: baseline, ephemeral: baseline, "unprivileged-ephemeral": undefined },
    "a baseline namespace that takes an unprivileged container",
    "agent-pod-security",
    "problem",
    /unprivileged ephemeral container.*everything but incoming traffic: -e/,
  ),
  onRungs(
    {},
    { job: error("QUOTA", "no room"), ephemeral: undefined },
    "a quota of pods",
    "agent-quota",
    "problem",
    /let it be an ephemeral container, which the cluster takes: -e/,
  ),
  onRungs(
    {},
    { job: baseline, ephemeral: error("FORBIDDEN", "you may not patch") },
    "a baseline namespace, and no right to add containers",
    "agent-pod-security",
    "problem",
    /refused as well: you may not patch/,
  ),
  onRungs(
    {},
    {
      job: error("CONFIG_CAPABILITIES", "a job cannot enter without SYS_PTRACE"),
      ephemeral: undefined,
    },
    "a capability taken away",
    "agent-config-capabilities",
    "problem",
    /let it be an ephemeral container/,
  ),
  onRungs(
    { isEphemeral: true },
    { ephemeral: undefined },
    "-e in an open namespace",
    "agent-ephemeral",
    "ok",
    /takes an ephemeral container/,
  ),
  onRungs(
    { isEphemeral: true },
    { ephemeral: baseline, "unprivileged-ephemeral": undefined },
    "-e --steal in a baseline namespace",
    "agent-no-incoming",
    "problem",
    /leave out --steal/,
  ),
  onRungs(
    { isEphemeral: true, isStealing: false },
    { ephemeral: baseline, "unprivileged-ephemeral": undefined },
    "-e in a baseline namespace",
    "agent-unprivileged",
    "note",
    /nothing comes in/,
  ),
  {
    when: "a session without a target",
    findings: () =>
      judgeTargetless(
        { ...agent, rungs: [{ rung: "targetless", isAsked: true, refused: undefined }] },
        VERSION,
      ),
    id: "agent-targetless",
    level: "ok",
    says: /takes a job without a target/,
  },
  beside({}, "an open namespace", "agent-job", "ok", /takes a job/),
  beside({}, "EKS", "agent-node", "ok", /Amazon Linux 2023/),
  beside({}, "EKS", "agent-node-kernel", "ok", /6\.1\.112/),
  beside({}, "EKS", "agent-room", "ok", /11 of 29 pods/),
  beside({}, "an image that is there", "agent-image", "ok", /has the image/),
  withImage(
    { rungs: [{ rung: "job", isAsked: false, refused: undefined }] },
    "who may not create pods",
    "agent-untried",
    "note",
    /dry run/,
  ),
  refused(
    "POD_SECURITY",
    "",
    "a baseline namespace",
    "agent-pod-security",
    "problem",
    /refused to create pods/,
  ),
  refused(
    "REFUSED",
    'pods "inpod-doctor" is forbidden: maximum memory usage per Container is 64Mi, but limit is 128Mi',
    "a LimitRange",
    "agent-limit-range",
    "problem",
    /describe limitrange/,
  ),
  refused(
    "REFUSED",
    'admission webhook "validate.kyverno.svc-fail" denied the request: policy Pod/shop/inpod-doctor for resource violation: disallow-host-namespaces',
    "Kyverno",
    "agent-webhook",
    "problem",
    /disallow-host-namespaces/,
  ),
  refused(
    "REFUSED",
    "pods \"inpod-doctor\" is forbidden: ValidatingAdmissionPolicy 'no-host-pid' with binding 'all' denied request: hostPID is not for us",
    "a ValidatingAdmissionPolicy",
    "agent-policy",
    "problem",
    /hostPID is not for us/,
  ),
  refused("REFUSED", "no", "anything else", "agent-refused", "problem", /^no$/m),
  beside(
    { node: forbidden('User "ada" cannot get resource "nodes"') },
    "a user who may not read nodes",
    "agent-node-unknown",
    "note",
    /does not need to/,
  ),
  beside(
    { node: forbidden("no") },
    "a user who may not read nodes",
    "agent-image-unknown",
    "note",
    /not known/,
  ),
  onNode({ operatingSystem: "windows" }, "Windows", "agent-node-windows", "problem", /Linux node/),
  onNode(
    { labels: { "eks.amazonaws.com/compute-type": "fargate" } },
    "Fargate",
    "agent-node-virtual",
    "problem",
    /AWS Fargate/,
  ),
  onNode(
    { taints: ["virtual-kubelet.io/provider"] },
    "Azure's virtual nodes",
    "agent-node-virtual",
    "problem",
    /virtual kubelet/,
  ),
  onNode({ architecture: "s390x" }, "IBM Z", "agent-node-architecture", "problem", /s390x/),
  onNode(
    { kernelVersion: "4.14.355-275.572.amzn2.x86_64" },
    "Amazon Linux 2 of old",
    "agent-node-kernel",
    "problem",
    /4\.18/,
  ),
  onNode(
    { kubeletVersion: "v1.19.16" },
    "an old kubelet",
    "agent-node-kubelet",
    "warning",
    /1\.21/,
  ),
  onNode(
    { kernelVersion: "5.10.226-214.880.amzn2.x86_64" },
    "Amazon Linux 2",
    "agent-node-kernel-rules",
    "note",
    /5\.12/,
  ),
  onNode(
    {
      conditions: {
        Ready: { status: "Unknown", message: "Kubelet stopped posting node status." },
      },
    },
    "a node that has gone",
    "agent-node-not-ready",
    "problem",
    /Kubelet stopped posting/,
  ),
  onNode(
    {
      conditions: {
        ...node.conditions,
        DiskPressure: { status: "True", message: "kubelet has disk pressure" },
      },
    },
    "a full disk",
    "agent-node-pressure",
    "warning",
    /DiskPressure/,
  ),
  beside(
    { taken: known({ cpu: 0, memoryBytes: 0, pods: 29 }) },
    "no slot for a pod",
    "agent-node-full",
    "problem",
    /29 of 29 pods/,
  ),
  beside(
    { taken: known({ cpu: 1.93, memoryBytes: 0, pods: 1 }) },
    "no millicore left",
    "agent-node-full",
    "problem",
    /1\.93 of 1\.93 cores/,
  ),
  beside(
    { taken: known({ cpu: 0, memoryBytes: 7 * GIB, pods: 1 }) },
    "no mebibyte left",
    "agent-node-full",
    "problem",
    /7168 of 7168 MiB/,
  ),
  beside(
    { taken: forbidden("cannot list resource") },
    "a user of one namespace",
    "agent-room-unknown",
    "note",
    /all namespaces/,
  ),
  withImage(
    { image: "registry.example.com/inpod/agent:0.0.9" },
    "an older image",
    "agent-image-version",
    "warning",
    /0\.1\.0/,
  ),
  withImage(
    { image: "inpod/agent:latest" },
    "an image by a name without a version",
    "agent-image-other",
    "note",
    /does not tell/,
  ),
  withImage(
    { image: "ghcr.io/x/agent:0.1.0" },
    "an image that the node has not",
    "agent-image-pull",
    "note",
    /will pull it/,
  ),
  onNode(
    { images: [], imageCount: 50 },
    "a node that lists 50 images",
    "agent-image-pull",
    "note",
    /50 largest/,
  ),
  withImage(
    { image: "ghcr.io/x/agent:0.1.0", imagePullPolicy: "Never" },
    "an image that is never pulled",
    "agent-image-missing",
    "problem",
    /Never/,
  ),
];

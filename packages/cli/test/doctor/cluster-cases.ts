/** Clusters and rights, by what an API server answers. */
import type { ClusterFacts, RightAnswer } from "@inpod/targets";
import { judgeCluster, judgeRights } from "../../src/doctor/cluster/judge.ts";
import type { Case } from "./case.ts";
import { forbidden, known, wish } from "./orders-pod.ts";

type Verb = RightAnswer["right"]["verb"];

export const cluster: ClusterFacts = {
  contextName: "staging",
  namespace: "shop",
  serverVersion: known("v1.31.2-eks-7f9249a"),
  clockAheadMs: 140,
  user: known("ada@example.com"),
  rights: [],
  namespaceFacts: known({ labels: { "kubernetes.io/metadata.name": "shop" } }),
  target: undefined,
  targetless: undefined,
};
const at = (
  when: string,
  more: Partial<ClusterFacts>,
  id: string,
  level: Case["level"],
  says: RegExp,
): Case => ({ when, findings: () => judgeCluster({ ...cluster, ...more }, wish), id, level, says });

const answer = (verb: Verb, resource: string, more: Partial<RightAnswer> = {}): RightAnswer => ({
  right: { verb, group: "", resource, why: "to look", needed: "always" },
  namespace: "shop",
  isAllowed: false,
  reason: "",
  ...more,
});
const rights = (
  when: string,
  answers: readonly RightAnswer[],
  id: string,
  level: Case["level"],
  says: RegExp,
): Case => ({
  when,
  findings: () => judgeRights(answers, cluster.user, "kind: Role\n"),
  id,
  level,
  says,
});
const portForward: RightAnswer = {
  ...answer("create", "pods"),
  right: {
    verb: "create",
    group: "",
    resource: "pods",
    subresource: "portforward",
    why: "reaches the agent",
    needed: "always",
  },
};
const optional: RightAnswer = {
  ...answer("watch", "events"),
  right: { verb: "watch", group: "", resource: "events", why: "is quicker", needed: "optional" },
};

export const clusterCases: readonly Case[] = [
  at("EKS 1.31", {}, "cluster-version", "ok", /v1\.31\.2-eks/),
  at("EKS 1.31", {}, "cluster-login", "ok", /"staging" as "ada@example\.com"/),
  at("EKS 1.31", {}, "cluster-namespace", "ok", /"shop"/),
  at(
    "an API server before SelfSubjectReview",
    { user: { kind: "unknown", why: "not found", isForbidden: false } },
    "cluster-login",
    "ok",
    /is accepted/,
  ),
  at(
    "no credentials",
    { user: known("system:anonymous") },
    "cluster-login-anonymous",
    "problem",
    /kubectl auth whoami/,
  ),
  at(
    "/version forbidden",
    { serverVersion: forbidden('User "ada" cannot get path "/version"') },
    "cluster-version-unknown",
    "note",
    /cannot get path/,
  ),
  at(
    "Kubernetes 1.19",
    { serverVersion: known("v1.19.16") },
    "cluster-version",
    "problem",
    /1\.21/,
  ),
  at(
    "Kubernetes 1.22",
    { serverVersion: known("v1.22.17-gke.8000") },
    "cluster-version",
    "warning",
    /ephemeral/,
  ),
  at("a clock ahead", { clockAheadMs: 300_000 }, "cluster-clock", "warning", /300 s ahead of/),
  at(
    "a laptop woken up",
    { clockAheadMs: -7_200_000 },
    "cluster-clock",
    "warning",
    /7200 s behind/,
  ),
  at(
    "a misspelt namespace",
    { namespaceFacts: known(undefined) },
    "cluster-namespace-not-found",
    "problem",
    /kubectl get namespaces/,
  ),
  {
    when: "production, to steal",
    findings: () => judgeCluster(cluster, { ...wish, protectedContexts: ["prod*", "stag*"] }),
    id: "cluster-protected",
    level: "note",
    says: /--yes/,
  },
  rights("an admin", [answer("get", "pods", { isAllowed: true })], "rights-all", "ok", /1 of 1/),
  rights(
    "a viewer",
    [answer("get", "pods", { isAllowed: true }), portForward],
    "rights-missing",
    "problem",
    /user "ada@example\.com" may not.*create pods\/portforward \(reaches the agent\)/,
  ),
  rights("a viewer", [portForward], "rights-missing", "problem", /kind: Role/),
  rights(
    "who may make jobs and not remove them, in two namespaces",
    [
      answer("delete", "jobs", { isAllowed: true }),
      answer("create", "jobs"),
      answer("delete", "jobs", { namespace: "agents" }),
    ],
    "rights-missing",
    "problem",
    /in namespace "shop" and "agents": create and delete jobs \(to look\)/,
  ),
  rights(
    "an authorizer with reasons",
    [answer("get", "pods", { reason: "no such group in the directory" })],
    "rights-missing",
    "problem",
    /no such group/,
  ),
  rights("who may not see events", [optional], "rights-optional", "note", /--print-role/),
];

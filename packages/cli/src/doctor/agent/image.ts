/** The agent's image, and whether the node has it. Pure. */
import type { AgentOutlook, NodeFacts } from "@inpod/targets";
import { type Finding, findingsOf } from "../finding.ts";

const { ok, note, warning, problem } = findingsOf("agent");

/** nodeStatusMaxImages of the kubelet, unless told otherwise: of more, the smallest are not listed. */
const LISTED_IMAGES = 50;

export function judgeImage(
  { image, imagePullPolicy }: Pick<AgentOutlook, "image" | "imagePullPolicy">,
  node: NodeFacts | undefined,
  version: string,
): Finding[] {
  return [...judgeTag(image, version), ...judgePresence(image, imagePullPolicy, node)];
}

/** As a node lists it: with registry and tag (distribution/reference, "familiar names"). */
export function fullName(image: string): string {
  const [path = "", digest] = image.split("@");
  const [first = "", ...rest] = path.split("/");
  const hasRegistry = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  const named = hasRegistry
    ? path
    : rest.length === 0
      ? `docker.io/library/${path}`
      : `docker.io/${path}`;
  if (digest !== undefined) return `${named.replace(/:[^:/]*$/, "")}@${digest}`;
  return /:[^/]*$/.test(named) ? named : `${named}:latest`;
}

const tagOf = (image: string): string | undefined =>
  image.includes("@") ? undefined : /:([^/]*)$/.exec(fullName(image))?.[1];

export function judgeTag(image: string, version: string): Finding[] {
  const tag = tagOf(image);
  if (tag === version) return [];
  if (tag !== undefined && /^v?\d+\.\d+\.\d+/.test(tag))
    return [
      warning(
        "image-version",
        `the agent's image "${image}" is of another version than this inpod (${version})`,
        {
          why: "agent and inpod must speak the same protocol; a session with another says so and ends",
          hints: [
            "use the one that belongs to this inpod: leave out --agent-image and agent.image",
          ],
        },
      ),
    ];
  return [
    note("image-other", `the agent's image is "${image}", whose name does not tell its version`, {
      why: `agent and inpod must speak the same protocol; this inpod is ${version}`,
    }),
  ];
}

function judgePresence(
  image: string,
  policy: AgentOutlook["imagePullPolicy"],
  node: NodeFacts | undefined,
): Finding[] {
  if (node === undefined)
    return [note("image-unknown", `whether the node has the image "${image}" is not known`)];
  if (node.images.includes(fullName(image)))
    return [ok("image", `the node has the image ${image}`)];
  const isListComplete = node.imageCount < LISTED_IMAGES;
  if (policy === "Never" && isListComplete)
    return [
      problem(
        "image-missing",
        `node "${node.name}" does not have the image "${image}", and agent.image_pull_policy is Never`,
        {
          hints: ["load it onto the node, or leave image_pull_policy out"],
        },
      ),
    ];
  return [
    note(
      "image-pull",
      isListComplete
        ? `node "${node.name}" does not have the image "${image}" yet: it will pull it`
        : `node "${node.name}" does not list the image "${image}" among its ${node.imageCount} largest`,
      {
        why: "whether it may pull it is known only when it does: a private registry takes agent.image_pull_secrets; the first session waits for the download",
      },
    ),
  ];
}

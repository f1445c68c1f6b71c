/**
 * The variables that a container gets from its pod's spec, for when there is no process to ask: between two
 * lives of a crashing container. What its image and the cluster's Services would add is not in the spec.
 */
import type { ByteString } from "@inpod/protocol";
import type {
  V1ConfigMap,
  V1Container,
  V1EnvVarSource,
  V1Pod,
  V1Secret,
} from "@kubernetes/client-node";
import type { SpecEnvironment } from "../../api.ts";
import { quantity } from "../quantity.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { explain, isForbidden, isNotFound } from "../reach/api-errors.ts";
import { readPod } from "../reach/read-pod.ts";
import type { TargetPod } from "./target-pod.ts";

type Data = ReadonlyMap<string, ByteString>;
/** `why`: it could not be read, in words. */
type Source = { readonly data: Data } | { readonly why: string };
/** By "configmaps/NAME" and "secrets/NAME". */
export type Sources = ReadonlyMap<string, Source>;

const toBytes = (text: string): ByteString => Buffer.from(text, "utf8").toString("latin1");

/** @throws UserError when the pod cannot be read */
export async function specEnvironment(
  api: ApiClient,
  { namespace, name, container }: TargetPod,
  signal: AbortSignal,
): Promise<SpecEnvironment> {
  const get = <T>(resource: string, object: string): Promise<T> =>
    api.request<T>({ verb: "get", group: "", resource, namespace, name: object }, { signal });
  const pod = await readPod(api, namespace, name, signal).catch((error: unknown) => {
    throw explain(error);
  });
  const spec = containerOf(pod, container);
  const wanted = new Set(spec === undefined ? [] : sourceNames(spec));
  const sources = new Map<string, Source>();
  await Promise.all(
    [...wanted].map(async (source) => {
      const [resource = "", object = ""] = source.split("/");
      sources.set(
        source,
        await get<V1ConfigMap & V1Secret>(resource, object).then(
          (found) => ({ data: dataOf(resource, found) }),
          (error: unknown) => ({ why: whyNot(error) }),
        ),
      );
    }),
  );
  return environmentOf(pod, container, sources);
}

const containerOf = (pod: V1Pod, name: string): V1Container | undefined =>
  [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].find(
    (each) => each.name === name,
  );

const sourceNames = ({ env = [], envFrom = [] }: V1Container): string[] => [
  ...envFrom.flatMap(({ configMapRef, secretRef }) => [
    ...(configMapRef?.name ? [`configmaps/${configMapRef.name}`] : []),
    ...(secretRef?.name ? [`secrets/${secretRef.name}`] : []),
  ]),
  ...env.flatMap(({ valueFrom }) => sourceOf(valueFrom) ?? []),
];

function sourceOf(from: V1EnvVarSource | undefined): string | undefined {
  if (from?.configMapKeyRef?.name) return `configmaps/${from.configMapKeyRef.name}`;
  if (from?.secretKeyRef?.name) return `secrets/${from.secretKeyRef.name}`;
  return undefined;
}

const dataOf = (resource: string, { data = {} }: V1ConfigMap | V1Secret): Data =>
  new Map(
    Object.entries(data).map(([key, value]) => [
      key,
      resource === "secrets" ? Buffer.from(value, "base64").toString("latin1") : toBytes(value),
    ]),
  );

const whyNot = (error: unknown): string =>
  isForbidden(error) ? "you may not read it" : isNotFound(error) ? "it is not there" : "no answer";

/** Pure. As the kubelet makes it: `envFrom` in its order, then `env`, of which a later one counts. */
export function environmentOf(pod: V1Pod, container: string, sources: Sources): SpecEnvironment {
  const spec = containerOf(pod, container);
  const variables = new Map<string, ByteString>();
  const missing: string[] = [];
  for (const { prefix = "", configMapRef, secretRef } of spec?.envFrom ?? []) {
    const ref = configMapRef ?? secretRef;
    const name = `${configMapRef ? "configmaps" : "secrets"}/${ref?.name}`;
    const source = sources.get(name);
    if (source && "data" in source)
      for (const [key, value] of source.data) variables.set(`${prefix}${key}`, value);
    else if (!ref?.optional) missing.push(`all of ${name} (${source?.why ?? "unknown"})`);
  }
  for (const { name, value = "", valueFrom } of spec?.env ?? []) {
    const found: ByteString | Lack =
      valueFrom === undefined
        ? expand(toBytes(value), variables)
        : sourcedValue(valueFrom, pod, spec, sources);
    if (typeof found === "string") variables.set(name, found);
    else if (found.why !== undefined) missing.push(`${name} (${found.why})`);
  }
  return { variables: [...variables].map(([name, value]) => [toBytes(name), value]), missing };
}

/** `why` undefined: optional, and not there. */
interface Lack {
  readonly why: string | undefined;
}

function sourcedValue(
  from: V1EnvVarSource,
  pod: V1Pod,
  container: V1Container | undefined,
  sources: Sources,
): ByteString | Lack {
  const ref = from.configMapKeyRef ?? from.secretKeyRef;
  const name = sourceOf(from);
  if (ref !== undefined && name !== undefined) {
    const source = sources.get(name);
    const value = source && "data" in source ? source.data.get(ref.key) : undefined;
    if (value !== undefined) return value;
    const isThere = source !== undefined && "data" in source;
    if (ref.optional && (isThere || source?.why === "it is not there")) return { why: undefined };
    return { why: isThere ? `${name} has no key "${ref.key}"` : `${name}: ${source?.why}` };
  }
  if (from.fieldRef !== undefined) {
    const field = fieldOf(pod, from.fieldRef.fieldPath);
    return field === undefined ? { why: from.fieldRef.fieldPath } : toBytes(field);
  }
  if (from.resourceFieldRef !== undefined) {
    const { resource, divisor } = from.resourceFieldRef;
    const [kind = "", what = ""] = resource.split(".");
    const resources = container?.resources as Record<string, Record<string, string>> | undefined;
    const amount = quantity(resources?.[kind]?.[what]);
    const unit = quantity(divisor === undefined || divisor === "0" ? "1" : divisor);
    // A limit that nobody set is the node's.
    if (amount === undefined || unit === undefined) return { why: resource };
    return String(Math.ceil(amount / unit));
  }
  return { why: "a source that this version does not know" };
}

/** The fields that may stand in an environment. */
function fieldOf(pod: V1Pod, path: string): string | undefined {
  const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (keyed) return pod.metadata?.[keyed[1] as "labels" | "annotations"]?.[keyed[2] ?? ""] ?? "";
  const { metadata, spec, status } = pod;
  switch (path) {
    case "metadata.name":
      return metadata?.name;
    case "metadata.namespace":
      return metadata?.namespace;
    case "metadata.uid":
      return metadata?.uid;
    case "spec.nodeName":
      return spec?.nodeName;
    case "spec.serviceAccountName":
      return spec?.serviceAccountName;
    case "status.hostIP":
      return status?.hostIP;
    case "status.hostIPs":
      return status?.hostIPs?.map(({ ip }) => ip).join(",");
    case "status.podIP":
      return status?.podIP;
    case "status.podIPs":
      return status?.podIPs?.map(({ ip }) => ip).join(",");
    default:
      return undefined;
  }
}

/** $(NAME) of what is known by then, $$ for a dollar; what is not known stays as it is written. */
const expand = (value: ByteString, known: Data): ByteString =>
  value.replace(/\$\$|\$\(([^()]*)\)/g, (written, name: string | undefined) =>
    name === undefined ? "$" : (known.get(name) ?? written),
  );

/** What is not there, with what was probably meant. */
import { nearestNames, UserError } from "@inpod/protocol";
import type { WorkloadKind } from "../../target-path.ts";
import type { Cluster } from "../cluster.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { type ApiCall, isNotFound } from "../reach/api-errors.ts";
import { listMetadata } from "../reach/list.ts";
import { RESOURCES } from "../reach/roles.ts";

/** Rights to list are not needed for anything else: without them the error has no suggestions. */
const names = (
  api: ApiClient,
  call: Omit<ApiCall, "verb">,
  signal: AbortSignal | undefined,
): Promise<string[]> =>
  listMetadata(api, call, { signal }).then(
    (list) => list.map(({ metadata }) => metadata.name),
    () => [],
  );

const NAMESPACES = { group: "", resource: "namespaces" } as const;

/**
 * The API server says "no such pod" of a namespace that is not there, too, and of a kind that it
 * does not know.
 *
 * @param error its answer
 */
export async function notFound(
  api: ApiClient,
  kind: "pod" | WorkloadKind,
  namespace: string,
  name: string,
  signal: AbortSignal | undefined,
  error: unknown,
): Promise<UserError> {
  if (kind === "rollout" && isUnknownKind(error)) return noRollouts(error);
  const [known, hasNamespace] = await Promise.all([
    names(api, { ...RESOURCES[kind], namespace }, signal),
    isNamespace(api, namespace, signal),
  ]);
  if (hasNamespace) return targetNotFound(kind, namespace, name, known);
  return namespaceNotFound(namespace, await names(api, NAMESPACES, signal));
}

/** @returns true also when it may not be asked */
const isNamespace = (
  api: ApiClient,
  namespace: string,
  signal: AbortSignal | undefined,
): Promise<boolean> =>
  api.request({ ...NAMESPACES, verb: "get", name: namespace }, { signal }).then(
    () => true,
    (error) => !isNotFound(error),
  );

/** For who has found nothing there. @throws UserError NAMESPACE_NOT_FOUND, where that may be asked */
export async function checkNamespace(
  { api, namespace }: Pick<Cluster, "api" | "namespace">,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (!(await isNamespace(api, namespace, signal)))
    throw await unknownNamespace(api, namespace, signal);
}

export const unknownNamespace = async (
  api: ApiClient,
  namespace: string,
  signal: AbortSignal | undefined,
): Promise<UserError> => namespaceNotFound(namespace, await names(api, NAMESPACES, signal));

/** The answer to a path that leads to nothing; of an object it would name resource and object. */
export const isUnknownKind = (error: unknown): boolean =>
  isNotFound(error) && /could not find the requested resource|page not found/.test(String(error));

export const noRollouts = (cause: unknown): UserError =>
  new UserError("TARGET_NOT_FOUND", "the cluster has no rollouts: Argo Rollouts is not installed", {
    hints: ["see what is there: inpod ls"],
    cause,
  });

const targetNotFound = (
  kind: "pod" | WorkloadKind,
  namespace: string,
  name: string,
  known: readonly string[],
): UserError => {
  const near = nearestNames(name, known);
  return new UserError(
    kind === "pod" ? "POD_NOT_FOUND" : "TARGET_NOT_FOUND",
    `no ${kind} "${name}" in namespace "${namespace}"`,
    {
      hints: [
        ...(near.length > 0
          ? [`did you mean ${near.map((each) => `${kind}/${each}`).join(", ")}?`]
          : []),
        `see what is there: inpod ls ${kind} -n ${namespace}`,
        "look in another namespace: -n NAME",
      ],
    },
  );
};

const namespaceNotFound = (namespace: string, known: readonly string[]): UserError => {
  const near = nearestNames(namespace, known);
  return new UserError("NAMESPACE_NOT_FOUND", `no namespace "${namespace}" in the cluster`, {
    hints: [
      ...(near.length > 0 ? [`did you mean ${near.join(", ")}?`] : []),
      "see which there are: kubectl get namespaces",
    ],
  });
};

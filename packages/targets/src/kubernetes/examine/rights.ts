/** Whether the user has each of some rights, asked one by one. */
import type { ApiClient } from "../reach/api-client.ts";
import type { Right } from "../reach/roles.ts";

export interface RightAnswer {
  readonly right: Right;
  readonly namespace: string;
  readonly isAllowed: boolean;
  /** The authorizer's own words, where it has any. */
  readonly reason: string;
}

/** At once; each is one small request. */
const WIDTH = 4;

interface AccessReview {
  readonly status?: { readonly allowed?: boolean; readonly reason?: string };
}

/** Changes nothing: a SelfSubjectAccessReview is answered and not kept. */
export async function tryRights(
  api: ApiClient,
  namespace: string,
  rights: readonly Right[],
  signal: AbortSignal,
): Promise<RightAnswer[]> {
  const answers: RightAnswer[] = [];
  for (let at = 0; at < rights.length; at += WIDTH)
    answers.push(
      ...(await Promise.all(
        rights.slice(at, at + WIDTH).map((right) => tryRight(api, namespace, right, signal)),
      )),
    );
  return answers;
}

async function tryRight(
  api: ApiClient,
  namespace: string,
  right: Right,
  signal: AbortSignal,
): Promise<RightAnswer> {
  const { group, resource, subresource, verb } = right;
  const { status } = await api.request<AccessReview>(
    { verb: "create", group: "authorization.k8s.io", resource: "selfsubjectaccessreviews" },
    {
      body: {
        apiVersion: "authorization.k8s.io/v1",
        kind: "SelfSubjectAccessReview",
        spec: {
          resourceAttributes: {
            namespace,
            verb,
            group,
            resource,
            ...(subresource === undefined ? {} : { subresource }),
          },
        },
      },
      signal,
    },
  );
  return {
    right,
    namespace,
    isAllowed: status?.allowed === true,
    reason: status?.reason ?? "",
  };
}

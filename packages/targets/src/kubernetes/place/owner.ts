/** Who the cluster says we are: the name that everything we make there carries. */
import type { ApiClient } from "../reach/api-client.ts";

interface SelfSubjectReview {
  readonly status?: { readonly userInfo?: { readonly username?: string } };
}

/** Undefined where the API server does not tell (before Kubernetes 1.28, or refused). Never rejects. */
export async function whoAmI(api: ApiClient, signal?: AbortSignal): Promise<string | undefined> {
  try {
    const { status } = await api.request<SelfSubjectReview>(
      { verb: "create", group: "authentication.k8s.io", resource: "selfsubjectreviews" },
      { body: { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" }, signal },
    );
    return status?.userInfo?.username;
  } catch {
    return undefined;
  }
}

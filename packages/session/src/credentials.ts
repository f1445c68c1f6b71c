/**
 * What a client library would find on the developer's machine, and use, where the pod has an identity of its own:
 * variables and files. The program acts as the pod; with the developer's identity only if he says so.
 *
 * A variable that says which account, project or region is meant is hidden like the one with the key: half of one
 * identity and half of another is worse than either. Registry logins (~/.docker) are no identity of a pod, and the
 * same directory says where the developer's Docker daemon is: they stay.
 */
import { type ByteString, matchesWildcard } from "@inpod/protocol";

export const CREDENTIAL_KINDS = ["aws", "azure", "gcp", "kubernetes"] as const;
export type CredentialKind = (typeof CREDENTIAL_KINDS)[number];

export interface Credentials {
  /** For people. */
  readonly what: string;
  /** Names of variables, `*` for any text; with case. */
  readonly variables: readonly string[];
  /** Of those, what says nothing of an identity: whom to trust, how a tool looks. */
  readonly except?: readonly string[];
  /** Files and directories below $HOME. */
  readonly belowHome: readonly ByteString[];
}

export const CREDENTIALS: Readonly<Record<CredentialKind, Credentials>> = {
  aws: {
    what: "AWS",
    variables: ["AWS_*"],
    except: ["AWS_CA_BUNDLE", "AWS_PAGER"],
    belowHome: [".aws"],
  },
  azure: {
    what: "Azure",
    variables: [
      ...["AZURE_*", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "MSI_SECRET"],
      // Terraform's names for the same.
      ...["ARM_ACCESS_KEY", "ARM_CLIENT_*", "ARM_OIDC_*", "ARM_SUBSCRIPTION_ID", "ARM_TENANT_ID"],
    ],
    except: ["AZURE_CORE_*"],
    // Of az, of azd, and the token cache that Azure's libraries share.
    belowHome: [".azure", ".azd", ".IdentityService"],
  },
  gcp: {
    what: "Google Cloud",
    variables: [
      ...["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CREDENTIALS", "GOOGLE_OAUTH_ACCESS_TOKEN"],
      ...["GOOGLE_IMPERSONATE_SERVICE_ACCOUNT", "GOOGLE_CLOUD_KEYFILE_JSON"],
      ...["GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_QUOTA_PROJECT", "GCLOUD_PROJECT", "GCP_PROJECT"],
      // gcloud's; CLOUDSDK_PYTHON and the like say how it runs, and stay.
      ...["CLOUDSDK_CONFIG", "CLOUDSDK_ACTIVE_CONFIG_NAME", "CLOUDSDK_AUTH_*"],
      ...["CLOUDSDK_CORE_ACCOUNT", "CLOUDSDK_CORE_PROJECT"],
    ],
    belowHome: [".config/gcloud"],
  },
  kubernetes: {
    what: "Kubernetes",
    variables: ["KUBECONFIG", "KUBE_CONFIG_PATH", "KUBE_CONFIG_PATHS"],
    belowHome: [".kube"],
  },
};

/** Of some names, those that say who the developer is, in their order; without the kinds that he lets the program have. */
export function credentialVariables(
  names: readonly string[],
  kept: readonly CredentialKind[],
): string[] {
  const hidden = CREDENTIAL_KINDS.filter((kind) => !kept.includes(kind)).map(
    (kind) => CREDENTIALS[kind],
  );
  const isAmong = (patterns: readonly string[], name: string): boolean =>
    patterns.some((pattern) => matchesWildcard(pattern, name));
  return names.filter((name) =>
    hidden.some(({ variables, except = [] }) => isAmong(variables, name) && !isAmong(except, name)),
  );
}

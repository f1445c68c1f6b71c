/** Which rights a session needs, by namespace, and the Roles that give just those. Pure. */
import type { ClusterPath } from "../../target-path.ts";
import { type Right, rightsAt, roleYaml, sessionPurposes } from "../reach/roles.ts";

export interface RightsAt {
  readonly namespace: string;
  readonly rights: readonly Right[];
}

export interface SessionPlace {
  /** Undefined: no target is named yet; the rights of `pod/NAME` are then meant. */
  readonly kind: ClusterPath["kind"] | undefined;
  readonly namespace: string;
  /** Undefined: the target's. */
  readonly agentNamespace: string | undefined;
  readonly isEphemeral: boolean;
  /** Whether a Secret with a certificate will be read. */
  readonly readsCertificates?: boolean | undefined;
}

/** One for each namespace, the target's first. */
export function sessionRights(place: SessionPlace): RightsAt[] {
  const purposes = purposesOf(place);
  const namespaces = new Set(purposes.map(({ namespace }) => namespace ?? place.namespace));
  return [...namespaces].map((namespace) => ({
    namespace,
    rights: rightsAt(purposes, namespace),
  }));
}

const purposesOf = ({
  kind = "pod",
  namespace,
  agentNamespace,
  isEphemeral,
  readsCertificates,
}: SessionPlace) =>
  sessionPurposes(kind, namespace, agentNamespace, isEphemeral, readsCertificates);

/** A YAML document for each, for `kubectl apply -f -`. */
export const rolesYaml = (all: readonly RightsAt[]): string =>
  all.map(({ namespace, rights }) => `${roleYaml(rights, namespace)}\n`).join("---\n");

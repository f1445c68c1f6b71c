/** What the API server refuses, and what keeps us from reaching it, in words. */
import { UserError } from "@inpod/protocol";

/** One request by what it is about: its URL and what to say when it is refused both follow from this. */
export interface ApiCall {
  readonly verb: "get" | "list" | "watch" | "create" | "update" | "patch" | "delete";
  /** "" for the core group. */
  readonly group: string;
  /** Undefined: v1. */
  readonly version?: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
}

/** An answer beyond 2xx with the API server's Status. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly call: ApiCall;

  /** @param message the Status's own message */
  constructor(call: ApiCall, status: number, message: string) {
    super(message);
    this.call = call;
    this.status = status;
  }
}

/** RBAC's sentence, which other authorizers give too; admission has words of its own for its 403. */
export const isForbidden = (error: unknown): boolean =>
  error instanceof ApiError &&
  error.status === 403 &&
  /\bcannot \S+ resource "/.test(error.message);

export const isNotFound = (error: unknown): boolean =>
  error instanceof ApiError && error.status === 404;

/** Any failure of a request as what a user can act on; what is none comes back as it is. */
export function explain(error: unknown): unknown {
  if (!(error instanceof ApiError)) return error;
  if (error.status === 401) return unauthorized(error);
  if (isForbidden(error)) return forbidden(error);
  if (error.status >= 500 || error.status === 429) return serverFailed(error);
  return refused(error);
}

const what = ({ verb, resource, subresource, name }: ApiCall): string =>
  `${verb} ${subresource === undefined ? resource : `${resource}/${subresource}`}${
    name === undefined ? "" : ` "${name}"`
  }`;
const where = ({ namespace }: ApiCall): string =>
  namespace === undefined ? "" : ` in namespace "${namespace}"`;

/** Every right that a session uses in the target's namespace; `list` only makes errors better. */
export const minimalRole = (namespace: string): string =>
  [
    "apiVersion: rbac.authorization.k8s.io/v1",
    "kind: Role",
    `metadata: {name: inpod, namespace: ${namespace}}`,
    "rules:",
    '- {apiGroups: [""], resources: [pods], verbs: [get, list, watch, create]}',
    '- {apiGroups: [""], resources: [pods/portforward], verbs: [get, create]}',
    '- {apiGroups: [""], resources: [pods/log], verbs: [get]}',
    '- {apiGroups: [""], resources: [events], verbs: [list, watch]}',
    "- {apiGroups: [batch], resources: [jobs], verbs: [create, delete]}",
  ].join("\n");

const forbidden = (error: ApiError): UserError => {
  const user = /User "([^"]+)"/.exec(error.message)?.[1];
  const { namespace = "default" } = error.call;
  return new UserError(
    "FORBIDDEN",
    `${user === undefined ? "you" : `user "${user}"`} may not ${what(error.call)}${where(error.call)}`,
    {
      hints: [`ask for this Role in namespace "${namespace}":\n${minimalRole(namespace)}`],
      cause: error,
    },
  );
};

const unauthorized = (error: ApiError): UserError =>
  new UserError("UNAUTHORIZED", "the cluster does not accept this login", {
    hints: [
      "log in again; credentials may have expired",
      "see whether kubectl can: kubectl auth whoami",
    ],
    cause: error,
  });

const serverFailed = (error: ApiError): UserError =>
  new UserError(
    "API_SERVER_FAILED",
    `the API server could not ${what(error.call)}${where(error.call)} (HTTP ${error.status})`,
    { cause: error },
  );

const refused = (error: ApiError): UserError =>
  new UserError("REFUSED", `the cluster refused to ${what(error.call)}${where(error.call)}`, {
    cause: error,
  });

/** OpenSSL's and Node's names for a certificate that was not believed. */
const isCertificateProblem = (code: string): boolean =>
  /^(CERT_|ERR_TLS_CERT|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY))/.test(code);

export function unreachable(server: URL, contextName: string, cause: unknown): UserError {
  const { code = "" } = cause as NodeJS.ErrnoException;
  if (isCertificateProblem(code))
    return new UserError(
      "API_SERVER_UNTRUSTED",
      `the certificate of the API server ${server.origin} is not trusted`,
      {
        hints: [
          `check certificate-authority and server of the cluster in context "${contextName}"`,
        ],
        cause,
      },
    );
  return new UserError(
    "API_SERVER_UNREACHABLE",
    `cannot reach the API server ${server.origin} of context "${contextName}"`,
    {
      hints: ["is the cluster up, and the VPN?", "choose another: --context NAME"],
      cause,
    },
  );
}

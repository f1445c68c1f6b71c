/** What the API server refuses, and what keeps us from reaching it, in words. */
import { UserError } from "@inpod/protocol";
import { type ApiVerb, type Purpose, type Right, rightsAt, roleYaml, VERBS } from "./roles.ts";

/** One request by what it is about: its URL and what to say when it is refused both follow from this. */
export interface ApiCall {
  readonly verb: ApiVerb;
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
  readonly purposes: readonly Purpose[];

  /**
   * @param message the Status's own message
   * @param purposes what the user wanted, so that all rights for it can be asked for at once
   */
  constructor(call: ApiCall, status: number, message: string, purposes: readonly Purpose[] = []) {
    super(message);
    this.call = call;
    this.status = status;
    this.purposes = purposes;
  }
}

const SENTENCE = /\bcannot (\S+) resource "/;
/** Of the second question about a port-forward (1.35) there is the authorizer's reason only, often an empty one. */
const SECOND_QUESTION = /is forbidden:\s*(RBAC: .*)?$/;

/** RBAC's sentence, which other authorizers give too; admission has words of its own for its 403. */
export const isForbidden = (error: unknown): boolean =>
  error instanceof ApiError &&
  error.status === 403 &&
  (SENTENCE.test(error.message) || isSecondQuestion(error));

const isSecondQuestion = ({ call, message }: ApiError): boolean =>
  call.subresource === "portforward" && SECOND_QUESTION.test(message);

export const isNotFound = (error: unknown): boolean =>
  error instanceof ApiError && error.status === 404;

/**
 * RBAC's own word for what was refused: a port-forward is asked for by a GET, which takes the right to get it and,
 * since Kubernetes 1.35, the right to create it.
 */
function refusedVerb(error: ApiError): ApiVerb {
  const { message, call } = error;
  if (isSecondQuestion(error)) return "create";
  const [, verb] = SENTENCE.exec(message) ?? [];
  return VERBS.find((each) => each === verb) ?? call.verb;
}

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

/** The rights for all that was wanted where the refused call was made, that call's own among them. */
function rightsToAskFor(call: ApiCall, purposes: readonly Purpose[]): Right[] {
  const rights = rightsAt(purposes, call.namespace);
  const { verb, group, resource, subresource } = call;
  const isKnown = rights.some(
    (each) =>
      each.verb === verb &&
      each.group === group &&
      each.resource === resource &&
      each.subresource === subresource,
  );
  return isKnown ? rights : [...rights, { ...call, needed: "always", why: "was refused" }];
}

const forbidden = (error: ApiError): UserError => {
  const user = /User "([^"]+)"/.exec(error.message)?.[1];
  const call = { ...error.call, verb: refusedVerb(error) };
  const { namespace, group } = call;
  const place = namespace === undefined ? "ClusterRole" : `Role in namespace "${namespace}"`;
  return new UserError(
    "FORBIDDEN",
    `${user === undefined ? "you" : `user "${user}"`} may not ${what(call)}${
      group === "" ? "" : ` of API group "${group}"`
    }${where(call)}`,
    {
      hints: [
        `ask for this ${place}:\n${roleYaml(rightsToAskFor(call, error.purposes), namespace)}`,
      ],
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

/** @param proxy the one that it was tried through, for people */
export function unreachable(
  server: URL,
  contextName: string,
  cause: unknown,
  proxy?: string,
): UserError {
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
    `cannot reach the API server ${server.origin} of context "${contextName}"${
      proxy === undefined ? "" : ` through the proxy ${proxy}`
    }`,
    {
      hints: ["is the cluster up, and the VPN?", "choose another: --context NAME"],
      cause,
    },
  );
}

/** @param text what came in the place of an object: of a page at most a line is shown */
export function notKubernetes(
  server: URL,
  contextName: string,
  text: string,
  cause: unknown,
): UserError {
  const line = text
    .replace(/[^\x20-\x7e]+/g, " ")
    .trim()
    .slice(0, 120);
  return new UserError(
    "API_SERVER_FAILED",
    `what answers at ${server.origin} for the API server of context "${contextName}" is none`,
    {
      hints: [
        "a login page or a proxy on the way? See whether kubectl gets through: kubectl version",
        "choose another: --context NAME",
      ],
      cause: line === "" ? cause : new Error(`it says: ${line}`),
    },
  );
}

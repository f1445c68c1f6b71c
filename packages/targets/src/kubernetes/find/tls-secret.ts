/** A certificate and its key out of a Secret in the target's namespace, read with the user's own rights. */
import { UserError } from "@inpod/protocol";
import type { V1Secret } from "@kubernetes/client-node";
import type { TlsSecret } from "../../api.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { explain, isNotFound } from "../reach/api-errors.ts";

/** @throws UserError; nothing of the Secret's values is in it */
export async function readTlsSecret(
  api: ApiClient,
  namespace: string,
  name: string,
  signal: AbortSignal,
): Promise<TlsSecret> {
  const secret = await api
    .request<V1Secret>({ verb: "get", group: "", resource: "secrets", namespace, name }, { signal })
    .catch((error: unknown) => {
      throw isNotFound(error) ? secretNotFound(name, namespace, error) : explain(error);
    });
  const { "tls.crt": cert, "tls.key": key } = secret.data ?? {};
  if (!cert || !key) throw notTls(name, namespace, secret);
  return { cert: decoded(cert), key: decoded(key) };
}

const decoded = (base64: string): string => Buffer.from(base64, "base64").toString("latin1");

const secretNotFound = (name: string, namespace: string, cause: unknown): UserError =>
  new UserError("TLS_SECRET_NOT_FOUND", `no secret/${name} in namespace "${namespace}"`, {
    cause,
    hints: [`see what is there: kubectl get secrets -n ${namespace}`],
  });

function notTls(name: string, namespace: string, { type, data = {} }: V1Secret): UserError {
  const keys = Object.keys(data).sort().join(", ");
  return new UserError(
    "TLS_SECRET_WRONG_TYPE",
    `secret/${name} in namespace "${namespace}" is none for TLS: it is of type ${type ?? "Opaque"} and has ${keys === "" ? "nothing" : keys}`,
    {
      hints: [
        "kubernetes.io/tls has tls.crt and tls.key; other ones with these two are taken, too",
      ],
    },
  );
}

/** The two requests that a relay's agent may make of the API server: to read one Service, and to patch it. */
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { FIELD_MANAGER, type ServiceLike } from "@inpod/protocol";

/** Where the kubelet puts a service account. */
const ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
const TIMEOUT_MS = 3000;
/** etcd takes 1.5 MiB of an object. */
const MAX_BODY = 4 * 1024 * 1024;

export interface Answer {
  /** HTTP's. */
  readonly status: number;
  /** Undefined: no 2xx. */
  readonly service: ServiceLike | undefined;
}

export interface ServiceApi {
  get(signal: AbortSignal): Promise<Answer>;
  /** @param patch JSON Merge Patch */
  patch(patch: unknown, signal: AbortSignal): Promise<Answer>;
}

/** Each rejects when there is no answer. */
export function serviceApi(
  { namespace, service }: { readonly namespace: string; readonly service: string },
  env: NodeJS.ProcessEnv,
): ServiceApi {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/services/${encodeURIComponent(service)}`;
  return {
    get: (signal) => ask(env, signal, "GET", path),
    patch: (patch, signal) =>
      ask(env, signal, "PATCH", `${path}?fieldManager=${FIELD_MANAGER}`, JSON.stringify(patch)),
  };
}

function ask(
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
  method: string,
  path: string,
  body?: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: env.KUBERNETES_SERVICE_HOST,
        port: env.KUBERNETES_SERVICE_PORT,
        path,
        method,
        ca: readFileSync(`${ACCOUNT}/ca.crt`),
        timeout: TIMEOUT_MS,
        signal,
        headers: {
          // Read each time: the kubelet renews it.
          authorization: `Bearer ${readFileSync(`${ACCOUNT}/token`, "utf8").trim()}`,
          accept: "application/json",
          ...(body === undefined ? {} : { "content-type": "application/merge-patch+json" }),
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        let length = 0;
        response.on("data", (chunk: Buffer) => {
          length += chunk.length;
          if (length > MAX_BODY) sent.destroy(new Error("an answer that is too long"));
          else chunks.push(chunk);
        });
        response.on("error", reject);
        response.on("end", () => {
          const { statusCode: status = 0 } = response;
          try {
            const isGood = status >= 200 && status < 300;
            const service = isGood ? JSON.parse(Buffer.concat(chunks).toString()) : undefined;
            resolve({ status, service });
          } catch (error) {
            reject(error);
          }
        });
      },
    );
    sent.on("timeout", () => sent.destroy(new Error("no answer of the API server")));
    sent.on("error", reject);
    sent.end(body);
  });
}

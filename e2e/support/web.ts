/** The common scene: a pod "web" behind a Service of its name, and a pod "client" that asks it with wget. */
import { imageOfFiles } from "./images.ts";
import { apply, kubectl, waitFor } from "./kubectl.ts";
import { NODE_IMAGE, runNodePod, runPod } from "./pods.ts";

/** What a shell in the client's pod prints. */
export const inClient = (namespace: string, script: string): Promise<string> =>
  kubectl("exec", "client", "-n", namespace, "--", "sh", "-c", script);

/**
 * @param source of Node's, listens on 3000; its answers begin with "pod"
 * @returns the client's address, when the Service has its pod
 */
export async function runWeb(namespace: string, source: string): Promise<string> {
  await imageOfFiles(NODE_IMAGE, [process.execPath]);
  await runNodePod({ namespace, name: "web", source });
  await apply({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace },
    spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 3000 }] },
  });
  await runPod({ namespace, name: "client", command: ["sleep", "3600"] });
  await waitFor("the service to have its pod", async () =>
    (await inClient(namespace, "wget -qO- http://web/").catch(() => "")).startsWith("pod")
      ? true
      : undefined,
  );
  return kubectl("get", "pod", "client", "-n", namespace, "-o", "jsonpath={.status.podIP}");
}

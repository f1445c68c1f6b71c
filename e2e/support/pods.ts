import { apply, kubectl } from "./kubectl.ts";

/** Images of e2e/cluster; other clusters name theirs. */
export const BUSYBOX = process.env.INPOD_E2E_BUSYBOX ?? "lab/busybox:1";
/** In e2e/cluster it is made by imageOfFiles(NODE_IMAGE, [process.execPath]). */
export const NODE_IMAGE = process.env.INPOD_E2E_NODE_IMAGE ?? "lab/node:1";

export interface PodOptions {
  readonly namespace: string;
  readonly name: string;
  readonly image?: string;
  readonly command: readonly string[];
  readonly container?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** More of the container's spec. */
  readonly extra?: object;
  readonly serviceAccountName?: string;
  readonly node?: string;
}

/** Without waiting for it. */
export async function createPod(options: PodOptions): Promise<void> {
  await apply({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: options.name,
      namespace: options.namespace,
      labels: options.labels ?? { app: options.name },
    },
    spec: {
      terminationGracePeriodSeconds: 0,
      restartPolicy: "Never",
      ...(options.node === undefined
        ? {}
        : { nodeSelector: { "kubernetes.io/hostname": options.node } }),
      ...(options.serviceAccountName === undefined
        ? {}
        : { serviceAccountName: options.serviceAccountName }),
      containers: [
        {
          name: options.container ?? "app",
          image: options.image ?? BUSYBOX,
          command: options.command,
          env: Object.entries(options.env ?? {}).map(([name, value]) => ({ name, value })),
          ...options.extra,
        },
      ],
    },
  });
}

/** And waits until it is ready. */
export async function runPod(options: PodOptions): Promise<void> {
  await createPod(options);
  await kubectl(
    ...["wait", "--for=condition=Ready", `pod/${options.name}`],
    ...["-n", options.namespace, "--timeout=60s"],
  );
}

/** A server of node:http or the like on NODE_IMAGE: `source` is CommonJS. */
export const runNodePod = (
  options: Omit<PodOptions, "command" | "image"> & { readonly source: string },
): Promise<void> =>
  runPod({ ...options, image: NODE_IMAGE, command: [process.execPath, "-e", options.source] });

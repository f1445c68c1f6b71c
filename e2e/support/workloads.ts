/** Workloads of each kind as values, with a container that sleeps and has an X of its own. */
import { BUSYBOX } from "./pods.ts";

export interface Shape {
  /** Labels of its pods, and its selector. */
  readonly labels: Readonly<Record<string, string>>;
  /** The value of the container's X. */
  readonly x?: string;
  readonly image?: string;
  readonly command?: readonly string[];
  /** More of the pod's spec. */
  readonly pod?: object;
  /** More of the container's. */
  readonly container?: object;
}

export const template = (shape: Shape): object => ({
  metadata: { labels: shape.labels },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: "app",
        image: shape.image ?? BUSYBOX,
        command: shape.command ?? ["sleep", "100000"],
        env: [{ name: "X", value: shape.x ?? "" }],
        ...shape.container,
      },
    ],
    ...shape.pod,
  },
});

const object = (apiVersion: string, kind: string, namespace: string, name: string) => ({
  apiVersion,
  kind,
  metadata: { name, namespace },
});

/** Deployment, ReplicaSet, StatefulSet, DaemonSet. */
export const workload = (
  kind: "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet",
  namespace: string,
  name: string,
  shape: Shape,
  more: object = {},
): object => ({
  ...object("apps/v1", kind, namespace, name),
  spec: { selector: { matchLabels: shape.labels }, template: template(shape), ...more },
});

export const job = (namespace: string, name: string, shape: Shape, more: object = {}): object => ({
  ...object("batch/v1", "Job", namespace, name),
  spec: {
    backoffLimit: 0,
    template: template({ ...shape, pod: { restartPolicy: "Never", ...shape.pod } }),
    ...more,
  },
});

/** Its time never comes in a test. */
export const cronJob = (
  namespace: string,
  name: string,
  shape: Shape,
  more: object = {},
): object => ({
  ...object("batch/v1", "CronJob", namespace, name),
  spec: {
    schedule: "0 0 29 2 *",
    jobTemplate: {
      spec: { template: template({ ...shape, pod: { restartPolicy: "Never", ...shape.pod } }) },
    },
    ...more,
  },
});

export const service = (namespace: string, name: string, spec: object): object => ({
  ...object("v1", "Service", namespace, name),
  spec: { ports: [{ port: 80 }], ...spec },
});

export const pod = (namespace: string, name: string, shape: Shape): object => {
  const { metadata, spec } = template(shape) as { metadata: object; spec: object };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, ...metadata },
    spec: { restartPolicy: "Never", ...spec },
  };
};

/** Of Argo Rollouts what finding a rollout's pods takes; its controller is played by the test. */
export const ROLLOUT_CRD = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "rollouts.argoproj.io" },
  spec: {
    group: "argoproj.io",
    scope: "Namespaced",
    names: { kind: "Rollout", plural: "rollouts", singular: "rollout" },
    versions: [
      {
        name: "v1alpha1",
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
        },
        subresources: {
          status: {},
          scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" },
        },
      },
    ],
  },
} as const;

export const rollout = (namespace: string, name: string, spec: object): object => ({
  ...object("argoproj.io/v1alpha1", "Rollout", namespace, name),
  spec,
});

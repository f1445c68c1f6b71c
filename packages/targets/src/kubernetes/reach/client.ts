/** What we use of the Kubernetes client, by name: the bundler leaves the rest of its 14 MB out. */
export { KubeConfig } from "@kubernetes/client-node";

/** Whoever has the file server, as the layer sees it. */
export interface PodRoot {
  /**
   * Resolves when the tap has the pod's files below its remote root (again).
   * @throws a failure with the errno that calls get until then
   */
  ready(): Promise<void>;
}

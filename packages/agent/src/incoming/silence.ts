/**
 * Calls `then` when a client has been silent for so long. A process that stood still meanwhile (a busy machine, a limit of
 * processor time) finds its timers over before it looks at its sockets: they are looked at once more first, so that what has
 * come in time counts. Nobody else can tell a server that speaks first from the kubelet's TCP probe.
 *
 * @returns for who has heard something
 */
export function afterSilence(ms: number, then: () => void): () => void {
  let look: NodeJS.Immediate | undefined;
  // The event loop's order: timers, sockets, immediates.
  const timer = setTimeout(() => {
    look = setImmediate(then);
  }, ms);
  return () => {
    clearTimeout(timer);
    clearImmediate(look);
  };
}

/** Ctrl-Z: while this process is stopped the target answers its clients itself, and nothing waits for us. */

/** How long stopping waits for the target to get its traffic back. */
const PAUSE_MS = 2000;

interface Paused {
  pause?(): Promise<void>;
  resume?(): Promise<void>;
}

/** @returns ends it */
export function pauseWhileStopped(all: readonly Paused[]): () => void {
  if (process.platform === "win32") return () => {};
  let isBusy = false;
  const onStop = async (): Promise<void> => {
    if (isBusy) return;
    isBusy = true;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PAUSE_MS);
    });
    await Promise.race([Promise.allSettled(all.map((each) => each.pause?.())), late]);
    clearTimeout(timer);
    process.kill(process.pid, "SIGSTOP"); // goes on here after SIGCONT
    await Promise.allSettled(all.map((each) => each.resume?.()));
    isBusy = false;
  };
  const listener = (): void => void onStop();
  process.on("SIGTSTP", listener);
  return () => process.off("SIGTSTP", listener);
}

/** A part's tie to `inpod up`: when that has ended, however, the part ends, too. */
import { Socket } from "node:net";

/** As long as a session has for its end, and a program that wants to. */
const PATIENCE_MS = 10_000;

/** @param fd of a pipe whose other end only the parent holds. @returns lets go of it */
export function holdLifeline(fd: number): () => void {
  const socket = new Socket({ fd, readable: true, writable: false });
  let isOver = false;
  const cut = (): void => {
    if (isOver) return;
    isOver = true;
    endGroup("SIGTERM");
    setTimeout(() => endGroup("SIGKILL"), PATIENCE_MS).unref();
  };
  socket.on("error", cut).on("close", cut).on("end", cut).resume().unref();
  return () => {
    isOver = true;
    socket.destroy();
  };
}

/** We lead the group that our programs are in: as by Ctrl-C they hear of it with us. */
function endGroup(signal: "SIGTERM" | "SIGKILL"): void {
  if (process.platform !== "win32") process.kill(-process.pid, signal);
  else if (signal === "SIGKILL") process.exit(1);
  else if (!process.emit(signal, signal)) process.exit(0);
}

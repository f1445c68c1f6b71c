/** The CLI's end: opens streams of the tunnel as the file server asks, and hands bytes on both ways. */
import type { FilesChannel, FilesLink, FilesStream } from "../link.ts";
import { RelayChannel, type Send } from "./channel.ts";
import { encodeFrame, type Frame, FrameKind } from "./frames.ts";

interface Joined {
  readonly ours: RelayChannel;
  theirs: FilesChannel | undefined;
  isOver: boolean;
}

export class CliEnd {
  readonly #link: FilesLink;
  readonly #send: Send;
  readonly #joined: Partial<Record<FilesStream, Joined>> = {};

  constructor(link: FilesLink, send: Send) {
    this.#link = link;
    this.#send = send;
  }

  receive(frame: Frame): void {
    const { kind, stream, epoch, bytes } = frame;
    if (kind === FrameKind.open) {
      this.#open(stream, epoch);
      return;
    }
    const joined = this.#joined[stream];
    if (!joined || joined.ours.epoch !== epoch) return;
    switch (kind) {
      case FrameKind.data:
        joined.ours.receiveData(bytes);
        return;
      case FrameKind.credit:
        joined.ours.receiveCredit(bytes.readUInt32LE(0));
        return;
      case FrameKind.reset:
        joined.isOver = true;
        joined.theirs?.reset(bytes.toString());
    }
  }

  /** The file server has ended. */
  close(): void {
    for (const stream of ["control", "bulk"] as const) this.#end(stream);
  }

  #end(stream: FilesStream): void {
    const joined = this.#joined[stream];
    delete this.#joined[stream];
    if (!joined || joined.isOver) return;
    joined.isOver = true;
    joined.theirs?.reset("ECANCELED");
  }

  #open(stream: FilesStream, epoch: number): void {
    this.#end(stream);
    const ours = new RelayChannel(stream, epoch, this.#send);
    const joined: Joined = { ours, theirs: undefined, isOver: false };
    this.#joined[stream] = joined;
    this.#link.open(stream).then(
      (theirs) => this.#join(stream, joined, theirs),
      (error: { errno?: unknown }) => {
        joined.isOver = true;
        ours.reset(typeof error.errno === "string" ? error.errno : "ECONNRESET");
      },
    );
  }

  #join(stream: FilesStream, joined: Joined, theirs: FilesChannel): void {
    const { ours } = joined;
    if (joined.isOver) {
      theirs.reset("ECANCELED");
      return;
    }
    joined.theirs = theirs;
    this.#send(encodeFrame(FrameKind.opened, stream, ours.epoch));
    let waiting = 0;
    ours.onData = (bytes) => {
      // What the frame was cut from is larger, and is not kept for it.
      if (theirs.write(bytes.slice())) ours.consumed(bytes.length);
      else waiting += bytes.length;
    };
    theirs.onDrain = () => {
      ours.consumed(waiting);
      waiting = 0;
    };
    let held = 0;
    theirs.onReset = (errno) => {
      joined.isOver = true;
      ours.reset(errno);
    };
    ours.onDrain = () => {
      theirs.consumed(held);
      held = 0;
    };
    theirs.onData = (bytes) => {
      if (ours.write(bytes)) theirs.consumed(bytes.length);
      else held += bytes.length;
    };
  }
}

/** The file server's end: its link to the agent goes through the CLI, which has the tunnel. */
import type { FilesChannel, FilesLink, FilesStream } from "../link.ts";
import { RelayChannel, type Send } from "./channel.ts";
import { encodeFrame, type Frame, FrameKind } from "./frames.ts";

interface Opening {
  readonly channel: RelayChannel;
  resolve(channel: FilesChannel): void;
  reject(error: Error): void;
}

export class ServerEnd implements FilesLink {
  readonly #send: Send;
  readonly #channels: Partial<Record<FilesStream, RelayChannel>> = {};
  readonly #opening: Partial<Record<FilesStream, Opening>> = {};
  #epoch = 0;

  constructor(send: Send) {
    this.#send = send;
  }

  open(which: FilesStream): Promise<FilesChannel> {
    const epoch = ++this.#epoch;
    const channel = new RelayChannel(which, epoch, this.#send);
    this.#channels[which] = channel;
    this.#opening[which]?.reject(new Error("opened anew"));
    return new Promise((resolve, reject) => {
      this.#opening[which] = { channel, resolve, reject };
      this.#send(encodeFrame(FrameKind.open, which, epoch));
    });
  }

  receive({ kind, stream, epoch, bytes }: Frame): void {
    const channel = this.#channels[stream];
    if (!channel || channel.epoch !== epoch) return;
    const opening = this.#opening[stream];
    switch (kind) {
      case FrameKind.opened:
        delete this.#opening[stream];
        opening?.resolve(channel);
        return;
      case FrameKind.data:
        channel.receiveData(bytes);
        return;
      case FrameKind.credit:
        channel.receiveCredit(bytes.readUInt32LE(0));
        return;
      case FrameKind.reset:
        if (opening) {
          delete this.#opening[stream];
          opening.reject(new Error(bytes.toString()));
        } else {
          channel.receiveReset(bytes.toString());
        }
    }
  }
}

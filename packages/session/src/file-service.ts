/** Questions to the file service, each with its answer or errno. */

import { getSystemErrorName } from "node:util";
import type { FileAnswers, FileOperation, FileRequests } from "@inpod/protocol";
import {
  encodeFileRequest,
  MAX_ANSWER,
  MessageCutter,
  ProtocolError,
  parseAnswerHeader,
  parseFileAnswer,
} from "@inpod/protocol";
import { TunnelFailure } from "@inpod/tunnel";
import type { FilesChannel, FilesLink } from "./files-link.ts";

const DEADLINE_MS = 10_000;
const MAX_ID = 0xffff_ffff;

interface Asked {
  /** Of the answer's body. @throws ProtocolError */
  readonly answer: (body: Uint8Array) => void;
  readonly fail: (error: unknown) => void;
}

export class FileService {
  readonly #link: FilesLink;
  #stream: Promise<FileStream> | undefined;

  constructor(link: FilesLink) {
    this.#link = link;
  }

  /**
   * Once more when the tunnel is lost before the answer: only for what may be done twice.
   * @throws TunnelError: the errno of the target, ETIMEDOUT after 10 s, ECONNRESET, ESTALE
   */
  async ask<Op extends FileOperation>(request: FileRequests[Op]): Promise<FileAnswers[Op]> {
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new TunnelFailure("ETIMEDOUT", "no answer about a file within 10 s")),
        DEADLINE_MS,
      );
    });
    try {
      return await Promise.race([this.#askTwice(request), deadline]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #askTwice<Op extends FileOperation>(request: FileRequests[Op]): Promise<FileAnswers[Op]> {
    try {
      return await (await this.#opened()).ask(request);
    } catch (error) {
      if (!(error instanceof TunnelFailure) || error.errno !== "ECONNRESET") throw error;
      return (await this.#opened()).ask(request);
    }
  }

  #opened(): Promise<FileStream> {
    this.#stream ??= this.#open();
    return this.#stream;
  }

  async #open(): Promise<FileStream> {
    try {
      const channel = await this.#link.open("control");
      return new FileStream(channel, () => {
        this.#stream = undefined;
      });
    } catch (error) {
      this.#stream = undefined;
      throw error;
    }
  }
}

class FileStream {
  readonly #channel: FilesChannel;
  readonly #asked = new Map<number, Asked>();
  readonly #onEnd: () => void;
  #lastId = 0;
  #end: TunnelFailure | undefined;

  constructor(channel: FilesChannel, onEnd: () => void) {
    this.#channel = channel;
    this.#onEnd = onEnd;
    const messages = new MessageCutter(MAX_ANSWER);
    channel.onReset = (errno, detail) => this.#ended(new TunnelFailure(errno, detail));
    channel.onData = (bytes) => {
      try {
        for (const message of messages.push(bytes)) this.#answered(message);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        channel.reset("EPROTO");
        this.#ended(new TunnelFailure("EPROTO", error.message));
      }
      channel.consumed(bytes.length);
    };
  }

  ask<Op extends FileOperation>(request: FileRequests[Op]): Promise<FileAnswers[Op]> {
    if (this.#end) return Promise.reject(this.#end);
    this.#lastId = this.#lastId === MAX_ID ? 1 : this.#lastId + 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, {
        answer: (body) => resolve(parseFileAnswer(request.op, body) as FileAnswers[Op]),
        fail: reject,
      });
      this.#channel.write(encodeFileRequest(id, request));
    });
  }

  #answered(message: Uint8Array): void {
    const { id, errno, body } = parseAnswerHeader(message);
    const asked = this.#asked.get(id);
    if (!asked) return; // an event: nothing was leased
    this.#asked.delete(id);
    if (errno !== 0) {
      asked.fail(new TunnelFailure(getSystemErrorName(-errno), "the target's answer"));
      return;
    }
    try {
      asked.answer(body);
    } catch (error) {
      asked.fail(new TunnelFailure("EPROTO", "an answer that is none"));
      throw error;
    }
  }

  #ended(why: TunnelFailure): void {
    if (this.#end) return;
    this.#end = why;
    this.#onEnd();
    for (const { fail } of this.#asked.values()) fail(why);
    this.#asked.clear();
  }
}

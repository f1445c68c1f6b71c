/** What comes through a channel before its other end is there; the credit that is not given back is the limit. */
import type { Channel } from "@inpod/session";

/** @returns to be called once, when the channel has its own handlers: they are told what has come until then */
export function holdChannel(channel: Channel): () => void {
  const tellings: (() => void)[] = [];
  channel.onData = (bytes) => tellings.push(() => channel.onData?.(bytes));
  channel.onEnd = () => tellings.push(() => channel.onEnd?.());
  channel.onReset = (errno, detail) => tellings.push(() => channel.onReset?.(errno, detail));
  return () => {
    for (const tell of tellings.splice(0)) tell();
  };
}

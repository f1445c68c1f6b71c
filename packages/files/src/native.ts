/** The addon's functions, as ../native/addon/module.c has them. Nothing outside this package sees them. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Negative numbers are -errno. */
export interface Native {
  receive(
    fd: number,
    slab: Buffer,
    packetBytes: number,
    onPackets: (bytesOrError: number) => void,
  ): object | number;
  stopReceiving(receiver: object): void;
  startNotifier(device: number): object | number;
  notify(notifier: object, message: Buffer): number;
  socketPair(keepsMessages: boolean): [number, number] | number;
  sendDescriptors(socket: number, fds: readonly number[]): number;
  receiveDescriptors(socket: number): number[] | number;
  cloneDevice(device: number): number;
  write(fd: number, head: Buffer, headBytes: number): number;
  write(
    fd: number,
    head: Buffer,
    headBytes: number,
    data: Uint8Array,
    at: number,
    bytes: number,
  ): number;
  dieWithParent(pid: number): number;
}

/** The folder of built programs: beside the bundle, or dist/ of a checkout. */
export const artifacts: string = (() => {
  const here = dirname(fileURLToPath(import.meta.url));
  return existsSync(join(here, "files.node")) ? here : join(here, "../../../dist");
})();

export function loadNative(): Native {
  return createRequire(import.meta.url)(join(artifacts, "files.node")) as Native;
}

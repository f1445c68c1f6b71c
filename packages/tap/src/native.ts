/** The addon's functions, as ../native/addon/module.c has them. Nothing outside this package sees them. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export interface NativeRule {
  match: number;
  operations: number;
  verdict: number;
  fallback: boolean;
  isBinding: boolean;
  isGuarding: boolean;
  isReported: boolean;
  text: string;
  table: Uint16Array;
}

/** Notifications since this process began. received = answered + cancelled + those that are held. */
export interface TapStatistics {
  readonly received: number;
  readonly answered: number;
  /** Taken away by a signal or the process's end before they were answered. */
  readonly cancelled: number;
  /** Answered at their deadline, although nothing was waited for: an answer of ours was lost. */
  readonly expired: number;
  readonly continued: number;
  readonly joined: number;
  readonly served: number;
  /** Reports that were wanted and are missing, because too many were under way. */
  readonly untold: number;
  /** Of malloc, in all of this process; 0 where the C library does not tell. */
  readonly heapBytes: number;
}

/** What the tap needs of the machine, or is better with (../native/addon/doors.c). */
export type Door =
  | ("seccomp" | "addfd-send" | "proc" | "pidfd_getfd" | "process_vm_readv" | "process_vm_writev")
  | ("openat2" | "memfd_create" | "so-cookie")
  | ("ptrace" | "wake-up" | "wait-killable");

export interface Native {
  start(onEvent: (event: unknown) => void): number;
  unref(): void;
  socketPair(): [number, number] | number;
  receiveListener(control: number): number;
  receive(listener: number): number;
  heldCalls(): number;
  openDoor(path: Buffer): number;
  closeDoor(door: number): number;
  tell(fd: number, bytes: Buffer): number;
  environmentFile(content: Buffer): number;
  writeByte(fd: number): number;
  close(fd: number): number;
  silence(fd: number): number;
  setPathRules(rules: readonly NativeRule[]): void;
  matchPath(path: string, operation: number): [verdict: number, rule: number];
  setRemote(
    rootFd: number,
    device: bigint,
    hintFd: number,
    isReadOnly: boolean,
    isAsked: boolean,
    prefix: string,
  ): void;
  setSkips(names: readonly string[]): void;
  setNativePort(port: number, isNative: boolean): void;
  setDestinations(table: Buffer): void;
  isLocalDestination(address: Buffer): boolean;
  setRelayPort(port: number): void;
  hideNscd(hide: boolean): void;
  wantReports(level: number): void;
  setHostname(name: string): void;
  setName(table: number, port: number, other: number, local: Buffer, peer: Buffer): void;
  nameNumber(table: number, port: number, other: number): number;
  forgetName(table: number, port: number, number: number): void;
  reply(token: number, value: number, errno: number): number;
  continue(token: number): number;
  continueHere(token: number): number;
  replyStat(token: number, fields: BigUint64Array): number;
  replyReadlink(token: number, target: Buffer): number;
  serveRemote(token: number, path: string, second: string, fallback: boolean): number;
  serveLocal(token: number, path: string, second: string): number;
  replyFile(token: number, name: string, content: Buffer, mode: number, mtimeNs: bigint): number;
  replyDescriptor(token: number, fd: number): number;
  bindSocket(token: number, port: number): number;
  bindAsAsked(token: number): number;
  replyBound(token: number, requested: Buffer): number;
  listenSocket(token: number): number;
  replyRelayed(token: number, relayPort: number, local: Buffer, peer: Buffer): number;
  startPending(token: number): number;
  verdictConnected(token: number): number;
  completePending(userPort: number, isIPv6Only: boolean): number;
  failPending(
    token: number,
    tgid: number,
    fd: number,
    cookie: number,
    userPort: number,
    isIPv6Only: boolean,
    errno: number,
  ): void;
  replyConnectedDatagram(token: number, port: number): number;
  replySentTo(token: number, port: number): number;
  askUnix(asks: boolean): void;
  replyUnix(token: number, peer: Buffer): number;
  refuseDatagram(
    tgid: number,
    fd: number,
    cookie: number,
    relayPort: number,
    isIPv6: boolean,
    isIPv6Only: boolean,
  ): void;
  connectToUser(port: number, isIPv6: boolean, local: Buffer, peer: Buffer): number;
  listeningPorts(isIPv6: boolean): readonly number[] | number;
  adoptOrphans(): number;
  reapOrphan(ownPids: readonly number[]): number;
  forgetEnded(): number;
  ignoreStops(): number;
  ignoreBackgroundWrites(): number;
  setLockLimit(limit: bigint): number;
  raiseFileLimit(): number;
  probeDoors(): Readonly<Partial<Record<Door, number>>>;
  makeNode(path: Buffer, mode: number): number;
  setTimes(path: Buffer, atimeNs: bigint, mtimeNs: bigint): number;
  statistics(): TapStatistics;
}

/** The folder of built programs: beside the bundle, or dist/ of a checkout. */
export const artifacts: string = (() => {
  const here = dirname(fileURLToPath(import.meta.url));
  return existsSync(join(here, "tap.node")) ? here : join(here, "../../../dist");
})();

export function loadNative(): Native {
  return createRequire(import.meta.url)(join(artifacts, "tap.node")) as Native;
}

/** The process that holds the machine's routes (../native/routes). With it, or with us, all of them are gone. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import { descriptorSocket, receiveDescriptors } from "@inpod/files/descriptors";
import { UserError } from "@inpod/protocol";
import { HELPER } from "./artifacts.ts";
import { datagramFrame, type Ends, guardFrame, Inbox, unreachableFrame } from "./frames.ts";
import { type MachineFacts, parseFacts } from "./plan/facts.ts";

const WITHIN_MS = 5000;
/** Of answers that the helper has not read yet; what is beyond is lost, as UDP may lose it. */
const MAX_QUEUED = 4 << 20;

export interface Helper {
  /** "inpod0" */
  readonly link: string;
  /** The kernel's number of it. */
  readonly index: string;
  /** The link's other end, where names are resolved. IPv4 first; IPv6 where it is routed. */
  readonly inner: readonly string[];
  /** Listening sockets for whatever is sent to the subnets. The caller's from now on. */
  readonly listeners: readonly number[];
  /** Why it is gone. Never after close(). */
  readonly gone: Promise<string>;
  onDatagram: (ends: Ends, payload: Buffer) => void;
  answer(ends: Ends, payload: Uint8Array): void;
  refuse(ends: Ends): void;
  /** What it restores when this process dies. */
  guard(directory: string, path: string): void;
  /** Links and routes are gone when it resolves. */
  close(): Promise<void>;
}

/** @throws UserError ROUTES_REFUSED */
export async function startHelper(subnets: readonly string[]): Promise<Helper> {
  const [ours, theirs] = descriptorSocket();
  let child: ChildProcess;
  try {
    // A session of its own: the terminal's Ctrl-C is for us, who end it.
    child = spawn(HELPER, ["hold", ...subnets], {
      stdio: ["pipe", "pipe", "pipe", theirs],
      detached: true,
      env: {},
      cwd: "/",
    });
  } finally {
    closeSync(theirs);
  }
  try {
    return await ready(child, () => receiveDescriptors(ours));
  } finally {
    closeSync(ours);
  }
}

function ready(child: ChildProcess, descriptors: () => readonly number[]): Promise<Helper> {
  const { stdin, stdout, stderr } = child;
  if (!stdin || !stdout || !stderr) throw new Error("a helper without pipes");
  const inbox = new Inbox();
  let words = "";
  let isClosing = false;
  let helper: Helper | undefined;
  stderr.setEncoding("utf8").on("data", (text: string) => {
    if (words.length < 1000) words += text;
  });
  for (const stream of [stdin, stdout, stderr]) stream.on("error", () => {}); // "close" tells
  const closed = new Promise<string>((resolve) => {
    child.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    child.once("close", (code, signal) =>
      resolve(signal === null ? explained(words) || `it has ended with ${code}` : signal),
    );
  });
  const send = (frame: Buffer, isSure = false): void => {
    const hasRoom = isSure || stdin.writableLength < MAX_QUEUED;
    if (stdin.writable && hasRoom) stdin.write(frame);
  };
  return new Promise<Helper>((resolve, reject) => {
    const late = setTimeout(() => child.kill("SIGKILL"), WITHIN_MS);
    void closed.then((why) => {
      clearTimeout(late);
      reject(refused(why));
    });
    const begin = ([link = "", , inner4 = "", , inner6 = "-", index = ""]: readonly string[]) => {
      clearTimeout(late);
      helper = {
        link,
        index,
        inner: [inner4, inner6].filter((each) => each !== "-"),
        listeners: descriptors(),
        gone: closed.then((why) => (isClosing ? new Promise(() => {}) : why)),
        onDatagram: () => {},
        answer: (ends, payload) => send(datagramFrame(ends, payload)),
        refuse: (ends) => send(unreachableFrame(ends)),
        guard: (directory, path) => send(guardFrame(directory, path), true),
        close: async () => {
          isClosing = true;
          stdin.end();
          const killed = setTimeout(() => child.kill("SIGKILL"), WITHIN_MS);
          await closed;
          clearTimeout(killed);
        },
      };
      resolve(helper);
    };
    stdout.on("data", (chunk: Buffer) => {
      try {
        for (const message of inbox.take(chunk)) {
          if (message.kind === "ready") begin(message.words);
          else helper?.onDatagram(message.ends, message.payload);
        }
      } catch (error) {
        child.kill("SIGKILL");
        reject(error);
      }
    });
  });
}

/** "1 a network namespace": the errno, and what was refused. */
function explained(words: string): string {
  const [, errno, step] = /^(\d+) (.*)$/m.exec(words) ?? [];
  return errno === undefined ? words.trim() : `${step}: ${getSystemErrorName(-Number(errno))}`;
}

const refused = (why: string): UserError =>
  new UserError("ROUTES_REFUSED", "this machine's network cannot be changed", {
    cause: new Error(why),
    hints: [
      ...(why.includes("EPERM")
        ? ["as root, in its own environment: sudo -E inpod connect …"]
        : []),
      "or change no route: inpod connect --mode proxy",
    ],
  });

export interface HelperAnswer {
  readonly isDone: boolean;
  /** stdout, or why not. */
  readonly text: string;
}

export const runHelper = (words: readonly string[]): Promise<HelperAnswer> =>
  new Promise((resolve) => {
    execFile(
      HELPER,
      [...words],
      { env: {}, cwd: "/", timeout: WITHIN_MS, killSignal: "SIGKILL", maxBuffer: 64 << 20 },
      (error, stdout, stderr) =>
        resolve(
          error === null
            ? { isDone: true, text: stdout.trim() }
            : { isDone: false, text: explained(stderr) || error.message },
        ),
    );
  });

/** @throws UserError ROUTES_REFUSED */
export async function machineFacts(): Promise<MachineFacts> {
  const { isDone, text } = await runHelper(["facts"]);
  if (!isDone) throw refused(text);
  return parseFacts(text);
}

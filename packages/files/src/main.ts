/**
 * The file server: a process of its own, because none may both serve a file system and use it. Descriptor 3 is the
 * CLI's socket, 4 takes descriptors to it. It ends with the CLI, whatever ends that.
 */
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { loadNative } from "./native.ts";
import type { Send } from "./relay/channel.ts";
import {
  encodeText,
  FrameCutter,
  FrameKind,
  type RefusedMessage,
  type StartMessage,
} from "./relay/frames.ts";
import { ServerEnd } from "./relay/server-end.ts";
import { serve } from "./serve.ts";

const CLI_SOCKET = 3;
const DESCRIPTOR_SOCKET = 4;

/** Bytes that may pass until what they left behind is collected. It lies outside V8's heap, which hardly grows by it. */
const GARBAGE_BYTES = 8 * 1024 * 1024;
let garbageBytes = 0;
function passed(bytes: number): void {
  garbageBytes += bytes;
  if (garbageBytes < GARBAGE_BYTES) return;
  garbageBytes = 0;
  globalThis.gc?.({ type: "minor" });
}

const native = loadNative();
const [parent] = process.argv.slice(2);
if (native.dieWithParent(Number(parent)) !== 0) process.exit(1);

const socket = new Socket({ fd: CLI_SOCKET });
const send: Send = (frame, data) => {
  if (!data) {
    socket.write(frame);
    return;
  }
  passed(data.length);
  socket.cork();
  socket.write(frame);
  socket.write(data);
  socket.uncork();
};
const log = (text: string) => send(encodeText(FrameKind.log, text));
const link = new ServerEnd(send);
const cutter = new FrameCutter();

let server: Awaited<ReturnType<typeof serve>> | undefined;

async function start({ limits, ways }: StartMessage): Promise<void> {
  try {
    server = await serve({ native, link, limits, ways, log, onEnd: (why) => end(0, why) });
    const { mounted, hintFd } = server;
    const sent = native.sendDescriptors(DESCRIPTOR_SOCKET, [mounted.root, hintFd]);
    // A descriptor of its own mount would be flushed by this process at its end, which nobody answers.
    closeSync(mounted.root);
    closeSync(hintFd);
    closeSync(DESCRIPTOR_SOCKET);
    if (sent !== 0) throw new Error(`the mount cannot be handed over: ${sent}`);
    const { via, refusals } = mounted;
    send(encodeText(FrameKind.mounted, JSON.stringify({ via, refusals })));
  } catch (error) {
    const { refusals, errno } = error as { refusals?: string[]; errno?: number };
    const message: RefusedMessage = { refusals: refusals ?? [String(error)], errno: errno ?? 0 };
    send(encodeText(FrameKind.refused, JSON.stringify(message)));
    socket.end(() => process.exit(1));
  }
}

function end(code: number, why: string): void {
  log(why);
  socket.end(() => process.exit(code));
}

socket.on("data", (chunk) => {
  passed(chunk.length);
  for (const frame of cutter.push(chunk)) {
    if (frame.kind === FrameKind.start) void start(JSON.parse(frame.bytes.toString()));
    else if (frame.kind === FrameKind.close) process.exit(0);
    else if (frame.kind === FrameKind.ask) {
      send(encodeText(FrameKind.figures, JSON.stringify(server?.figures() ?? {})));
    } else link.receive(frame);
  }
});
socket.on("close", () => process.exit(0));
socket.on("error", () => process.exit(0));

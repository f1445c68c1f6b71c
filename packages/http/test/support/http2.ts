/** HTTP/2 by hand: frames as a peer would write them, and a splitter's commands as lines of text. */
import { type Field, HpackDecoder, HpackEncoder } from "../../src/http2/hpack.ts";
import { type Command, HTTP2_PREFACE, Http2Splitter } from "../../src/index.ts";

export const hex = (text: string): Uint8Array =>
  Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ""), "hex"));

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

export const uint32 = (...values: number[]): Buffer =>
  Buffer.concat(
    values.map((value) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(value >>> 0);
      return bytes;
    }),
  );

export function settings(values: Record<number, number> = {}): Buffer {
  const payload = Object.entries(values).map(([id, value]) =>
    Buffer.concat([Buffer.from([0, Number(id)]), uint32(value)]),
  );
  return frame(4, 0, 0, Buffer.concat(payload));
}

const ERRORS = ["NONE", "PROTOCOL", "INTERNAL", "FLOW", "TIMEOUT", "CLOSED", "SIZE", "REFUSED"];
ERRORS.push("CANCEL", "COMPRESSION", "CONNECT", "CALM");

const field = (text: string): Field => {
  const at = text.indexOf("=", 1);
  const isSecret = text.startsWith("!");
  return {
    name: text.slice(isSecret ? 1 : 0, at),
    value: text.slice(at + 1),
    indexing: isSecret ? "never" : "yes",
  };
};

/** One end of a connection, played by hand. */
export class Peer {
  readonly #encoder = new HpackEncoder();
  readonly #decoder = new HpackDecoder();
  #unread: Buffer = Buffer.alloc(0);
  #prefaceLeft: number;

  constructor(readsPreface: boolean) {
    this.#prefaceLeft = readsPreface ? HTTP2_PREFACE.length : 0;
  }

  /** @param fields `name=value`, `!name=value` for a secret */
  headers(streamId: number, isEnd: boolean, ...fields: string[]): Buffer {
    const block = this.#encoder.encode(fields.map(field));
    return frame(1, 4 | (isEnd ? 1 : 0), streamId, Uint8Array.from(block));
  }

  get(streamId: number, path: string, ...fields: string[]): Buffer {
    const pseudo = [":method=GET", ":scheme=http", ":authority=a", `:path=${path}`];
    return this.headers(streamId, true, ...pseudo, ...fields);
  }

  post(streamId: number, path: string, ...fields: string[]): Buffer {
    const pseudo = [":method=POST", ":scheme=http", ":authority=a", `:path=${path}`];
    return this.headers(streamId, false, ...pseudo, ...fields);
  }

  data = (streamId: number, text: string | Uint8Array, isEnd = false): Buffer =>
    frame(0, isEnd ? 1 : 0, streamId, Buffer.from(text));
  reset = (streamId: number, code: number): Buffer => frame(3, 0, streamId, uint32(code));
  window = (streamId: number, more: number): Buffer => frame(8, 0, streamId, uint32(more));
  goaway = (last: number, code: number, text = ""): Buffer =>
    frame(7, 0, 0, Buffer.concat([uint32(last, code), Buffer.from(text)]));
  ping = (text: string, isAck = false): Buffer => frame(6, isAck ? 1 : 0, 0, Buffer.from(text));

  /** What the other end has said, a line for each frame. */
  read(bytes: Uint8Array): string[] {
    this.#unread = Buffer.concat([this.#unread, bytes.subarray(this.#prefaceLeft)]);
    this.#prefaceLeft = Math.max(0, this.#prefaceLeft - bytes.length);
    const said: string[] = [];
    while (this.#unread.length >= 9) {
      const end = 9 + this.#unread.readUIntBE(0, 3);
      if (this.#unread.length < end) break;
      said.push(this.#line(this.#unread.subarray(0, 9), this.#unread.subarray(9, end)));
      this.#unread = this.#unread.subarray(end);
    }
    return said;
  }

  #line(header: Buffer, payload: Buffer): string {
    const id = header.readUInt32BE(5);
    const end = ((header[4] as number) & 1) === 1 ? " END" : "";
    switch (header[3]) {
      case 0: {
        const text = payload.length > 40 ? `${payload.length} bytes` : payload.toString("latin1");
        return `DATA ${id}${end} ${text}`.trimEnd();
      }
      case 1: {
        const { fields } = this.#decoder.decode(payload, 1e6);
        const texts = fields.map(
          ({ name, value, indexing }) => `${indexing === "never" ? "!" : ""}${name}=${value}`,
        );
        return `HEADERS ${id}${end} ${texts.join(" ")}`;
      }
      case 3:
        return `RESET ${id} ${ERRORS[payload.readUInt32BE(0)]}`;
      case 4: {
        const values: string[] = [];
        for (let at = 0; at < payload.length; at += 6) {
          values.push(`${payload.readUInt16BE(at)}=${payload.readUInt32BE(at + 2)}`);
        }
        return `SETTINGS${end.replace("END", "ACK")} ${values.join(" ")}`.trimEnd();
      }
      case 6:
        return `PING${end.replace("END", "ACK")} ${payload.toString("latin1")}`;
      case 7: {
        const code = ERRORS[payload.readUInt32BE(4)];
        return `GOAWAY ${payload.readUInt32BE(0)} ${code} ${payload.subarray(8)}`.trimEnd();
      }
      case 8:
        return `WINDOW ${id} +${payload.readUInt32BE(0)}`;
      default:
        return `frame ${header[3]}`;
    }
  }
}

export interface Filters {
  route(path: string, user: string): string | "needs-body";
  body?(text: string | undefined): string;
  fieldOf?(to: string): { readonly name: string; readonly value: string } | undefined;
}

/** A splitter between a client and destinations, all played by hand. Lines begin with who is spoken to. */
export class Dialogue {
  readonly client = new Peer(false);
  readonly upstreams = new Map<number, { readonly to: string; readonly peer: Peer }>();
  readonly splitter: Http2Splitter<string>;
  rest = "pod";
  nowMs = 0;

  constructor({ route, body = () => "pod", fieldOf = () => undefined }: Filters) {
    this.splitter = new Http2Splitter<string>({
      rest: () => this.rest,
      route: ({ target, headers }) =>
        route(target, headers.find(({ name }) => name === "x-user")?.value ?? ""),
      routeWithBody: (_, bytes) => body(bytes && Buffer.from(bytes).toString("latin1")),
      fieldOf,
      now: () => this.nowMs,
    });
  }

  /** Preface and SETTINGS on all sides; the pod's upstream is 1. */
  begin(client: Record<number, number> = {}, pod: Record<number, number> = {}): void {
    this.says(HTTP2_PREFACE, settings(client));
    this.answers(1, settings(pod));
  }

  says(...bytes: Uint8Array[]): string[] {
    return this.lines(this.splitter.clientBytes(Buffer.concat(bytes)));
  }

  answers(id: number, ...bytes: Uint8Array[]): string[] {
    return this.lines(this.splitter.upstreamBytes(id, Buffer.concat(bytes)));
  }

  peer(id: number): Peer {
    const found = this.upstreams.get(id);
    if (found === undefined) throw new Error(`no upstream ${id}`);
    return found.peer;
  }

  lines(commands: readonly Command<string>[]): string[] {
    return commands.flatMap((command) => {
      switch (command.kind) {
        case "open":
          this.upstreams.set(command.upstream, { to: command.to, peer: new Peer(true) });
          return [`open ${command.upstream} ${command.to}`];
        case "send": {
          const { upstream } = command;
          const { to, peer } = this.upstreams.get(upstream) as { to: string; peer: Peer };
          return peer.read(command.bytes).map((line) => `${to}: ${line}`);
        }
        case "reply":
          return this.client.read(command.bytes).map((line) => `client: ${line}`);
        case "end":
        case "reset":
          return [`${command.kind} ${command.upstream}`];
        default:
          return [command.kind];
      }
    });
  }
}

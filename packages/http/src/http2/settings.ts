/** What an end of an HTTP/2 connection allows the other one (RFC 9113, section 6.5). */
import { CODE, ConnectionError, MAX_FRAME, SETTING, uint32 } from "./frames.ts";

export interface Settings {
  headerTableSize: number;
  maxConcurrentStreams: number;
  initialWindowSize: number;
  maxFrameSize: number;
  maxHeaderListSize: number;
  enableConnectProtocol: boolean;
}

export const MAX_WINDOW = 0x7fffffff;
/** Bytes: of a connection, and of a stream, before anything is said of it. */
export const INITIAL_WINDOW = 65_535;

export const defaultSettings = (): Settings => ({
  headerTableSize: 4096,
  maxConcurrentStreams: Number.POSITIVE_INFINITY,
  initialWindowSize: INITIAL_WINDOW,
  maxFrameSize: MAX_FRAME,
  maxHeaderListSize: Number.POSITIVE_INFINITY,
  enableConnectProtocol: false,
});

/**
 * @param mayPush nobody but the end that opens streams says so
 * @throws ConnectionError
 */
export function applySettings(settings: Settings, payload: Uint8Array, mayPush: boolean): void {
  for (let at = 0; at < payload.length; at += 6) {
    const id = ((payload[at] as number) << 8) | (payload[at + 1] as number);
    const value = uint32(payload, at + 2);
    switch (id) {
      case SETTING.headerTableSize:
        settings.headerTableSize = value;
        break;
      case SETTING.enablePush:
        if (value > (mayPush ? 1 : 0)) fail(CODE.protocol, "ENABLE_PUSH");
        break;
      case SETTING.maxConcurrentStreams:
        settings.maxConcurrentStreams = value;
        break;
      case SETTING.initialWindowSize:
        if (value > MAX_WINDOW) fail(CODE.flowControl, "INITIAL_WINDOW_SIZE");
        settings.initialWindowSize = value;
        break;
      case SETTING.maxFrameSize:
        if (value < MAX_FRAME || value > 0xffffff) fail(CODE.protocol, "MAX_FRAME_SIZE");
        settings.maxFrameSize = value;
        break;
      case SETTING.maxHeaderListSize:
        settings.maxHeaderListSize = value;
        break;
      case SETTING.enableConnectProtocol:
        if (value > 1) fail(CODE.protocol, "ENABLE_CONNECT_PROTOCOL");
        settings.enableConnectProtocol = value === 1;
        break;
      default:
    }
  }
}

function fail(code: number, setting: string): never {
  throw new ConnectionError(code, `${setting} has a value that is not allowed`);
}

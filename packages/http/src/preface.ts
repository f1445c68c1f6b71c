/** The first bytes of every HTTP/2 connection (RFC 9113, section 3.4). */
import { fromLatin1 } from "./bytes.ts";

export const HTTP2_PREFACE = fromLatin1("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

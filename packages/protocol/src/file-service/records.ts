/** What CHAIN, LIST and TREE say of many files: u8 kind · path, and then by kind. */
import { ProtocolError } from "../frames.ts";
import { attributes, type FileAttributes } from "./attributes.ts";
import { type Field, optionalBytes } from "./fields.ts";

export type FileRecord =
  /** A file. `content` of a small regular one, if asked for, or of a link its target. */
  | {
      readonly kind: "entry";
      readonly path: string;
      readonly attributes: FileAttributes;
      readonly content: Uint8Array | undefined;
    }
  /** There is none of this name. */
  | { readonly kind: "negative"; readonly path: string }
  /** Of this directory all names were told (or not: more follow to who asks for it alone). */
  | { readonly kind: "listed" | "cut"; readonly path: string; readonly attributes: FileAttributes };

/** The number on the wire is the index and one. */
const KINDS = ["entry", "negative", "listed", "cut"] as const;

/** All that is left of the message. */
export const records = (path: Field<string>): Field<readonly FileRecord[]> => ({
  write: (to, value) => {
    for (const record of value) {
      to.u8(KINDS.indexOf(record.kind) + 1);
      path.write(to, record.path);
      if (record.kind !== "negative") attributes.write(to, record.attributes);
      if (record.kind === "entry") optionalBytes.write(to, record.content);
    }
  },
  read: (from) => {
    const all: FileRecord[] = [];
    while (from.left > 0) {
      const kind = KINDS[from.u8() - 1];
      const at = path.read(from);
      switch (kind) {
        case "entry":
          all.push({
            kind,
            path: at,
            attributes: attributes.read(from),
            content: optionalBytes.read(from),
          });
          break;
        case "negative":
          all.push({ kind, path: at });
          break;
        case "listed":
        case "cut":
          all.push({ kind, path: at, attributes: attributes.read(from) });
          break;
        default:
          throw new ProtocolError("an unknown kind of record");
      }
    }
    return all;
  },
});

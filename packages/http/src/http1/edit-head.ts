/** The only change that is ever made to a message: a response's head that is to say more than its sender has said. */
import { fromLatin1, latin1 } from "../bytes.ts";

export interface HeadEdit {
  /** Nothing follows on this connection. */
  readonly closes: boolean;
  /** A header that takes the place of others of its name. */
  readonly field: Field | undefined;
}

export interface Field {
  readonly name: string;
  readonly value: string;
}

/**
 * @param head well-formed, with its empty line
 * @returns the same head, all other lines as they were and where they were
 */
export function editedHead(head: Uint8Array, { closes, field }: HeadEdit): Uint8Array {
  const [start = "", ...lines] = latin1(head).slice(0, -4).split("\r\n");
  const options: string[] = [];
  const kept = lines.filter((line) => {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    if (name === field?.name.toLowerCase()) return false;
    if (!closes || (name !== "connection" && name !== "keep-alive")) return true;
    if (name === "connection") options.push(...line.slice(colon + 1).split(","));
    return false;
  });
  if (closes) {
    const others = options.map((option) => option.trim()).filter(isOther);
    kept.push(`Connection: ${["close", ...others].join(", ")}`);
  }
  if (field) kept.push(`${field.name}: ${field.value}`);
  return fromLatin1(`${[start, ...kept].join("\r\n")}\r\n\r\n`);
}

const isOther = (option: string): boolean => option !== "" && !/^(close|keep-alive)$/i.test(option);

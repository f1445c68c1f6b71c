/** Bytes for people, as `hexdump -C` has them. Pure. */
const PER_LINE = 16;

/** @param from the number of the first byte. @returns lines, each with its end */
export function hexdump(bytes: Uint8Array, from = 0): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += PER_LINE) {
    const line = bytes.subarray(at, at + PER_LINE);
    const hex = Array.from(line, (byte) => byte.toString(16).padStart(2, "0"));
    const halves = [hex.slice(0, 8).join(" "), hex.slice(8).join(" ")];
    const chars = Array.from(line, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".",
    );
    const number = (from + at).toString(16).padStart(8, "0");
    text += `${number}  ${halves.join("  ").padEnd(3 * PER_LINE)}  |${chars.join("")}|\n`;
  }
  return text;
}

/** Dialogues with a splitter: this event, these commands; as they are written, and once more byte by byte. */
import assert from "node:assert/strict";
import {
  type Command,
  fromLatin1,
  latin1,
  type RequestHead,
  Splitter,
  type SplitterOptions,
} from "../../src/index.ts";

export type Destination = "pod" | "mine" | "yours";

/** `X-User` names the destination; `X-Body` says that the body does. */
export function route({ headers }: RequestHead): Destination | "needs-body" {
  const of = (wanted: string) => headers.find(({ name }) => name === wanted)?.value;
  if (of("x-body") !== undefined) return "needs-body";
  const user = of("x-user");
  return user === "mine" || user === "yours" ? user : "pod";
}

export type Event =
  | readonly [kind: "client", bytes: string]
  | readonly [kind: "client-end" | "client-reset" | "deadline" | "drain"]
  | readonly [kind: "answer", upstream: number, bytes: string]
  | readonly [kind: "end" | "reset", upstream: number];

export function apply(splitter: Splitter<Destination>, event: Event): Command<Destination>[] {
  switch (event[0]) {
    case "client":
      return splitter.clientBytes(fromLatin1(event[1]));
    case "client-end":
      return splitter.clientEnd();
    case "client-reset":
      return splitter.clientReset();
    case "deadline":
      return splitter.bodyDeadline();
    case "drain":
      return splitter.drain();
    case "answer":
      return splitter.upstreamBytes(event[1], fromLatin1(event[2]));
    case "end":
      return splitter.upstreamEnd(event[1]);
    case "reset":
      return splitter.upstreamReset(event[1]);
  }
}

export function split(options?: Partial<SplitterOptions<Destination>>): Splitter<Destination> {
  return new Splitter<Destination>({
    fallback: "pod",
    route,
    routeWithBody: (_, body) => (body && latin1(body).includes("mine") ? "mine" : "pod"),
    ...options,
  });
}

/** One line for each command; bytes for the same receiver that follow each other are one. */
export function lines(commands: readonly Command<Destination>[]): string[] {
  const said: [what: string, bytes: string][] = [];
  for (const command of commands) {
    const what =
      "upstream" in command ? `${command.kind} ${command.upstream}` : (command.kind as string);
    if ("bytes" in command) {
      const last = said.at(-1);
      const bytes = latin1(command.bytes);
      if (last?.[0] === what) last[1] += bytes;
      else said.push([what, bytes]);
    } else if (command.kind === "open") said.push([`${what} ${command.to}`, ""]);
    else if (command.kind === "raw") said.push([`${what} ${command.to}: ${command.why}`, ""]);
    else said.push([what, ""]);
  }
  return said.map(([what, bytes]) => (bytes === "" ? what : `${what} ${JSON.stringify(bytes)}`));
}

export interface Step {
  readonly event: Event;
  readonly commands: string[];
}

/** The dialogue as it is written, and once more with everything byte by byte. */
export function play(
  steps: readonly Step[],
  options?: Partial<SplitterOptions<Destination>>,
): Splitter<Destination> {
  const whole = split(options);
  const byBytes = split(options);
  for (const { event, commands } of steps) {
    assert.deepEqual(lines(apply(whole, event)), commands, JSON.stringify(event));
    const text = event[0] === "client" ? event[1] : event[0] === "answer" ? event[2] : undefined;
    const single = text === undefined ? [event] : [...text].map((char) => withText(event, char));
    const said = single.flatMap((one) => apply(byBytes, one));
    assert.deepEqual(lines(said), commands, `byte by byte: ${JSON.stringify(event)}`);
  }
  return whole;
}

const withText = (event: Event, text: string): Event =>
  event[0] === "answer" ? ["answer", event[1], text] : ["client", text];

export const when = (event: Event, ...commands: string[]): Step => ({ event, commands });
export const sent = (upstream: number, text: string): string =>
  `send ${upstream} ${JSON.stringify(text)}`;
export const replied = (text: string): string => `reply ${JSON.stringify(text)}`;

export const get = (path: string, ...headers: string[]): string =>
  `GET ${path} HTTP/1.1\r\n${["Host: a", ...headers].join("\r\n")}\r\n\r\n`;
export const post = (path: string, body: string, ...headers: string[]): string =>
  `POST ${path} HTTP/1.1\r\n${[...headers, `Content-Length: ${body.length}`].join("\r\n")}\r\n\r\n${body}`;
export const ok = (body: string, ...headers: string[]): string =>
  `HTTP/1.1 200 OK\r\n${[...headers, `Content-Length: ${body.length}`].join("\r\n")}\r\n\r\n${body}`;
export const MINE = "X-User: mine";

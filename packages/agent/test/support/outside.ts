/** A pod with an eth0, and clients in another network namespace on the other side of it. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Pod, type Who } from "./pod.ts";

export const POD = { v4: "198.18.7.1", v6: "2001:db8:7::1" } as const;
export const STRANGER = { v4: "198.18.7.9", v6: "2001:db8:7::9" } as const;

const SETUP = `unshare --net sleep 600 & outside=$!
  for n in $(seq 500); do
    [ "$(readlink /proc/$outside/ns/net)" = "$(readlink /proc/self/ns/net)" ] || break; sleep 0.01; done
  ip link add eth0 type veth peer name out0 netns $outside
  ip addr add ${POD.v4}/24 dev eth0; ip addr add ${POD.v6}/64 dev eth0 nodad; ip link set eth0 up
  nsenter --net --target $outside sh -c "ip addr add ${STRANGER.v4}/24 dev out0; ip addr add ${STRANGER.v6}/64 dev out0 nodad; ip link set out0 up; ip link set lo up"`;
/** Background processes say "ready" before the pod's own server starts. */
const START = `ready=$(mktemp -u); mkfifo "$ready"; ${process.execPath} -e "$SERVERS" >"$ready" & read -r _ <"$ready"; rm "$ready"`;

/**
 * Written for `node -e`: sends what each line of stdin says in JSON, and says in a line what happens: the bytes that
 * came, "end", or the errno. First, the port that it connects from.
 */
const TALKER = `const [,host,port,from]=process.argv;
  const s=require("net").connect({host,port:+port,allowHalfOpen:true,...(from?{localPort:+from}:{})});
  const say=(x)=>console.log(JSON.stringify(x));s.setEncoding("latin1");s.on("connect",()=>say(String(s.localPort)));
  s.on("data",say);s.on("end",()=>say("end"));s.on("error",(e)=>say(e.code));
  require("readline").createInterface({input:process.stdin}).on("line",(l)=>s.write(JSON.parse(l),"latin1")).on("close",()=>s.end())`;

export class Talker {
  readonly #process: ChildProcess;
  readonly #said: AsyncIterator<string>;
  /** Its own. */
  port = 0;

  private constructor(child: ChildProcess) {
    this.#process = child;
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    this.#said = lines[Symbol.asyncIterator]();
  }

  /** @param command runs the words that follow it in the network that it talks from */
  static async open(
    command: (words: string[]) => string[],
    host: string,
    port: number,
    from?: number,
  ): Promise<Talker> {
    const words = [process.execPath, "-e", TALKER, host, String(port)];
    if (from !== undefined) words.push(String(from));
    const [program = "", ...rest] = command(words);
    const talker = new Talker(spawn(program, rest, { stdio: ["pipe", "pipe", "inherit"] }));
    const first = await talker.next();
    talker.port = Number(first);
    if (!Number.isInteger(talker.port)) {
      talker.close();
      throw new Error(first);
    }
    return talker;
  }

  say(text: string): void {
    this.#process.stdin?.write(`${JSON.stringify(text)}\n`);
  }

  /** What comes next: bytes, "end", or an errno. */
  async next(): Promise<string> {
    const { value, done } = await this.#said.next();
    if (done) throw new Error("the client has ended without another word");
    return JSON.parse(value as string) as string;
  }

  async ask(text: string): Promise<string> {
    this.say(text);
    return this.next();
  }

  /** FIN. */
  end(): void {
    this.#process.stdin?.end();
  }

  close(): void {
    this.#process.kill("SIGKILL");
  }
}

export class Place {
  readonly pod: Pod;
  /** A process in the network of the pod's clients. */
  readonly outside: number;

  private constructor(pod: Pod, outside: number) {
    this.pod = pod;
    this.outside = outside;
  }

  /**
   * @param servers for `node -e`, run in the pod beside its own server; says "ready"
   * @param setup shell commands, before them
   */
  static async start(who: Who, servers: string, setup = ""): Promise<Place> {
    const pod = await Pod.start(who, `${SETUP}\n${setup}\n${START}`, "", { SERVERS: servers });
    const children = readFileSync(`/proc/${pod.pid}/task/${pod.pid}/children`, "utf8");
    const outside = children
      .trim()
      .split(" ")
      .find((pid) => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n");
    if (outside === undefined) throw new Error("the pod has no outside");
    return new Place(pod, Number(outside));
  }

  /** A connection from outside. */
  talk(port: number, host: string = POD.v4, from?: number): Promise<Talker> {
    return Talker.open((words) => this.pod.inside(words, this.outside), host, port, from);
  }

  /** A connection from within the pod. */
  talkInside(port: number, host: string, from?: number): Promise<Talker> {
    return Talker.open((words) => this.pod.inside(words), host, port, from);
  }

  /** One question over a connection of its own. */
  async once(text: string, port: number, host?: string): Promise<string> {
    const talker = await this.talk(port, host);
    const answer = await talker.ask(text);
    talker.close();
    return answer;
  }

  stop(): void {
    this.pod.stop();
  }
}
